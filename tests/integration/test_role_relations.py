"""What the functions read beside the table that is named: of another owner, it runs nothing as theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from exporter import names
from exporter.config import Database as Configured
from exporter.sources.role_sql import role_lines
from exporter.sources.statements import SCHEMA
from tests.exporter import Driver, configured
from tests.jobtables import create, described, finish, settled
from tests.roles import ROLE, run_script, set_up_role
from tests.servers import Database, Server, flush

#: A job table whose tenants stand elsewhere.
LOOKED_UP = described(source="none", tenant="run.owner", join="public.runs run on run.id = job.id")
#: A call that reads that.
BY_TENANT = "jobtable_tracking_finished_tenants"


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = server.create_database()
    with database.connect() as connection:
        create(connection)
        connection.execute("create table public.runs (id bigint primary key, owner text)")
        connection.execute("insert into public.runs select n, 'acme' from generate_series(1, 100) n")
    yield database
    server.drop_database(database.name)


@pytest.fixture
def third(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection of a role that may make tables, and whose function tells as whom it runs."""
    name = database.server.add_user()
    database.run(f'grant create, usage on schema public to "{name}"')
    with database.connect(name) as connection:
        connection.autocommit = True
        connection.execute("listen loot")
        connection.execute(
            """create function public.tell(int) returns int language plpgsql immutable as
               $$ begin perform pg_notify('loot', current_user); return 1; end $$"""
        )
        yield connection


def told(third: psycopg.Connection[Any]) -> set[str]:
    """As whom else her code ran."""
    return {notice.payload for notice in third.notifies(timeout=0.5)} - {third.info.user}


def of(dsn: str, **keys: Any) -> Configured:
    return configured(dsn, **keys).databases[0]


def call(dsn: str, name: str, arguments: str) -> str:
    """What is wrong with a call that may write, or nothing."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = off")
        try:
            connection.execute(f"select * from {SCHEMA}.{name}({arguments})".encode())
        except psycopg.Error as error:
            return str(error).splitlines()[0]
    return ""


def by_tenant(dsn: str) -> str:
    """The same of a job table's jobs by tenant."""
    return call(dsn, BY_TENANT, "0, 1e10, '{}', '{}', '{}', '{}', 10")


def test_what_a_job_table_is_joined_with_is_read_only_of_owners_vouched_for(
    database: Database, third: psycopg.Connection[Any]
) -> None:
    role, third_role = set_up_role(database.dsn, of(database.dsn, job_tables=LOOKED_UP)), third.info.user
    assert by_tenant(role) == ""
    database.run(f'alter table public.runs owner to "{third_role}"')
    assert by_tenant(role).startswith("table public.runs belongs to a role that nobody vouched for")
    third.execute("alter table public.runs rename to runs_")
    third.execute("create view public.runs as select * from public.runs_ where public.tell(1) = 1")
    assert by_tenant(role).startswith("table public.runs belongs to a role that nobody vouched for")
    assert told(third) == set()
    with pytest.raises(psycopg.errors.RaiseException, match=f"table public.runs belongs to {third_role}"):
        run_script(database.dsn, role_lines(of(database.dsn, job_tables=LOOKED_UP), ROLE))
    # The code does run in whoever reads it.
    database.run("select from public.runs")
    assert told(third)


@pytest.mark.parametrize("table", ["runs", "jobs"])
def test_no_view_may_stand_where_a_table_was(database: Database, table: str) -> None:
    role = set_up_role(database.dsn, of(database.dsn, job_tables=LOOKED_UP))
    database.run(f"alter table public.{table} rename to other")
    database.run(f"create view public.{table} as select * from public.other")
    assert "a view" in by_tenant(role)
    set_up_role(database.dsn, of(database.dsn, job_tables=LOOKED_UP))
    assert by_tenant(role) == ""


def test_rows_hidden_in_what_a_job_table_is_joined_with_are_told_and_jobs_are_counted(database: Database) -> None:
    owner = database.server.add_user(options="CREATEROLE")
    database.run(f'alter database "{database.name}" owner to "{owner}"')
    for table in ("jobs", "runs"):
        database.run(f'alter table public.{table} owner to "{owner}"')
    database.run("alter table public.runs enable row level security, force row level security")
    role = f"{ROLE}_of_{database.name}"
    warnings = run_script(database.dsn_as(owner), role_lines(of(database.dsn, job_tables=LOOKED_UP), role))
    assert any("may not read all rows of: public.runs" in warning for warning in warnings), warnings
    driver = Driver(database.dsn_as(role), job_tables=LOOKED_UP)
    driver.collect()
    with database.connect() as connection:
        finish(connection, jobs=3)
        flush(connection)
    page = settled(driver)
    assert sum(page.of(names.FINISHED_JOBS, outcome=names.COMPLETED).values()) == 3
    (fault,) = [fault for tracked in driver.collection.parts for fault in tracked.faults]
    assert (fault.reason, "row-level security" in fault.detail) == ("hidden", True)
    driver.close()
    database.run(f'drop owned by "{role}"')
    database.run(f'drop role "{role}"')
