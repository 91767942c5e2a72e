"""What an expression, or a foreign table, stands for is nothing that the caller or a third can put in its place."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from exporter.sources.statements import SCHEMA
from tests.exporter import configured
from tests.jobtables import create, described, finish
from tests.roles import set_up_role
from tests.servers import Database, Server

CALLS = (
    "jobtable_tracking_finished_tenants(0, 1e10, '{}', '{}', '{}', '{}', 10)",
    "jobtable_tracking_type(array['tenant'])",
)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = server.create_database()
    with database.connect() as connection:
        create(connection)
        connection.execute("create domain public.job_status as text")
        connection.execute("create table public.runs (id bigint primary key, owner text)")
        connection.execute("create table public.ran (who name)")
        finish(connection)
    yield database
    server.drop_database(database.name)


@pytest.mark.parametrize(
    "tenant", ["job.queue::job_status", "(select run.owner from runs run where run.id = job.id)"], ids=["type", "table"]
)
def test_a_name_without_its_schema_is_not_looked_for_among_what_the_caller_has_made(
    database: Database, tenant: str
) -> None:
    job_tables = described(source="none", tenant=tenant)
    dsn = set_up_role(database.dsn, configured(database.dsn, job_tables=job_tables).databases[0])
    with psycopg.connect(dsn, autocommit=True) as connection:
        for call in CALLS:
            with pytest.raises((psycopg.errors.UndefinedObject, psycopg.errors.UndefinedTable)):
                connection.execute(f"select * from {SCHEMA}.{call}".encode())
        connection.execute("set default_transaction_read_only = off")
        connection.execute(
            """create function pg_temp.ran(text) returns boolean language plpgsql as
               $$ begin insert into public.ran values (current_user); return true; end $$"""
        )
        connection.execute("create domain pg_temp.job_status as text check (pg_temp.ran(value))")
        connection.execute("create temp view runs as select 1::bigint as id, 'x' as owner where pg_temp.ran('')")
        for call in CALLS:
            with pytest.raises(psycopg.errors.ObjectInUse, match="made something temporary"):
                connection.execute(f"select * from {SCHEMA}.{call}".encode())
    assert database.run("select who from public.ran") == []


def test_whoever_has_made_nothing_temporary_is_answered(database: Database) -> None:
    job_tables = described(source="none", tenant="job.queue::public.job_status")
    dsn = set_up_role(database.dsn, configured(database.dsn, job_tables=job_tables).databases[0])
    with psycopg.connect(dsn, autocommit=True) as connection:
        for call in CALLS:
            assert connection.execute(f"select * from {SCHEMA}.{call}".encode()).fetchall()


def test_a_foreign_partition_is_read_only_of_a_server_whose_owner_is_vouched_for(database: Database) -> None:
    """Its owner says where the server is, and as whom the owner of the functions would log in there."""
    third = database.server.add_user()
    with database.connect() as connection:
        connection.execute("alter table public.jobs rename to plain")
        connection.execute("create table public.jobs (like public.plain) partition by list (queue)")
        connection.execute("create foreign data wrapper nowhere")
        connection.execute("create server elsewhere foreign data wrapper nowhere")
        connection.execute("create foreign table public.part partition of public.jobs default server elsewhere")
    table = configured(database.dsn, job_tables=described(source="none", tenant="job.queue")).databases[0]
    with psycopg.connect(set_up_role(database.dsn, table), autocommit=True) as connection:
        # Vouched for, it is asked; it leads nowhere.
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute(f"select * from {SCHEMA}.{CALLS[0]}".encode())
        database.run(f'grant usage on foreign data wrapper nowhere to "{third}"')
        database.run(f'alter server elsewhere owner to "{third}"')
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"^server elsewhere .used by foreign table"):
            connection.execute(f"select * from {SCHEMA}.{CALLS[0]}".encode())
    with pytest.raises(psycopg.errors.RaiseException, match=f"server elsewhere .* belongs to {third}"):
        set_up_role(database.dsn, table)
