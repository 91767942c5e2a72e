"""Tables of somebody who is not trusted run nothing as the owner of the functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from exporter.collector import check
from exporter.sources.role_sql import expected, role_lines
from exporter.sources.statements import SCHEMA
from tests.exporter import Driver, configured
from tests.pgmq_install import install_pgmq
from tests.roles import ROLE, run_script, set_up_role
from tests.servers import Database, Server
from tests.thirds import BOSS, make_tell, ran_as, third_in


@pytest.fixture
def jobs(pgmq_database: Database) -> Database:
    pgmq_database.run("select pgmq.create('mail')")
    return pgmq_database


@pytest.fixture
def third(jobs: Database) -> Iterator[psycopg.Connection[Any]]:
    with third_in(jobs) as connection:
        yield connection


def make_boss(third: psycopg.Connection[Any], how: str) -> None:
    """A schema that looks like pg-boss's, whose tables tell who reads them."""
    third.execute("create schema pgboss; grant usage on schema pgboss to public")
    for table, columns in BOSS.items():
        third.execute(f"create table pgboss.{table} ({columns}); grant select on pgboss.{table} to public".encode())
    third.execute("insert into pgboss.version values (46)")
    make_tell(third, "pgboss")
    if how == "index":
        for table in ("version", "queue", "schedule", "job"):
            third.execute(f"create index on pgboss.{table} (pgboss.tell(1)) where pgboss.tell(1) = 1".encode())
    else:
        third.execute("alter table pgboss.version rename to version_")
        third.execute("create view pgboss.version as select pgboss.tell(1) as version from pgboss.version_")
        third.execute("grant select on pgboss.version to public")


def call_all(connection: psycopg.Connection[Any]) -> list[str]:
    """Calls the functions that need no argument; gives their errors."""
    connection.execute("set default_transaction_read_only = off")
    errors = []
    for what in ("version", "queues", "schedules", "workers"):
        try:
            connection.execute(f"select * from {SCHEMA}.pgboss_{what}()".encode())
            errors.append("")
        except psycopg.Error as error:
            errors.append(error.sqlstate or "")
    return errors


@pytest.mark.parametrize("how", ["index", "view"])
def test_a_schema_made_later_by_a_third_runs_nothing_as_the_owner(
    jobs: Database, third: psycopg.Connection[Any], how: str
) -> None:
    role = set_up_role(jobs.dsn, configured(jobs.dsn).databases[0])
    make_boss(third, how)
    with psycopg.connect(role, autocommit=True) as connection:
        assert call_all(connection) == ["42501"] * 4
    driver = Driver(role)
    for _ in range(2):
        page = driver.collect()
    assert page.jobs("mail") == (0, 0, 0)
    driver.close()
    assert ran_as(third) == set()
    # It does tell, of whoever reads it.
    jobs.run("select version from pgboss.version where version > 0 and pgboss.tell(1) = 1")
    assert ran_as(third)


def test_a_table_that_changes_hands_is_not_read(jobs: Database, third: psycopg.Connection[Any]) -> None:
    role = set_up_role(jobs.dsn, configured(jobs.dsn).databases[0])
    call = (
        f"select * from {SCHEMA}.pgmq_head_by_vt(array['mail'], array[0::bigint], array['-infinity'::timestamptz])"
    ).encode()
    with psycopg.connect(role, autocommit=True) as connection:
        connection.execute(call)
        for table in ("q_mail", "meta"):
            jobs.run(f'alter table pgmq.{table} owner to "{third.info.user}"')
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="belongs to a role"):
                connection.execute(call)
            jobs.run(f"alter table pgmq.{table} owner to current_user")
        connection.execute(call)


def test_a_superuser_makes_no_functions_over_tables_of_others(jobs: Database, third: psycopg.Connection[Any]) -> None:
    make_boss(third, "index")
    with pytest.raises(psycopg.errors.RaiseException, match="who is no superuser"):
        run_script(jobs.dsn, role_lines(configured(jobs.dsn).databases[0], ROLE))
    assert ran_as(third) == set()
    assert jobs.run("select from pg_namespace where nspname = %s", [SCHEMA]) == []


