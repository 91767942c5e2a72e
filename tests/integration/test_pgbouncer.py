"""Behind a pooler in transaction mode, on the one connection that the application uses too: nothing of ours stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from exporter import names
from exporter.collector import check
from tests.bouncer import PgBouncer
from tests.exporter import Driver, configured
from tests.servers import Database, Server

Pooler = Callable[..., PgBouncer]

#: Everything that a collection sets for itself, and what it could leave behind otherwise.
SETTINGS = (
    "statement_timeout",
    "lock_timeout",
    "row_security",
    "default_transaction_read_only",
    "transaction_read_only",
    "search_path",
    "max_parallel_workers_per_gather",
    "jit",
    "enable_bitmapscan",
    "enable_sort",
)


@pytest.fixture
def pooled(pgmq_database: Database, server: Server, pgbouncer: Pooler) -> Iterator[tuple[Database, PgBouncer]]:
    """A database with the queue ``mail``, and a pooler with a single connection to it."""
    pgmq_database.run("select pgmq.create('mail')")
    pooler = pgbouncer(server, pgmq_database.name, pool_size=1, mode="transaction")
    yield pgmq_database, pooler
    pooler.close()


def application(pooler: PgBouncer) -> psycopg.Connection[Any]:
    """A connection as an application makes it: the same user, so the same connection to the server."""
    connection = psycopg.connect(pooler.dsn(), autocommit=True)
    connection.prepare_threshold = None
    return connection


def settings_of(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    rows = connection.execute("select name, setting from pg_settings where name = any(%s)", [list(SETTINGS)])
    return dict(rows.fetchall())


def test_the_application_sees_the_defaults_after_every_collection(pooled: tuple[Database, PgBouncer]) -> None:
    database, pooler = pooled
    with database.connect() as direct:
        defaults = settings_of(direct)
    assert defaults.keys() == set(SETTINGS)
    driver = Driver(pooler.dsn())
    with application(pooler) as app:
        pids = set()
        for number in range(5):
            page = driver.collect(full=number % 2 == 0)
            assert page.one(names.UP) == 1
            assert settings_of(app) == defaults
            app.execute("select pgmq.send('mail', '{}')")
            pids.add(app.execute("select pg_backend_pid()").fetchone())
        page = driver.collect(full=True)
        assert settings_of(app) == defaults
        assert page.jobs("mail") == (5, 0, 0)
        # It was one connection that both used, or nothing of this was shown.
        assert pids == {(driver.collection.session.server.backend_pid,)}
    driver.close()


def test_a_failing_read_leaves_the_connection_clean(pooled: tuple[Database, PgBouncer]) -> None:
    database, pooler = pooled
    with database.connect() as direct:
        defaults = settings_of(direct)
    driver = Driver(pooler.dsn(), lock_timeout="50ms")
    driver.collect()
    with application(pooler) as app, psycopg.connect(database.dsn) as blocker:
        blocker.execute("lock table pgmq.q_mail in access exclusive mode")
        driver.recount()
        page = driver.collect()
        assert page.one(names.COLLECTION_ERRORS, source="pgmq", part=names.COUNTS, reason="lock") > 0
        assert settings_of(app) == defaults
        assert app.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        blocker.rollback()
        app.execute("select pgmq.send('mail', '{}')")
    assert driver.recount().jobs("mail") == (1, 0, 0)
    driver.close()


def test_the_application_writes_throughout(pooled: tuple[Database, PgBouncer]) -> None:
    database, pooler = pooled
    driver = Driver(pooler.dsn())
    assert driver.collect(full=True).one(names.ENQUEUED, queue="mail") == 0
    refused: list[BaseException] = []
    sent = 0
    done = threading.Event()

    def write() -> None:
        nonlocal sent
        try:
            with application(pooler) as app:
                while not done.is_set():
                    with app.transaction():
                        app.execute("select pgmq.send('mail', '{}')")
                        app.execute("select pgmq.send('mail', '{}')")
                    sent += 2
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what this test is about
            refused.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    until = time.monotonic() + 3
    seen = []
    while time.monotonic() < until:
        page = driver.collect(full=True)
        assert page.one(names.UP) == 1
        assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTERS) == 1
        assert not page.of(names.COLLECTION_ERRORS)
        seen.append(page.one(names.ENQUEUED, queue="mail"))
    done.set()
    writer.join(10)
    assert refused == []
    assert seen == sorted(seen)
    assert len(seen) >= 5
    assert sent > seen[1] > 0 or sent > 20  # they took turns
    page = driver.collect(full=True)
    assert page.one(names.ENQUEUED, queue="mail") == sent
    assert page.jobs("mail") == (sent, 0, 0)
    assert database.run("select count(*) from pgmq.q_mail") == [(sent,)]
    driver.close()


def test_check_says_that_a_pooler_stands_between(pooled: tuple[Database, PgBouncer]) -> None:
    database, pooler = pooled
    report = check.examine(configured(pooler.dsn()).databases[0])
    assert report.ok
    assert report.pooler
    assert report.queues == ["mail"]
    assert any("pooler" in finding.message for finding in report.findings)
    assert "through a pooler" in check.lines(report)[0]
    direct = check.examine(configured(database.dsn).databases[0])
    assert not direct.pooler


def test_the_pooler_going_and_coming_back(pgmq_database: Database, server: Server, pgbouncer: Pooler) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    pooler = pgbouncer(server, pgmq_database.name)
    driver = Driver(pooler.dsn())
    assert driver.collect().one(names.UP) == 1
    # The pooler's server connection goes between two messages: the next read meets it, or a new one.
    pgmq_database.run("select pg_terminate_backend(%s)", [driver.collection.session.server.backend_pid])
    driver.collect()
    pgmq_database.run("select pgmq.send('mail', '{}')")
    page = driver.collect(full=True)
    assert page.one(names.UP) == 1
    assert page.jobs("mail") == (1, 0, 0)
    assert page.one(names.ENQUEUED, queue="mail") == 1
    driver.close()
