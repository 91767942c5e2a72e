"""Schemas that were merely found: read directly, what their owner put there would run with the exporter's rights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg
import pytest

from exporter import names
from exporter.collector import check
from exporter.errors import SourceError
from exporter.sources.postgres import Session, raw
from tests.exporter import Driver, configured
from tests.servers import Database
from tests.thirds import BOSS, make_tell, ran_as, third_in

#: As much of each as is needed to be taken for it.
TABLES = {
    "pgboss": BOSS,
    "pgmq": {
        "meta": "queue_name text, is_partitioned boolean, is_unlogged boolean",
        "q_mail": "msg_id bigint, read_ct int, enqueued_at timestamptz, vt timestamptz, message jsonb",
    },
}
#: What runs code of the owner of a table in a session that reads it.
HOW = {
    "an index": "create index on {table} ({schema}.tell(1))",
    "an index's predicate": "create index on {table} ({column}) where {schema}.tell(1) = 1",
    "statistics": "create statistics {schema}.told_{name} on ({schema}.tell(1)), {column} from {table}",
    "a view": "alter table {table} rename to {name}_; create view {table} as select * from {table}_"
    " where {schema}.tell(1) = 1;"
    " grant select on {table} to public",
}


@pytest.fixture
def third(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with third_in(database) as connection:
        yield connection


def make(third: psycopg.Connection[Any], schema: str, how: str) -> None:
    """A schema that looks like a queue system's, whose tables tell who reads them."""
    third.execute(f"create schema {schema}; grant usage on schema {schema} to public".encode())
    make_tell(third, schema)
    for name, columns in TABLES[schema].items():
        third.execute(f"create table {schema}.{name} ({columns}); grant select on {schema}.{name} to public".encode())
        if how and not (how == "a view" and name in {"version", "queue", "job"}):  # those have to be tables
            told = HOW[how].format(schema=schema, table=f"{schema}.{name}", name=name, column=columns.split()[0])
            third.execute(told.encode())
    if schema == "pgmq":
        third.execute("insert into pgmq.meta values ('mail', false, false)" if how != "a view" else "select 1")


