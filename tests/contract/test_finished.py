"""Archived jobs are timed once each, whenever their transactions commit."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from exporter import names
from exporter.errors import SourceError
from exporter.model import Distribution
from exporter.sources.pgmq_selects import FinishedRow
from tests.exporter import Collected, Driver, configured, driving, settled
from tests.pgmq_install import install_pgmq
from tests.servers import Database, Server, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


JOBS = 10_000
WRITERS = 8

#: The longest that a writer holds a transaction open, before or after it archives, in seconds.
HELD = 5.0
PAUSES = (HELD, 2.0, 0.3, 0.3, 0.1, 0.1, 0.1)

#: How long the slowest part of a test may take before it counts as hanging, in seconds.
PATIENCE = 60.0


def runs(page: Collected, queue: str = "finished") -> Distribution:
    """The run histogram of a queue."""
    found = page.one(names.RUN, queue=queue)
    assert isinstance(found, Distribution)
    return found


def grant(database: Database) -> str:
    """A role that may read the queues and nothing else: it sees no other session's activity."""
    role = database.server.add_user()
    with database.connect() as connection:
        for grants in (
            "usage on schema pgmq",
            "select on all tables in schema pgmq",
            "select on all sequences in schema pgmq",
        ):
            connection.execute(sql.SQL("grant {} to {}").format(sql.SQL(grants), sql.Identifier(role)))
    return role


class Load:
    """Writers that archive the jobs of one queue, in transactions that are held open at times."""

    def __init__(self, database: Database, seed: int, pauses: tuple[float, ...]) -> None:
        self.database = database
        self._pauses = pauses
        self.faults: list[BaseException] = []
        with database.connect() as connection:
            connection.execute("select pgmq.create('finished')")
            connection.execute(
                "insert into pgmq.q_finished (read_ct, last_read_at, vt, message)"
                " select 1, now() - random() * interval '30 s', now() + interval '1 h', '{}'"
                " from generate_series(1, %s)",
                [JOBS],
            )
        self._threads = [threading.Thread(target=self._write, args=(writer, seed)) for writer in range(WRITERS)]

    def start(self) -> None:
        """Start the writers."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for the writers, and fail where one did."""
        for thread in self._threads:
            thread.join()
        if self.faults:
            raise self.faults[0]

    def _write(self, writer: int, seed: int) -> None:
        try:
            with self.database.connect() as connection:
                self._archive(connection, random.Random(seed * WRITERS + writer), range(writer + 1, JOBS + 1, WRITERS))
                flush(connection)
        except BaseException as fault:  # noqa: BLE001 - join() raises it
            self.faults.append(fault)

    def _archive(self, connection: psycopg.Connection[Any], chance: random.Random, ids: range) -> None:
        done = 0
        # Some wait before they archive (their rows are stamped with their start), some after.
        pauses = chance.sample(self._pauses, len(self._pauses))
        place = 0
        while done < len(ids):
            size = chance.choice((1, 1, 1, 1, 30, 60))
            batch = list(ids[done : done + size])
            pause = 0.0
            if chance.random() < 0.15 and place < len(pauses):
                pause, place = pauses[place], place + 1
            before = chance.random() < 0.5
            rolled_back = chance.random() < 0.1
            with connection.transaction(force_rollback=rolled_back):
                connection.execute("select 1")
                if before:
                    time.sleep(pause)
                if size == 1:
                    connection.execute("select pgmq.archive('finished', %s::bigint)", batch)
                else:
                    connection.execute("select pgmq.archive('finished', %s::bigint[])", [batch])
                if not before:
                    time.sleep(pause)
            done += 0 if rolled_back else len(batch)


class Reader(threading.Thread):
    """Takes about every 100 ms until stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Take, and take again."""
        while not self._stopping.wait(0.1):
            self.take()

    def stop(self) -> None:
        """Stop, and take what came last."""
        self._stopping.set()
        self.join()
        self.take()

    def take(self) -> None:
        """One reading."""
        raise NotImplementedError


class Watcher(Reader):
    """Collects about every 100 ms until stopped; the count of the run histogram must never fall."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver
        self.counts: list[int] = []

    def take(self) -> None:
        """Collect once."""
        self.counts.append(runs(self.driver.collect()).observations)


class Naive(Reader):
    """Reads up to now each time, as one would who knows nothing of late commits."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.count = 0
        self._connection = database.connect()
        self._after = self._now()

    def _now(self) -> Any:
        row = self._connection.execute("select clock_timestamp()").fetchone()
        assert row is not None
        return row[0]

    def take(self) -> None:
        """Count what was archived since the last time."""
        until = self._now()
        row = self._connection.execute(
            "select count(*) from pgmq.a_finished where archived_at > %s and archived_at <= %s", [self._after, until]
        ).fetchone()
        assert row is not None
        self.count, self._after = self.count + row[0], until


