"""What `sql role` and `check` tell of a role that may not do what it is to do."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from exporter.collector import check
from exporter.sources.role_sql import drop_lines, role_lines
from exporter.sources.statements import SCHEMA
from tests.exporter import configured
from tests.roles import ROLE, run_script, set_up_role
from tests.servers import Database, Server


def findings(dsn: str, **keys: Any) -> list[tuple[str, str]]:
    """What `check` tells: levels and messages."""
    report = check.examine(configured(dsn, **keys).databases[0])
    return [(found.level, f"{found.about}: {found.message}") for found in report.findings]


def test_a_role_without_rights_is_told_of_sql_role(pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    told = findings(pgmq_database.dsn_as(pgmq_database.server.add_user()))
    assert any(level == "error" and "permission denied" in message for level, message in told), told
    assert any(level == "note" and "pgqueue-exporter sql role prints" in message for level, message in told), told
    assert not any("grant pg_read_all_stats" in message for _, message in told), told


def test_a_role_that_may_call_none_of_the_functions_is_told(pgmq_database: Database) -> None:
    """Also one that has lost them to another."""
    pgmq_database.run("select pgmq.create('mail')")
    second = pgmq_database.server.add_user()
    configuration = configured(pgmq_database.dsn).databases[0]
    first = set_up_role(pgmq_database.dsn, configuration)
    assert not any("may call none" in message for _, message in findings(first))
    without = [message for level, message in findings(pgmq_database.dsn_as(second)) if level == "warning"]
    assert any(f"in {SCHEMA}, and this role may call none of them" in message for message in without), without
    warnings = run_script(pgmq_database.dsn, role_lines(configuration, second))
    assert (
        [warning for warning in warnings if ROLE in warning and "may not call them any more" in warning]
        == warnings
        != []
    )
    assert run_script(pgmq_database.dsn, role_lines(configuration, second)) == []
    assert any("may call none of them" in message for _, message in findings(first))
    assert not any("may call none" in message for _, message in findings(pgmq_database.dsn_as(second)))
    run_script(pgmq_database.dsn, drop_lines(configuration, second))


def test_what_the_role_owns_is_told_with_what_mends_it(pgmq_database: Database) -> None:
    """By both scripts; which then have changed nothing."""
    configuration, role = configured(pgmq_database.dsn).databases[0], f"{ROLE}_owns"
    set_up_role(pgmq_database.dsn, configuration, role)
    with pgmq_database.connect(role) as connection:
        connection.execute("set default_transaction_read_only = off")
        ((number,),) = connection.execute("select lo_create(0)").fetchall()
    functions = pgmq_database.run("select count(*) from pg_proc where pronamespace = %s::regnamespace", [SCHEMA])
    for script in (role_lines(configuration, role), drop_lines(configuration, role)):
        with pytest.raises(psycopg.errors.RaiseException, match=f"large object {number}") as refused:
            run_script(pgmq_database.dsn, script)
        assert f"drop owned by {role}" in str(refused.value)
        assert functions == pgmq_database.run(
            "select count(*) from pg_proc where pronamespace = %s::regnamespace", [SCHEMA]
        )
        assert pgmq_database.run("select has_database_privilege(%s, current_database(), 'connect')", [role]) == [
            (True,)
        ]
    pgmq_database.run(f"drop owned by {role}")
    run_script(pgmq_database.dsn, role_lines(configuration, role))
    run_script(pgmq_database.dsn, drop_lines(configuration, role))
    assert pgmq_database.run("select from pg_roles where rolname = %s", [role]) == []


def test_a_temporary_table_of_an_open_session_is_in_nobody_s_way_but_the_role_s(pgmq_database: Database) -> None:
    configuration, role = configured(pgmq_database.dsn).databases[0], f"{ROLE}_temp"
    set_up_role(pgmq_database.dsn, configuration, role)
    with pgmq_database.connect(role) as connection:
        connection.autocommit = True
        connection.execute("set default_transaction_read_only = off")
        connection.execute("create temp table t (n int)")
        run_script(pgmq_database.dsn, role_lines(configuration, role))
        with pytest.raises(psycopg.errors.RaiseException, match=r"table pg_temp\S*\.t") as refused:
            run_script(pgmq_database.dsn, drop_lines(configuration, role))
        assert "end its sessions" in str(refused.value)
        assert connection.execute(f"select count(*) from {SCHEMA}.pgmq_queues()".encode()).fetchone() == (0,)
        connection.execute("drop table t")
        run_script(pgmq_database.dsn, drop_lines(configuration, role))


def test_a_role_of_two_databases_goes_with_the_last(pgmq_database: Database, server: Server) -> None:
    other, role = server.create_database(), f"{ROLE}_twice"
    for database in (pgmq_database, other):
        set_up_role(database.dsn, configured(database.dsn).databases[0], role)
    for database, left in ((other, [(role,)]), (pgmq_database, [])):
        run_script(database.dsn, drop_lines(configured(database.dsn).databases[0], role))
        assert database.run("select from pg_namespace where nspname = %s", [SCHEMA]) == []
        assert database.run("select rolname from pg_roles where rolname = %s", [role]) == left
    server.drop_database(other.name)


@pytest.mark.parametrize("missing", ["pgboss", "pgmq"])
def test_functions_of_a_queue_system_that_is_not_there_are_no_matter(
    server: Server, pgmq_database: Database, missing: str
) -> None:
    """Neither noted, nor wrong because they know tenants by other rules."""
    other = server.create_database()
    database, there = (pgmq_database, "pgmq") if missing == "pgboss" else (other, "pgboss")
    if there == "pgboss":
        database.run("create schema pgboss")
    role = set_up_role(database.dsn, configured(database.dsn).databases[0])
    for keys, level in ({}, "note"), ({"tenants": {"from": [{"message": "project_id"}]}}, "error"):
        told = findings(role, **keys)
        assert any((found, f"functions of {there}") == (level, message.split(":")[0]) for found, message in told), told
        assert not any(f"functions of {missing}" in message for _, message in told), told
    # Where the configuration says that it is there, something is amiss.
    told = findings(role, **{missing: {"enabled": True}})
    assert any(f"functions of {missing}" in message for _, message in told), told
    server.drop_database(other.name)
