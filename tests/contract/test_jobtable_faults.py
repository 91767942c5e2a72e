"""What is wrong with a job table is told by its column, once in the log and in `check`; the other sources run on."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from psycopg import sql

from exporter import names
from exporter.collector.check import Report, examine, lines
from exporter.errors import SourceError
from tests.contract.test_cost import watched
from tests.exporter import Collected, configured, driving, settled
from tests.jobtables import create, described, finish, finished, index, runs
from tests.pgmq_install import install_pgmq
from tests.servers import Database, flush

#: What is wrong is told in the same words through the functions of `sql role`.
BOTH_WAYS = True


def role_that_reads(database: Database, *grants: str) -> str:
    """A role with the right to pgmq's queues, and to what else is said."""
    role = database.server.add_user()
    with database.connect() as connection:
        for grant in ("usage on schema pgmq", "select on all tables in schema pgmq", *grants):
            connection.execute(sql.SQL("grant {} to {}").format(sql.SQL(grant), sql.Identifier(role)))
    return role


def told(report: Report) -> str:
    """What `check` says is wrong."""
    return "\n".join(finding.message for finding in report.findings if finding.level == "error")


def succeeded(page: Collected) -> dict[str, int]:
    """By source: whether all of its parts succeeded."""
    found: dict[str, int] = {}
    for labels, value in page.of(names.COLLECTION_SUCCESS).items():
        if labels[1].startswith(("pgmq", "jobtable:")):
            found[labels[1]] = min(value, found.get(labels[1], 1))
    return found


BROKEN = [
    pytest.param({"started": "job.startd"}, "started: column job.startd does not exist", id="missing column"),
    pytest.param(
        {"finished": ["completed", "faild"]}, 'finished[1]: column "faild" does not exist', id="one of several"
    ),
    pytest.param({"table": "public.jbos"}, "there is no table or view public.jbos", id="missing table"),
    pytest.param({"table": "nowhere.jobs"}, "there is no table or view nowhere.jobs", id="missing schema"),
    pytest.param(
        {"started": "job.attempt"},
        "started: expected timestamp with time zone; job.attempt is integer",
        id="wrong type",
    ),
    pytest.param(
        {"finished": "job.completed at time zone 'UTC'"},
        "finished: job.completed at time zone 'UTC' is a timestamp without time zone; if it holds UTC, say",
        id="no time zone",
    ),
    pytest.param({"attempt": "job.queue"}, "attempt: expected a whole number; job.queue is text", id="no number"),
    pytest.param(
        {"finished": "job.started"},
        "finished: no index leads with job.started, so every read would be of the whole public.jobs",
        id="no index",
    ),
    pytest.param(
        {"finished": "job.dead"},
        "finished: no index leads with job.dead, so every read would be of the whole public.jobs",
        id="only second in an index",
    ),
    pytest.param({"outcome": "nosuch(job.queue)"}, "outcome: function nosuch(text) does not exist", id="no function"),
    pytest.param(
        {"tenant": "run.project", "join": "public.runs run on run.id = job.id"},
        'tenant: relation "public.runs" does not exist',
        id="tenant",
    ),
    pytest.param(
        {"tenant": "run.queue", "join": "public.forbidden run on run.id = job.id"},
        "tenant: permission denied for table forbidden",
        id="no right to what is joined",
    ),
    pytest.param(
        {"tenant": "run.queue", "join": "public.secret run on run.id = job.id"},
        'tenant: query would be affected by row-level security policy for table "secret"',
        id="what is joined is hidden",
    ),
    pytest.param({"table": "public.broken"}, "public.broken: division by zero", id="a view that errors"),
    pytest.param({"table": "public.secret"}, "row-level security hides rows of public.secret", id="hidden"),
    pytest.param({"table": "public.forbidden"}, "the role may not SELECT from public.forbidden", id="no right"),
]


