"""Counts beyond the caps: said to be estimates, near the truth, and never below what was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from exporter import names
from exporter.errors import SourceError
from exporter.sources.pgmq_selects import HeadRow
from tests.exporter import Collected, Driver
from tests.pgmq_install import install_pgmq
from tests.servers import Database, PostgresServer, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


LIMIT = 10_000  # the default of `count_limit`


def create(connection: psycopg.Connection[Any]) -> None:
    """A queue that autovacuum leaves alone: when it came would decide what the statistics know."""
    connection.execute("select pgmq.create('estimated')")
    connection.execute("alter table pgmq.q_estimated set (autovacuum_enabled = false)")


def load(connection: psycopg.Connection[Any], *, leased: int = 0, ready: int = 0, scheduled: int = 0) -> None:
    """Jobs in that order by id; leases end sooner than delays."""
    for jobs, vt, reads in (
        (leased, "now() + interval '30 min'", 1),
        (ready, "now() - interval '1 min'", 0),
        (scheduled, "now() + interval '9 h'", 0),
    ):
        connection.execute(
            f"insert into pgmq.q_estimated (read_ct, last_read_at, vt, message)"
            f" select {reads}, case when {reads} > 0 then now() end, {vt}, '{{}}' from generate_series(1, {jobs})"
        )
    flush(connection)


def estimated(page: Collected) -> bool:
    return bool(page.one(names.JOBS_ESTIMATED, queue="estimated"))


def head(page: Collected) -> int:
    return int(page.one(names.UNREADY_HEAD, queue="estimated"))


# Leased jobs ahead of ready ones.


def test_a_long_head_of_leased_jobs(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        load(connection, leased=12_000, ready=500)
        driver = Driver(pgmq_database.dsn)
        for full in (True, False, False):
            page = driver.collect(full=full)
            ready, scheduled, in_flight = page.jobs("estimated")
            assert ready == 500
            assert in_flight == pytest.approx(12_000, rel=0.05)
            assert scheduled <= 100
            assert estimated(page)
            assert head(page) == LIMIT

        connection.execute("select pgmq.delete('estimated', array(select msg_id from pgmq.q_estimated limit 9000))")
        flush(connection)
        page = driver.collect()
        assert page.jobs("estimated") == (500, 0, 3_000)
        assert not estimated(page), "all are below the limit"
        assert head(page) == 3_000

        connection.execute(
            "select pgmq.delete('estimated', array(select msg_id from pgmq.q_estimated order by 1 limit 2500))"
        )
        flush(connection)
        page = driver.collect()
        assert page.jobs("estimated") == (500, 0, 500)
        assert not estimated(page)
        assert head(page) == 500

        connection.execute(
            "select pgmq.delete('estimated', array(select msg_id from pgmq.q_estimated where read_ct > 0))"
        )
        flush(connection)
        page = driver.collect()
        assert page.jobs("estimated") == (500, 0, 0)
        assert not estimated(page)
        assert head(page) == 0
        driver.close()


def test_without_a_ready_job_all_are_the_head(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        load(connection, leased=400, scheduled=200)
        driver = Driver(pgmq_database.dsn)
        page = driver.collect()
        assert page.jobs("estimated") == (0, 200, 400)
        assert head(page) == 600
        assert not estimated(page)
        load(connection, leased=11_000)
        page = driver.collect()
        assert head(page) == LIMIT
        assert estimated(page)
        driver.close()


def test_leases_and_delays_below_the_limit_are_exact(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        load(connection, leased=1_500, scheduled=8_000)
        driver = Driver(pgmq_database.dsn)
        page = driver.collect()
        assert page.jobs("estimated") == (0, 8_000, 1_500)
        assert not estimated(page)
        # Beyond the limit, the farthest times tell that what was not seen are delays.
        load(connection, scheduled=20_000)
        connection.execute("analyze pgmq.q_estimated")
        page = driver.collect()
        assert estimated(page)
        assert page.jobs("estimated")[2] == 1_500
        assert page.jobs("estimated")[1] == pytest.approx(28_000, rel=0.01)
        driver.close()


def test_a_head_that_could_not_be_measured_is_not_invented(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        load(connection, leased=1_400, ready=5)
        driver = Driver(pgmq_database.dsn)
        session = driver.collection.session
        read = session.read

        def timing_out(select: Any, into: Any, **_: Any) -> Any:
            if into is HeadRow:
                raise SourceError("timeout", "canceling statement due to statement timeout")
            return read(select, into)

        session.read = timing_out  # type: ignore[method-assign]  # a spy
        page = driver.collect()
        assert page.jobs("estimated") == (5, 0, 1_400)
        assert page.maybe(names.UNREADY_HEAD, queue="estimated") is None
        assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 0
        session.read = read  # type: ignore[method-assign]  # as it was
        driver.pgmq._access.clear()
        assert head(driver.collect()) == 1_400
        driver.close()


# Sums beyond the caps.


@pytest.mark.parametrize(
    ("loaded", "exact"),
    [
        ({"ready": 60_000}, {names.SCHEDULED: 0, names.IN_FLIGHT: 0}),
        ({"leased": 900, "ready": 60_000}, {names.SCHEDULED: 0, names.IN_FLIGHT: 900}),
        ({"leased": 700, "ready": 9_999, "scheduled": 60_000}, {names.READY: 9_999}),
        ({"leased": 60_000, "ready": 12}, {names.READY: 12}),
        ({"leased": 500, "ready": 40_000, "scheduled": 30_000}, {}),
    ],
    ids=["ready", "ready-and-leased", "scheduled", "leased", "both"],
)
def test_sums_are_near_and_what_is_below_the_cap_is_exact(
    pgmq_database: Database, loaded: dict[str, int], exact: dict[str, int]
) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        load(connection, **loaded)
        connection.execute("analyze pgmq.q_estimated")
        driver = Driver(pgmq_database.dsn)
        page = driver.recount()
        check(page, sum(loaded.values()), within=0.10)
        check_exact(page, exact)

        # A third is replaced, and nothing tells the statistics but their own counters.
        total = sum(loaded.values())
        for _ in range(3):
            part = {state: round(number * 0.1) for state, number in loaded.items()}
            for state, those in (
                ("ready", "vt <= now()"),
                ("leased", "vt > now() and read_ct > 0"),
                ("scheduled", "vt > now() and read_ct = 0"),
            ):
                connection.execute(
                    f"delete from pgmq.q_estimated where msg_id in"
                    f" (select msg_id from pgmq.q_estimated where {those} order by 1 limit {part.get(state, 0)})"
                )
            load(connection, **part)
            page = driver.collect()
            check(page, total, within=0.25)
            check_exact(page, exact)
        driver.close()


def check(page: Collected, total: int, *, within: float) -> None:
    assert estimated(page)
    assert sum(page.jobs("estimated")) == pytest.approx(total, rel=within)


def check_exact(page: Collected, exact: dict[str, int]) -> None:
    for state, number in exact.items():
        assert page.one(names.JOBS, queue="estimated", state=state) == number


# Statistics that were lost.


def test_no_estimate_is_below_what_was_seen(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        load(connection, ready=30_000, scheduled=12_000)
        connection.execute("analyze pgmq.q_estimated")
        driver = Driver(pgmq_database.dsn)
        driver.collect()
        connection.execute("select pg_stat_reset()")
        for _ in range(2):
            page = driver.collect()
            ready, scheduled, in_flight = page.jobs("estimated")
            assert ready > LIMIT
            assert scheduled > LIMIT
            assert in_flight == 0
            assert ready + scheduled == pytest.approx(42_000, rel=0.1), "what ANALYZE counted is not forgotten"
        load(connection, ready=4_000)
        assert sum(driver.collect().jobs("estimated")) == pytest.approx(46_000, rel=0.1)
        driver.close()


def test_no_estimate_is_below_what_was_seen_without_any_statistics(pgmq_database: Database) -> None:
    """Never analyzed, then reset: nothing is known but what is seen."""
    with pgmq_database.connect() as connection:
        create(connection)
        load(connection, ready=30_000)
        driver = Driver(pgmq_database.dsn)
        driver.collect()
        connection.execute("select pg_stat_reset()")
        page = driver.collect()
        assert page.jobs("estimated")[0] > LIMIT
        assert page.jobs("estimated")[1:] == (0, 0)
        assert estimated(page)
        driver.close()


def test_no_estimate_is_below_what_was_seen_after_a_crash(own_server: Callable[..., PostgresServer]) -> None:
    server = own_server(18)
    database = server.create_database()
    install_pgmq(database.dsn)
    with database.connect() as connection:
        create(connection)
        load(connection, ready=30_000)
        connection.execute("analyze pgmq.q_estimated")
        connection.execute("checkpoint")
    driver = Driver(database.dsn)
    assert sum(driver.collect().jobs("estimated")) == pytest.approx(30_000, rel=0.1)
    server.kill()
    page = driver.collect()
    assert page.one(names.UP) == 0
    server.start()
    lost = database.run("select pg_stat_get_live_tuples('pgmq.q_estimated'::regclass)")
    assert lost == [(0,)], "a crash is meant to lose the statistics"
    page = driver.collect()
    assert page.one(names.UP) == 1
    ready, scheduled, in_flight = page.jobs("estimated")
    assert ready > LIMIT
    assert (scheduled, in_flight) == (0, 0)
    assert ready == pytest.approx(30_000, rel=0.1)
    driver.close()
