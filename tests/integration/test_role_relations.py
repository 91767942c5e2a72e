"""What the functions read beside the table that is named: of another owner, it runs nothing as theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from exporter import names
from exporter.collector import check
from exporter.config import Database as Configured
from exporter.sources.role_sql import role_lines
from exporter.sources.statements import SCHEMA
from tests.exporter import Driver, configured, settled
from tests.jobtables import create, create_runs, described, finish
from tests.roles import ROLE, run_script, set_up_role
from tests.servers import Database, Server, flush
from tests.thirds import make_tell, ran_as, third_in

#: A job table whose tenants stand elsewhere.
LOOKED_UP = described(source="none", tenant="run.owner", join="public.runs run on run.id = job.id")
#: A call that reads that.
BY_TENANT = "jobtable_tracking_finished_tenants"


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = server.create_database()
    with database.connect() as connection:
        create(connection)
        create_runs(connection)
    yield database
    server.drop_database(database.name)


@pytest.fixture
def third(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection of a role that may make tables, and whose function tells as whom it runs."""
    with third_beside(database) as connection:
        yield connection


@pytest.fixture
def third_of_pgmq(pgmq_database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The same where pgmq is."""
    with third_beside(pgmq_database) as connection:
        yield connection


@contextmanager
def third_beside(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The same in a database: in the schemas of what is watched."""
    with third_in(database) as connection:
        for (schema,) in database.run("select nspname from pg_namespace where nspname in ('public', 'pgmq')"):
            database.run(f'grant create, usage on schema {schema} to "{connection.info.user}"')
        make_tell(connection, "public")
        yield connection


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
    assert by_tenant(role).startswith("view public.runs belongs to a role that nobody vouched for")
    assert ran_as(third) == set()
    with pytest.raises(psycopg.errors.RaiseException, match=f"view public.runs belongs to {third_role}"):
        run_script(database.dsn, role_lines(of(database.dsn, job_tables=LOOKED_UP), ROLE))
    # The code does run in whoever reads it.
    database.run("select from public.runs")
    assert ran_as(third)


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


#: By what the owner of a partition, or of what is used, did: what gets it to them, and what the refusal names.
HOW = {
    "an index's predicate": ("create index on public.part (id) where public.tell(1) = 1", "table public.part"),
    "an index's expression": ("create index on public.part (public.tell(1))", "table public.part"),
    "statistics": ("create statistics public.told on (public.tell(1)), id from public.part", "table public.part"),
    "a check": ("alter table public.part add check (public.tell(1) = 1) not valid", "table public.part"),
}


def make_partitioned(database: Database, child: str) -> None:
    """The job table again, with ``public.part`` below it, and between both another one where that is said."""
    database.run("drop table public.jobs")
    with database.connect() as connection:
        create(connection)
        connection.execute("alter table public.jobs rename to plain")
        if child == "inherits":
            connection.execute("create table public.jobs (like public.plain including all)")
            connection.execute("create table public.part () inherits (public.jobs)")
        else:
            columns = "(like public.plain including defaults including identity) partition by list (queue)"
            connection.execute(f"create table public.jobs {columns}".encode())
            connection.execute("create index on public.jobs (completed)")
            where = "public.jobs"
            if child == "partition of a partition":
                connection.execute(
                    "create table public.between partition of public.jobs default partition by list (id)"
                )
                where = "public.between"
            connection.execute(f"create table public.part partition of {where} default".encode())


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("child", ["partition", "partition of a partition", "inherits"])
def test_a_partition_of_another_owner_runs_nothing_as_the_owner(
    database: Database, third: psycopg.Connection[Any], child: str, how: str
) -> None:
    make_partitioned(database, child)
    role = set_up_role(database.dsn, of(database.dsn, job_tables=LOOKED_UP))
    assert by_tenant(role) == ""
    database.run(f'alter table public.part owner to "{third.info.user}"')
    statement, named = HOW[how]
    third.execute(statement.encode())
    ran_as(third)
    assert by_tenant(role).startswith(f"{named} belongs to a role that nobody vouched for")
    with pytest.raises(psycopg.errors.RaiseException, match=f"{named} belongs to {third.info.user}"):
        run_script(database.dsn, role_lines(of(database.dsn, job_tables=LOOKED_UP), ROLE))
    findings = check.examine(of(role, job_tables=LOOKED_UP)).findings
    assert ("error", named) in [(found.level, found.about) for found in findings if third.info.user in found.message]
    assert ran_as(third) == set()
    # Given to one who is trusted, it still calls what is theirs.
    database.run("alter table public.part owner to current_user")
    assert by_tenant(role).startswith("function public.tell(integer) (used by table public.part) belongs to")
    assert ran_as(third) == set()


@pytest.mark.parametrize("how", ["an index's predicate", "a view", "an operator", "a type"])
def test_what_a_trusted_table_uses_of_another_owner_runs_nothing_either(
    database: Database, third: psycopg.Connection[Any], how: str
) -> None:
    role = set_up_role(database.dsn, of(database.dsn, job_tables=LOOKED_UP))
    if how == "an index's predicate":
        database.run("create index on public.runs (id) where public.tell(1) = 1")
        name = "function public.tell(integer) (used by table public.runs)"
    elif how == "a view":
        third.execute("create table public.theirs (id bigint primary key, owner text)")
        third.execute("create index on public.theirs (id) where public.tell(1) = 1")
        database.run("drop table public.runs")
        database.run("create view public.runs as select * from public.theirs where id > 0")
        name = "table public.theirs"
    elif how == "an operator":
        database.run("create operator public.@@@ (rightarg = int, function = public.tell)")
        database.run("create index on public.runs (id) where (operator(public.@@@) 1) = 1")
        name = "function public.tell(integer) (used by table public.runs)"
    else:
        third.execute("create type public.kind as enum ('a')")
        database.run("alter table public.runs add kind public.kind")
        name = "type public.kind (used by table public.runs)"
    ran_as(third)
    assert by_tenant(role).startswith(f"{name} belongs to a role that nobody vouched for")
    with pytest.raises(psycopg.errors.RaiseException) as refused:
        run_script(database.dsn, role_lines(of(database.dsn, job_tables=LOOKED_UP), ROLE))
    assert f"{name} belongs to {third.info.user}" in str(refused.value)
    assert ran_as(third) == set()


@pytest.mark.parametrize("queue", ["plain", "partitioned"])
def test_pgmq_s_tables_and_partitions_are_read_only_of_owners_vouched_for(
    pgmq_database: Database, third_of_pgmq: psycopg.Connection[Any], queue: str
) -> None:
    database, third, name = pgmq_database, third_of_pgmq, "pgmq.q_mail"
    database.run("select pgmq.create('mail')")
    if queue == "partitioned":
        database.run("drop table pgmq.q_mail")
        database.run(
            "create table pgmq.q_mail (msg_id bigint not null, read_ct int default 0 not null, enqueued_at timestamptz"
            " default now() not null, last_read_at timestamptz, vt timestamptz not null, message jsonb, headers jsonb)"
            " partition by range (msg_id)"
        )
        name = "pgmq.q_mail_p0"
        database.run(f"create table {name} partition of pgmq.q_mail for values from (0) to (1000)")
    role = set_up_role(database.dsn, of(database.dsn))
    arguments = "array['mail'], array['{}'], array[10::bigint], array[0::bigint], array[0::bigint], array[10::bigint]"
    assert call(role, "pgmq_tenants_all", arguments) == ""
    database.run(f'alter table {name} owner to "{third.info.user}"')
    third.execute(f"create index on {name} (msg_id) where public.tell(1) = 1".encode())
    ran_as(third)
    assert call(role, "pgmq_tenants_all", arguments).startswith(f"table {name} belongs to")
    database.run(f"alter table {name} owner to current_user")
    assert call(role, "pgmq_tenants_all", arguments).startswith(
        f"function public.tell(integer) (used by table {name}) belongs to"
    )
    with pytest.raises(psycopg.errors.RaiseException, match=r"function public\.tell"):
        run_script(database.dsn, role_lines(of(database.dsn), ROLE))
    assert ran_as(third) == set()


def test_pg_boss_s_partitions_are_read_only_of_owners_vouched_for(
    database: Database, third: psycopg.Connection[Any]
) -> None:
    database.run("create schema pgboss")
    database.run("create table pgboss.queue (name text, table_name text)")
    database.run("create table pgboss.job (id uuid, name text, state text) partition by list (name)")
    for queue in ("mail", "other"):
        database.run(f"create table pgboss.{queue} partition of pgboss.job for values in ('{queue}')")
        database.run(f"insert into pgboss.queue values ('{queue}', '{queue}')")
    role = set_up_role(database.dsn, of(database.dsn))
    database.run(f'grant usage on schema pgboss to "{third.info.user}"')
    database.run(f'alter table pgboss.mail owner to "{third.info.user}"')
    database.run(f'grant create on schema pgboss to "{third.info.user}"')
    third.execute("create index on pgboss.mail (name) where public.tell(1) = 1")
    ran_as(third)
    asked = "pgboss_head_live", "array['{}'], array[now()]"
    refused = call(role, asked[0], asked[1].format("mail"))
    assert refused.startswith("table pgboss.mail belongs to a role that nobody vouched for")
    assert "vouched" not in call(role, asked[0], asked[1].format("other"))
    with pytest.raises(psycopg.errors.RaiseException, match=r"table pgboss\.mail belongs to"):
        run_script(database.dsn, role_lines(of(database.dsn), ROLE))
    # A queue that is not in a table of its own is read through all of them.
    database.run("insert into pgboss.queue values ('third', 'third')")
    database.run("create table pgboss.schedule (name text)")
    assert call(role, asked[0], asked[1].format("third")).startswith("table pgboss.mail belongs to")
    assert call(role, "pgboss_schedules", "").startswith("table pgboss.mail belongs to")
    assert ran_as(third) == set()