def test_an_owner_does_not_read_what_a_third_has_made(server: Server) -> None:
    database = server.create_database()
    owner = server.add_user(options="CREATEROLE")
    database.run(f'alter database "{database.name}" owner to "{owner}"')
    dsn, role = database.dsn_as(owner), f"{ROLE}_of_{database.name}"
    with third_in(database) as third:
        make_boss(third, "index")
        warnings = run_script(dsn, role_lines(configured(dsn).databases[0], role))
        assert any("nothing vouches" in warning for warning in warnings), warnings
        with database.connect(role) as connection:
            assert call_all(connection) == ["42501"] * 4
        assert ran_as(third) == set()
    database.run(f'drop owned by "{role}"')
    database.run(f'drop role "{role}"')
    server.drop_database(database.name)


@pytest.mark.parametrize("given", ["by a third", "by a superuser"])
def test_a_membership_vouches_only_if_no_third_gave_it(server: Server, given: str) -> None:
    """Who may make roles can make the owner a member of them: that is a gift to the owner, and no trust in them."""
    database = server.create_database()
    owner, third = server.add_user(options="CREATEROLE"), server.add_user(options="CREATEROLE")
    database.run(f'grant create on database "{database.name}" to "{owner}"')
    role, puppet = f"{ROLE}_of_{database.name}", f"puppet_of_{database.name}"
    with database.connect(third) as connection:
        connection.execute(f'create role "{puppet}" login'.encode())
    with database.connect(third if given == "by a third" else None) as connection:
        connection.execute(f'grant "{puppet}" to "{owner}"'.encode())
    database.run(f'grant create on database "{database.name}" to "{puppet}"')
    with database.connect(puppet) as own:
        own.autocommit = True
        own.execute("listen loot")
        make_boss(own, "index")
        warnings = run_script(database.dsn_as(owner), role_lines(configured(database.dsn).databases[0], role))
        refused = given == "by a third"
        assert any("nothing vouches" in warning for warning in warnings) == refused, warnings
        with database.connect(role) as caller:
            assert ("42501" in call_all(caller)) == refused
        assert ran_as(own) == (set() if refused else {owner})
    database.run(f'drop owned by "{role}"')
    database.run(f'drop role "{role}"')
    server.drop_database(database.name)
    with server.connect() as connection:
        connection.execute(f'drop role "{puppet}"'.encode())


@pytest.mark.parametrize("trusted", [False, True])
def test_functions_of_a_third_are_not_called(jobs: Database, third: psycopg.Connection[Any], *, trusted: bool) -> None:
    """With the right comment, and an argument whose type runs code of theirs: also where they own the database."""
    plain, name = jobs.server.add_user(), "pgmq_head_by_vt"
    jobs.run(f'grant usage on schema pgmq to "{plain}"')
    for kind in ("tables", "sequences"):
        jobs.run(f'grant select on all {kind} in schema pgmq to "{plain}"')
    third.execute("create schema pgboss")  # whoever makes that owns a schema of queues
    third.execute(f"create schema {SCHEMA}; grant usage on schema {SCHEMA} to public".encode())
    third.execute(
        f"""create function {SCHEMA}.tell(text[]) returns boolean language plpgsql as
            $$ begin perform pg_notify('loot', current_user); return true; end $$""".encode()
    )
    third.execute(f"create domain {SCHEMA}.odd as text[] check ({SCHEMA}.tell(value))".encode())
    made, quoted = expected(configured(jobs.dsn).databases[0])[name][0], f'"{SCHEMA}"."{name}"'
    made = made.replace("each_queue text[]", f"each_queue {SCHEMA}.odd", 1)
    made = made.replace(f"comment on function {quoted}(text[]", f"comment on function {quoted}({SCHEMA}.odd")
    third.execute(made.encode())
    if trusted:
        jobs.run(f'alter database "{jobs.name}" owner to "{third.info.user}"')
    driver = Driver(jobs.dsn_as(plain))
    page = driver.collect()
    assert page.jobs("mail") == (0, 0, 0)
    assert driver.collection.session.functions == {}
    driver.close()
    assert ran_as(third) == set()
    report = check.examine(configured(jobs.dsn_as(plain)).databases[0])
    messages = [found.message for found in report.findings if found.level == "error"]
    assert any(f"belongs to {third.info.user}" in message for message in messages) != trusted, messages