@pytest.mark.parametrize(("keys", "expected"), BROKEN)
def test_what_is_wrong_is_told_and_the_other_sources_run_on(
    pgmq_database: Database, keys: dict[str, Any], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        connection.execute("select pgmq.create('mail')")
        connection.execute("create index on public.jobs (queue, dead)")
        connection.execute(
            "create view public.broken as select id, queue, attempt, max_attempts, enqueued, failed, cancelled, dead,"
            " started + interval '0 s' / (attempt - 1) as started, completed from public.jobs"
        )
        finish(connection)
        connection.execute("create table public.secret (like public.jobs including all)")
        connection.execute("alter table public.secret enable row level security")
        connection.execute("create table public.forbidden (like public.jobs including all)")
        dsn = pgmq_database.dsn_as(
            role_that_reads(pgmq_database, *(f"select on public.{name}" for name in ("jobs", "broken", "secret")))
        )
        tables = described(**keys)
        with caplog.at_level(logging.WARNING), driving(dsn, job_tables=tables, vacuum=False) as driver:
            for _ in range(3):
                page = driver.collect()
            lines = [record.getMessage() for record in caplog.records]
            assert len(lines) == 1, lines
            assert expected in lines[0]
            assert lines[0].startswith("job table tracking: ")
            assert page.one(names.UP) == 1
            assert succeeded(page) == {"pgmq": 1, "jobtable:tracking": 0}
            assert page.jobs("mail") == (0, 0, 0)
        report = examine(configured(dsn, job_tables=tables, vacuum=False).databases[0])
        assert told(report).count(expected) == 1


def test_check_tells_how_a_table_is_read_and_what_no_source_knows(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        connection.execute("select pgmq.create('mail')")
        connection.execute("drop index public.jobs_enqueued_idx")
    tables = [*described(queues=["mail", "mial"]), *described(name="own", source="none", finished="completed")]
    report = examine(configured(pgmq_database.dsn, job_tables=tables).databases[0])
    said = "\n".join(lines(report))
    assert report.ok, said
    assert "jobtable:tracking: public.jobs, read by jobs_completed_idx and jobs_failed_idx, and more, 2 queues" in said
    assert "jobtable:own: public.jobs, read by jobs_completed_idx, 0 queues" in said
    assert "queue mial     job table tracking describes it, but pgmq does not show it" in said
    assert "job table own  enqueued: no index leads with job.enqueued: arrivals are not counted" in said


def test_a_fault_of_the_tenant_keeps_no_job_from_being_counted(database: Database) -> None:
    with database.connect() as connection:
        create(connection)
        with driving(database.dsn, job_tables=described(source="none", tenant="job.project")) as driver:
            finish(connection)
            page = settled(driver)
            assert finished(page) == {"completed": 1}
            assert succeeded(page)["jobtable:tracking"] == 0


def test_a_table_that_is_dropped_and_made_again(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        connection.execute("select pgmq.create('mail')")
        with driving(pgmq_database.dsn, job_tables=described()) as driver:
            finish(connection, jobs=2)
            assert finished(settled(driver)) == {"completed": 2}
            connection.execute("drop table public.jobs")
            page = driver.collect()
            assert succeeded(page) == {"pgmq": 1, "jobtable:tracking": 0}
            assert driver.recount().one(names.COLLECTION_ERRORS, source="jobtable:tracking", reason="missing") >= 2
            create(connection)
            finish(connection, jobs=3)
            driver.recount()
            assert finished(settled(driver)) == {"completed": 5}


def test_a_right_that_is_revoked_and_given_back(pgmq_database: Database) -> None:
    role = role_that_reads(pgmq_database)
    grant, revoke = (
        sql.SQL(text).format(sql.Identifier(role))
        for text in ("grant select on public.jobs to {}", "revoke select on public.jobs from {}")
    )
    with pgmq_database.connect() as connection:
        create(connection)
        connection.execute(grant)
        with driving(pgmq_database.dsn_as(role), job_tables=described(), vacuum=False) as driver:
            connection.execute(revoke)
            finish(connection, jobs=2)
            page = settled(driver)
            assert succeeded(page) == {"pgmq": 1, "jobtable:tracking": 0}
            assert page.one(names.COLLECTION_ERRORS, source="jobtable:tracking", reason="privilege") >= 1
            connection.execute(grant)
            driver.recount()
            assert finished(settled(driver)) == {"completed": 2}, "what came meanwhile is caught up with"


def test_a_locked_table_costs_only_itself(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection, pgmq_database.connect() as other:
        create(connection)
        with driving(pgmq_database.dsn, job_tables=described(), vacuum=False) as driver:
            finish(connection, jobs=2)
            with other.transaction():
                other.execute("lock table public.jobs")
                page = driver.recount()
                assert succeeded(page) == {"pgmq": 1, "jobtable:tracking": 0}
                assert page.one(names.COLLECTION_ERRORS, source="jobtable:tracking", reason="lock") == 1
            assert finished(settled(driver)) == {"completed": 2}


def test_a_view_over_partitions_is_read_by_their_indexes(database: Database) -> None:
    with database.connect() as connection:
        create(connection)
        connection.execute("alter table public.jobs rename to former")
        connection.execute(
            "create table public.parts (like public.former including defaults including identity)"
            " partition by range (id)"
        )
        connection.execute("create table public.first partition of public.parts for values from (1) to (4)")
        connection.execute("create table public.second partition of public.parts for values from (4) to (1000)")
        for column in ("completed", "failed", "cancelled", "enqueued"):
            connection.execute(f"create index on public.parts ({column})")
        connection.execute("create view public.jobs as select * from public.parts where attempt > 0")
        with driving(database.dsn, job_tables=described(source="none")) as driver:
            assert driver.collection.parts[-2].faults == []
            finish(connection, jobs=9)
            assert finished(settled(driver)) == {"completed": 9}
            connection.execute("drop index public.parts_completed_idx")
            connection.execute("create index on public.first (completed)")
            page = driver.recount()
            assert succeeded(page)["jobtable:tracking"] == 0
            assert "the whole public.second" in driver.collection.parts[-2].faults[0].detail


def test_expressions_with_an_index_of_their_own(database: Database) -> None:
    with database.connect() as connection:
        create(connection, indexes=False)
        connection.execute("create index on public.jobs (least(completed, failed), queue)")
        tables = described(source="none", finished="least(job.completed, job.failed)", queue="'the queue'")
        with driving(database.dsn, job_tables=tables) as driver:
            assert driver.collect().one(names.FINISHED_JOBS, outcome=names.COMPLETED, queue="the queue") == 0
            finish(connection)
            finish(connection, column="failed")
            page = settled(driver)
            assert finished(page, "the queue") == {"completed": 1}
            assert page.one(names.RETRIED) == 1
            assert runs(page, "the queue") == 1


def test_a_reading_with_many_finished_jobs_touches_only_the_new_ones(database: Database) -> None:
    """500,000 old rows, never analysed."""
    install_pgmq(database.dsn)
    with database.connect() as connection:
        create(connection, indexes=False)
        connection.execute("alter table public.jobs set (autovacuum_enabled = false)")
        connection.execute(
            "insert into public.jobs (queue, enqueued, started, completed) select 'mail', at, at, at from"
            " (select now() - random() * interval '10 days' as at from generate_series(1, 500000)) s"
        )
        index(connection)
        flush(connection)
        with watched(database, job_tables=described(source="none"), vacuum=False) as one:
            connection.execute(sql.SQL("grant select on public.jobs to {}").format(sql.Identifier(one.role)))
            first, _ = one.collect()
            assert first.blocks < 5_000, "a thousand rows are looked at, for the queues"
            quiet, _ = one.collect()
            finish(connection, jobs=100)
            for _ in range(20):  # whoever else is open in the database (an autovacuum) is waited for
                time.sleep(0.15)
                busy, page = one.collect()
                if finished(page):
                    break
            assert finished(page) == {"completed": 100}
            assert busy.blocks < 700, busy
            assert busy.selects - quiet.selects <= 3, (quiet, busy)
            again, page = one.collect()
            assert finished(page) == {"completed": 100}
            assert again.selects == quiet.selects, "nothing changed: nothing is read"


def test_a_window_that_takes_too_long_is_halved(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.connect() as connection:
        create(connection)
        with driving(database.dsn, job_tables=described(source="none")) as driver:
            settled(driver)
            source: Any = driver.collection.sources[-2]
            source._until -= 20.5
            connection.execute(
                "insert into public.jobs (queue, completed) select 'mail', now() - n * interval '0.2 s'"
                " from generate_series(0, 99) n"
            )
            flush(connection)
            read, slow = source._read_window, []

            def reading(session: Any, database: Any, definition: Any, window: Any) -> None:
                if window.until - window.after > 6:
                    slow.append(window)
                    raise SourceError("timeout", "canceling statement due to statement timeout")
                read(session, database, definition, window)

            monkeypatch.setattr(source, "_read_window", reading)
            time.sleep(0.15)
            counts = [sum(finished(driver.collect()).values()) for _ in range(16)]
            assert slow
            assert counts == sorted(counts)
            assert counts[-1] == 100, counts