def test_every_archived_job_is_timed_once(server: Server) -> None:
    """Three exporters on two databases: one sees all, one may see no other session, one has an idle one beside it."""
    plain, beside = server.create_database(), server.create_database()
    for database in (plain, beside):
        install_pgmq(database.dsn)
    loads = [Load(plain, 1, PAUSES), Load(beside, 2, (*PAUSES, HELD, HELD))]
    watchers = [
        (plain, Watcher(Driver(plain.dsn))),
        (plain, Watcher(Driver(plain.dsn_as(grant(plain))))),
        (beside, Watcher(Driver(beside.dsn, settle_max="10s"))),
    ]
    for _, watcher in watchers:
        watcher.driver.collect()
        watcher.take()
        assert watcher.counts == [0]
    naive = Naive(plain)
    with beside.connect() as idle:
        idle.execute("begin")
        idle.execute("select 1")
        archive_all(loads, [watcher for _, watcher in watchers], naive)
        # The idle transaction is still open, and was there before the first job was archived.
        for database, watcher in watchers:
            watcher.take()
            check(watcher, histogram(database))
            watcher.driver.close()
        assert naive.count < JOBS, "this load would not have shown a fence that does not hold"
        idle.execute("rollback")
    for database in (plain, beside):
        server.drop_database(database.name)


def archive_all(loads: list[Load], watchers: list[Watcher], naive: Naive) -> None:
    """Run the loads to their end, and until the watchers have seen it or their patience ends."""
    readers = [*watchers, naive]
    for reader in readers:
        reader.start()
    try:
        for load in loads:
            load.start()
        for load in loads:
            load.join()
        until = time.monotonic() + PATIENCE
        while any(watcher.counts[-1] < JOBS for watcher in watchers) and time.monotonic() < until:
            assert all(reader.is_alive() for reader in readers)
            time.sleep(0.1)
    finally:
        for reader in readers:
            reader.stop()


def check(watcher: Watcher, expected: Distribution) -> None:
    """Its last histogram is that of the archive, and it grew bit by bit."""
    assert watcher.counts[-1] == JOBS, "none lost, none twice"
    last = runs(watcher.driver.collect())
    assert last[:2] == expected[:2]
    assert last.total == pytest.approx(expected.total)
    assert watcher.counts == sorted(watcher.counts)
    assert any(0 < count < JOBS for count in watcher.counts), "jobs were to be timed as they came"


def histogram(database: Database, queue: str = "finished") -> Distribution:
    """What the archive says by plain SQL."""
    row = database.run(
        sql.SQL("""select array(select (select count(*) from {archive}
                                         where extract(epoch from archived_at - last_read_at) <= bound)
                                  from unnest({bounds}) bound order by bound),
                          count(*), sum(extract(epoch from archived_at - last_read_at))::float8
                     from {archive}""")
        .format(
            archive=sql.Identifier("pgmq", f"a_{queue}"), bounds=sql.Literal([float(bound) for bound in names.BUCKETS])
        )
        .as_string()
    )[0]
    return Distribution(tuple(row[0]), row[1], row[2])


# What is timed.


def archive(connection: psycopg.Connection[Any], *jobs: tuple[int, str, str, str]) -> None:
    """Archived jobs: reads, and enqueued, last read and archived as so long ago."""
    for reads, enqueued, read, archived in jobs:
        connection.execute(
            "insert into pgmq.a_finished (msg_id, read_ct, enqueued_at, last_read_at, archived_at, vt, message)"
            " select coalesce(max(msg_id), 0) + 1, %s, now() - %s::interval, now() - %s::interval,"
            " now() - %s::interval, now(), '{}' from pgmq.a_finished",
            [reads, enqueued, read, archived],
        )
    flush(connection)