@pytest.mark.parametrize("who", ["a plain role", "a superuser"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("schema", TABLES)
def test_nothing_of_a_third_runs_where_it_was_merely_found(
    database: Database, third: psycopg.Connection[Any], schema: str, how: str, who: str
) -> None:
    reader = database.server.add_user() if who == "a plain role" else database.server.superuser
    driver = Driver(database.dsn_as(reader))
    driver.collect()
    make(third, schema, how)
    for source in driver.pgboss:
        source._discovered_at = float("-inf")  # a minute later
    driver.collect()
    page = driver.recount()
    assert page.one(names.COLLECTION_SUCCESS, source=schema, part=names.COUNTERS) == 0
    assert page.of(names.JOBS) == {}
    driver.close()
    report = check.examine(configured(database.dsn_as(reader)).databases[0])
    (message,) = {found.message for found in report.findings if f"{schema}.enabled: true" in found.message}
    assert third.info.user in message
    assert ran_as(third) == set()


@pytest.mark.parametrize("how", HOW)
def test_it_does_run_where_the_configuration_vouches_for_the_owner(
    database: Database, third: psycopg.Connection[Any], how: str
) -> None:
    """Else the test above would prove nothing, and this page's warning would be idle."""
    reader = database.server.add_user()
    make(third, "pgmq", how)
    driver = Driver(database.dsn_as(reader), pgmq={"enabled": True})
    driver.collect()
    driver.close()
    assert ran_as(third) == {reader}


def test_an_honest_application_s_schema_is_read_when_named_and_check_tells_whose_it_is(
    database: Database, third: psycopg.Connection[Any]
) -> None:
    reader = database.server.add_user()
    make(third, "pgmq", "")
    driver = Driver(database.dsn_as(reader), pgmq={"enabled": True})
    assert driver.collect().jobs("mail") == (0, 0, 0)
    driver.close()
    report = check.examine(configured(database.dsn_as(reader), pgmq={"enabled": True}).databases[0])
    (note,) = [found for found in report.findings if "trusts that role" in found.message]
    assert note.level == "note"
    assert third.info.user in note.message


@pytest.mark.parametrize("owner", ["the database's owner", "pg_database_owner", "the reader itself"])
def test_schemas_of_those_who_could_do_as_much_anyway_are_read(
    database: Database, third: psycopg.Connection[Any], owner: str
) -> None:
    reader = database.server.add_user()
    make(third, "pgmq", "")
    if owner == "the database's owner":
        database.run(f'alter database "{database.name}" owner to "{third.info.user}"')
    elif owner == "pg_database_owner":
        database.run("alter schema pgmq owner to pg_database_owner")
    else:
        reader = third.info.user
    driver = Driver(database.dsn_as(reader))
    assert driver.collect().jobs("mail") == (0, 0, 0)
    driver.close()


def test_a_schema_handed_to_somebody_else_is_read_no_more(database: Database, third: psycopg.Connection[Any]) -> None:
    make(third, "pgmq", "")
    database.run("alter schema pgmq owner to current_user")
    driver = Driver(database.dsn_as(database.server.add_user()))
    assert driver.collect().jobs("mail") == (0, 0, 0)
    database.run(f'alter schema pgmq owner to "{third.info.user}"')
    third.execute("create index on pgmq.q_mail (pgmq.tell(1))")
    ran_as(third)
    driver.pgmq._discovered_at = float("-inf")  # a minute later
    driver.recount()
    driver.close()
    assert ran_as(third) == set()


class _Row(NamedTuple):
    value: str


#: By what the owner of a table did: whether it runs code of theirs in a session that reads as the exporter does.
TRIED = {
    "an index": ("create index on s.t (s.tell(1))", True),
    "an index's predicate": ("create index on s.t (n) where s.tell(1) = 1", True),
    "statistics": ("create statistics s.told on (s.tell(1)), n from s.t", True),
    "a view": ("alter table s.t rename to u; create view s.t as select n, e from s.u where s.tell(1) = 1", True),
    "a cast": ("create cast (s.kind as text) with function s.text(s.kind) as implicit", True),
    "a check": ("alter table s.t add check (s.tell(1) = 1)", False),
    "a policy": ("alter table s.t enable row level security; create policy p on s.t using (s.tell(1) = 1)", False),
    "a generated column": ("alter table s.t add g int generated always as (s.tell(n)) stored", False),
    "a default": ("alter table s.t alter n set default s.tell(1)", False),
    "an operator": ("create operator s.= (leftarg = s.kind, rightarg = s.kind, function = s.same)", False),
}


@pytest.mark.parametrize("how", TRIED)
def test_what_the_owner_of_a_table_can_run_in_its_readers(
    database: Database, third: psycopg.Connection[Any], how: str
) -> None:
    """What docs/security.md says of it, on every server."""
    reader = database.server.add_user()
    third.execute("create schema s; create type s.kind as enum ('a'); create table s.t (n int, e s.kind)")
    tell = "language plpgsql immutable as $$ begin perform pg_notify('loot', current_user); return {}; end $$"
    for function, result in (("tell(int) returns int", "1"), ("text(s.kind) returns text", "'a'")):
        third.execute(f"create function s.{function} {tell.format(result)}".encode())
    third.execute(f"create function s.same(s.kind, s.kind) returns boolean {tell.format('true')}".encode())
    third.execute("insert into s.t values (1, 'a')")
    statement, runs = TRIED[how]
    third.execute(statement.encode())
    third.execute(f'grant usage on schema s to "{reader}"; grant select on s.t to "{reader}"'.encode())
    ran_as(third)
    session = Session(configured(database.dsn_as(reader)).databases[0])
    session.connect()
    select = raw("select e::text as value from s.t where n = 1 and e = 'a' limit 1")
    if how == "a policy":
        with pytest.raises(SourceError, match="row-level security"):
            session.read(select, _Row)
    else:
        assert session.read(select, _Row) == [("a",)]
    session.close()
    assert ran_as(third) == ({reader} if runs else set())