def test_an_existing_role_keeps_its_settings_and_what_it_may_read_is_told(jobs: Database) -> None:
    role = jobs.server.add_user()
    jobs.run(f'alter role "{role}" connection limit 77')
    jobs.run(f'grant select on pgmq.q_mail to "{role}"')
    warnings = run_script(jobs.dsn, role_lines(configured(jobs.dsn).databases[0], role))
    assert [("q_mail" in warning, "q_other" in warning) for warning in warnings] == [(True, False)], warnings
    assert jobs.run("select rolconnlimit, rolconfig from pg_roles where rolname = %s", [role]) == [(77, None)]
    jobs.run(f'revoke select on pgmq.q_mail from "{role}"')
    assert run_script(jobs.dsn, role_lines(configured(jobs.dsn).databases[0], role)) == []


def test_a_role_that_owns_something_there_is_not_accepted(jobs: Database) -> None:
    role = jobs.server.add_user()
    jobs.run(f'alter table pgmq.q_mail owner to "{role}"')
    with pytest.raises(psycopg.errors.RaiseException, match="owns something"):
        run_script(jobs.dsn, role_lines(configured(jobs.dsn).databases[0], role))


TRACKING = [{"name": "own", "table": "public.own", "source": "none", "queue": "'x'", "finished": "job.at"}]


def test_check_tells_of_owners_whom_the_functions_do_not_know(jobs: Database, third: psycopg.Connection[Any]) -> None:
    """Whichever table it is, also one that is not read just now; and whose it is."""
    jobs.run("create table public.own (at timestamptz)")
    keys = {"job_tables": TRACKING}
    role = set_up_role(jobs.dsn, configured(jobs.dsn, **keys).databases[0])
    me, other = jobs.server.superuser, third.info.user

    def told() -> set[str]:
        report = check.examine(configured(role, **keys).databases[0])
        return {
            found.about
            for found in report.findings
            if found.level == "error" and f"belongs to {other}" in found.message and "sql role" in found.message
        }

    assert told() == set()
    for what in ("table pgmq.q_mail", "table pgmq.a_mail", "table pgmq.meta", "schema pgmq", "table public.own"):
        jobs.run(f'alter {what} owner to "{other}"')
        assert told() == {what}
        jobs.run(f'alter {what} owner to "{me}"')
    make_boss(third, "index")
    assert "schema pgboss" in told()
    assert "table pgboss.job" in told()


def test_check_is_content_once_they_know_the_owner(server: Server) -> None:
    """Made by a role that has the rights of the new owner, whose name takes quoting."""
    database = server.create_database()
    owner, role = server.add_user(options="CREATEROLE"), f"{ROLE}_of_{database.name}"
    app = server.add_user(name=f"it's \\ {database.name}")
    database.run(f'grant "{app}" to "{owner}"')
    database.run(f'alter database "{database.name}" owner to "{owner}"')
    dsn = database.dsn_as(owner)
    install_pgmq(dsn)
    database.run("select pgmq.create('mail')")
    database.run(f'alter table pgmq.q_mail owner to "{owner}"')
    database.run(f'alter table pgmq.a_mail owner to "{owner}"')
    run_script(dsn, role_lines(configured(dsn).databases[0], role))

    def told() -> list[str]:
        report = check.examine(configured(database.dsn_as(role)).databases[0])
        return [found.about for found in report.findings if "belongs to it's" in found.message]

    assert told() == []
    database.run(f'alter table pgmq.q_mail owner to "{app}"')
    assert told() == ["table pgmq.q_mail"]
    run_script(dsn, role_lines(configured(dsn).databases[0], role))
    assert told() == []
    database.run(f'drop owned by "{role}"')
    database.run(f'drop role "{role}"')
    server.drop_database(database.name)
