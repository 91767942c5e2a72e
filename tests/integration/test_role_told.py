"""What `sql role` and `check` tell of a role that may not do what it is to do."""

from __future__ import annotations

from exporter.collector import check
from exporter.sources.role_sql import drop_lines, role_lines
from exporter.sources.statements import SCHEMA
from tests.exporter import configured
from tests.roles import ROLE, run_script, set_up_role
from tests.servers import Database


def findings(dsn: str) -> list[tuple[str, str]]:
    """What `check` tells: levels and messages."""
    report = check.examine(configured(dsn).databases[0])
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