def test_run_and_wait(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('finished')")
        with (
            driving(pgmq_database.dsn) as usual,
            driving(pgmq_database.dsn, pgmq={"wait_histogram": True}) as waits,
        ):
            archive(
                connection,
                (1, "20 s", "4 s", "0 s"),  # run 4, wait 16
                (1, "500 s", "50 s", "0 s"),  # run 50, wait 450
                (3, "700 s", "0.3 s", "0 s"),  # run 0.3, and no wait: read before
            )
            page = settled(usual)
            assert runs(page).observations == 3
            assert runs(page).total == pytest.approx(54.3)
            assert runs(page).cumulative == (0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3)
            assert page.of(names.WAIT) == {}

            page = settled(waits)
            assert runs(page).observations == 3
            found = page.one(names.WAIT, queue="finished")
            assert found.observations == 2
            assert found.total == pytest.approx(466)
            assert found.cumulative == (0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2)


def test_a_job_archived_without_being_read_did_not_run(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('finished')")
        with driving(pgmq_database.dsn, pgmq={"wait_histogram": True}) as driver:
            connection.execute("select pgmq.archive('finished', pgmq.send('finished', '{}'))")
            # Read before the upgrade that brought last_read_at.
            connection.execute(
                "insert into pgmq.a_finished (msg_id, read_ct, vt, message) values (1000, 1, now(), '{}')"
            )
            archive(connection, (1, "20 s", "4 s", "0 s"))
            page = settled(driver)
            assert runs(page).observations == 1
            assert runs(page).total == pytest.approx(4)
            assert page.one(names.WAIT, queue="finished").observations == 1
            assert page.one(names.FINISHED_JOBS, queue="finished", outcome=names.ARCHIVED) == 3


MONTH = 30 * 86_400.0


def test_a_queue_that_was_idle_for_a_month_is_timed_at_once(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('finished')")
        with driving(pgmq_database.dsn) as driver:
            settled(driver)
            driver.pgmq.queues["finished"].finished_until -= MONTH
            archive(connection, *[(1, "20 s", "4 s", "0 s")] * 10)
            assert runs(settled(driver)).observations == 10


def test_a_queue_made_long_after_the_start_is_timed_at_once(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection, driving(pgmq_database.dsn) as driver:
        driver.pgmq._started -= MONTH
        connection.execute("select pgmq.create('finished')")
        archive(connection, *[(1, "20 s", "4 s", "0 s")] * 10)
        assert runs(settled(driver)).observations == 10


def test_a_transaction_older_than_the_queue_is_timed(pgmq_database: Database) -> None:
    """What it archives is stamped with its start, before the look that found the queue."""
    with (
        pgmq_database.connect() as connection,
        pgmq_database.connect() as old,
        driving(pgmq_database.dsn) as driver,
    ):
        old.execute("begin")
        old.execute("select 1")
        time.sleep(0.15)
        driver.collect()
        connection.execute("select pgmq.create('finished')")
        driver.collect()
        archive(old, (1, "20 s", "4 s", "0 s"))
        driver.collect()
        old.execute("commit")
        flush(old)
        assert runs(settled(driver)).observations == 1


def test_a_queue_taken_in_later_is_timed_from_then_on(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('finished')")
        with driving(pgmq_database.dsn, queues={"exclude": ["finished"]}) as driver:
            archive(connection, (1, "20 s", "4 s", "0 s"))
            time.sleep(0.15)
            driver.collect()
            driver.collection.reconfigure(configured(pgmq_database.dsn).databases[0])
            assert runs(settled(driver)).observations == 0
            archive(connection, (1, "20 s", "4 s", "0 s"))
            assert runs(settled(driver)).observations == 1


def gap(driver: Driver, connection: psycopg.Connection[Any], seconds: int) -> None:
    """As if the exporter had seen nothing for so long, while five jobs a second were archived."""
    driver.pgmq.queues["finished"].finished_until -= seconds + 1
    archive(connection, *[(1, "1 h", "50 min", f"{place * 0.2} s") for place in range(seconds * 5)])


def test_a_gap_longer_than_a_slice_is_caught_up(pgmq_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.sources.slices._MOST", 4.0)
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('finished')")
        with driving(pgmq_database.dsn) as driver:
            settled(driver)
            driver.pgmq._finished.slice.seconds = 4.0
            gap(driver, connection, 20)
            time.sleep(0.15)
            counts = [runs(driver.collect()).observations for _ in range(12)]
            steps = [after - before for before, after in zip([0, *counts], counts, strict=False)]
            assert max(steps) <= 21, "no more than a slice at once"
            assert counts[-1] == 100, counts


def test_a_slice_that_takes_too_long_is_halved(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('finished')")
        with driving(pgmq_database.dsn) as driver:
            settled(driver)
            slow = _slower_than(driver, 6.0)
            gap(driver, connection, 60)
            time.sleep(0.15)
            pages = [driver.collect() for _ in range(30)]
            counts = [runs(page).observations for page in pages]
            assert slow(), "no slice was too long"
            assert counts == sorted(counts)
            assert counts[-1] == 300, counts
            # Six times from 300 s to less than 6 s; then only now and then, not every other time.
            assert slow() <= 9
            assert pages[-1].one(names.COLLECTION_ERRORS, source="pgmq", part=names.FINISHED, reason="timeout") > 0


def _slower_than(driver: Driver, seconds: float) -> Callable[[], int]:
    """Slices longer than that time out. Gives how many did."""
    session = driver.collection.session
    read = session.read
    timed_out = 0

    def timing_out(select: Any, into: Any, **how: Any) -> Any:
        nonlocal timed_out
        if into is FinishedRow:
            longest = float(select.as_string().partition("make_interval(secs => ")[2].partition(")")[0])
            if longest > seconds:
                timed_out += 1
                raise SourceError("timeout", "canceling statement due to statement timeout")
        return read(select, into, **how)

    session.read = timing_out  # type: ignore[method-assign]  # a spy
    return lambda: timed_out
