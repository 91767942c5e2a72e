"""Faults on real servers: what each costs, what is said of it, and that it heals without anybody's hand."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from exporter import config, names
from exporter.collector.collector import Collector
from exporter.collector.parts import Tracked
from exporter.config import Config
from exporter.errors import ConfigError, SourceError
from exporter.model import Distribution, Sample
from tests.exporter import Collected, Driver, configured
from tests.pgmq_install import create_partitioned, install_pgmq
from tests.servers import Database, PostgresServer, Server

OwnServer = Callable[..., PostgresServer]

COUNTERS = (names.ENQUEUED, names.DEQUEUED, names.FINISHED_JOBS, names.RUN)


@pytest.fixture
def jobs(database18: Database) -> Database:
    """A database with the queues ``mail`` and ``other``, two jobs in each."""
    return with_jobs(database18)


def with_jobs(database: Database) -> Database:
    install_pgmq(database.dsn)
    for queue in ("mail", "other"):
        database.run("select pgmq.create(%s)", [queue])
        send(database, queue, 2)
    return database


def send(database: Database, queue: str, jobs: int) -> None:
    database.run("select pgmq.send(%s, '{}') from generate_series(1, %s)", [queue, jobs])


Driving = Callable[..., Driver]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the exporter's monotonic clock run ahead: ``clock(30)``. Call it after connecting."""
    real = time.monotonic
    ahead = 0.0

    def advance(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(time, "monotonic", lambda: real() + ahead)
    return advance


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since the last call."""
    caplog.set_level(logging.INFO, "exporter")

    def take() -> list[str]:
        lines = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return lines

    return take


Said = Callable[[], list[str]]


def counters(page: Collected) -> dict[tuple[str, ...], float]:
    """Every counter of every queue."""
    found = {}
    for metric in COUNTERS:
        for labels, value in page.of(metric).items():
            found[metric.name, *labels] = value.observations if isinstance(value, Distribution) else value
    return found


def assert_never_fell(before: Collected, after: Collected) -> None:
    """Every counter of the former page is on the later one, not lower."""
    later = counters(after)
    fell = {key: (value, later.get(key)) for key, value in counters(before).items() if later.get(key, -1) < value}
    assert not fell


def queues_on(page: Collected) -> set[str]:
    """Queues with any series at all."""
    return {sample.labels[2] for sample in page.samples if sample.metric.labels[1:3] == ("source", "queue")}


def reported(page: Collected, part: str, reason: str) -> int:
    """How often a part failed for a reason."""
    return page.maybe(names.COLLECTION_ERRORS, source="pgmq", part=part, reason=reason) or 0


# The server goes.


def test_a_crash_is_up_0_then_stale_and_heals(
    own_server: OwnServer, driving: Driving, said: Said, clock: Callable[[float], None]
) -> None:
    server = own_server()
    database = with_jobs(server.create_database())
    driver = driving(database.dsn, stale_after="5s")
    driver.collect(full=True)
    send(database, "mail", 5)
    database.run("select pgmq.delete('mail', array_agg(msg_id)) from pgmq.read('mail', 60, 2)")
    database.run("select pgmq.archive('mail', array_agg(msg_id)) from pgmq.read('mail', 60, 2)")
    database.run("select pg_stat_force_next_flush()")
    before = driver.collect(full=True)
    assert before.one(names.UP) == 1
    assert before.one(names.ENQUEUED, queue="mail") == 5
    said()

    server.kill()
    for _ in range(3):
        down = driver.collect()
        assert down.one(names.UP) == 0
        assert down.jobs("mail") == before.jobs("mail")  # fresh enough
        assert_never_fell(before, down)
    # One line for the connection that broke, and one for why there is no new one.
    lines = said()
    assert len(lines) == len(set(lines)) == 2
    assert all("does not answer" in line for line in lines)
    assert "refused" in lines[1]
    clock(16)  # three intervals
    stale = driver.collect()
    of_queues = {sample.metric for sample in stale.samples if "queue" in sample.metric.labels}
    assert of_queues == {names.QUEUE_COLLECTION_TIMESTAMP, names.QUEUE_INFO}
    assert stale.one(names.UP) == 0
    assert stale.one(names.COLLECTION_TIMESTAMP, source="pgmq", part=names.COUNTS) > 0
    assert not [line for line in said() if "does not answer" in line]

    server.start()
    healed = driver.collect(full=True)
    assert healed.one(names.UP) == 1
    assert_never_fell(before, healed)
    assert healed.jobs("mail") == (3, 0, 0)
    send(database, "mail", 1)
    after = driver.collect(full=True)
    assert after.jobs("mail") == (4, 0, 0)
    assert_never_fell(healed, after)
    assert after.one(names.ENQUEUED, queue="mail") > before.one(names.ENQUEUED, queue="mail")
    assert [line for line in said() if line == "connected"] == ["connected"]


def test_a_cut_connection_is_made_again_at_once(jobs: Database, driving: Driving, said: Said) -> None:
    driver = driving(jobs.dsn)
    before = driver.collect(full=True)
    pid = driver.collection.session.server.backend_pid
    jobs.run("select pg_terminate_backend(%s, 5000)", [pid])
    send(jobs, "mail", 1)
    said()
    cut = driver.collect()
    assert cut.one(names.UP) == 0
    assert reported(cut, names.COUNTERS, "connection") == 1
    after = driver.collect(full=True)
    assert after.one(names.UP) == 1
    assert after.jobs("mail") == (3, 0, 0)
    assert after.one(names.ENQUEUED, queue="mail") == 1
    assert_never_fell(before, after)
    assert len(said()) == 2


def test_a_full_connection_table(own_server: OwnServer, driving: Driving, said: Said) -> None:
    server = own_server(18, max_connections=6, superuser_reserved_connections=1)
    database = with_jobs(server.create_database())
    role = server.add_user(options="IN ROLE pg_read_all_data, pg_monitor")
    holding: list[psycopg.Connection[Any]] = []
    with pytest.raises(psycopg.OperationalError):  # noqa: PT012 - how many fit is the server's business
        while len(holding) < 10:
            holding.append(psycopg.connect(database.dsn_as(role)))
    driver = driving(database.dsn_as(role))
    said()
    for _ in range(3):
        assert driver.collect().one(names.UP) == 0
    lines = said()
    assert len(lines) == 1
    assert "connection" in lines[0]
    for connection in holding:
        connection.close()
    deadline = time.monotonic() + 5
    while driver.collect(full=True).one(names.UP) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert driver.collect(full=True).jobs("mail") == (2, 0, 0)
    assert said() == ["connected"]


def test_several_hosts_fail_over_to_the_one_that_was_promoted(own_server: OwnServer, driving: Driving) -> None:
    primary = own_server()
    database = with_jobs(primary.create_database())
    replica = primary.standby()
    primary.wait_for_replay(replica)
    hosts = f"{replica.host}:{replica.port},{primary.host}:{primary.port}"
    driver = driving(f"postgresql://{primary.superuser}@{hosts}/{database.name}")
    before = driver.collect(full=True)
    # The primary is chosen, although it is named last.
    assert bool(driver.collection.session.server.standby) is False
    send(database, "mail", 1)
    assert driver.collect(full=True).jobs("mail") == (3, 0, 0)
    primary.wait_for_replay(replica)
    primary.kill()
    down = driver.collect()
    assert down.one(names.UP) == 0
    # Nobody is primary: the standby answers too.
    replaced = driver.collect(full=True)
    assert replaced.one(names.UP) == 1
    assert replaced.jobs("mail") == (3, 0, 0)
    assert bool(driver.collection.session.server.standby) is True
    replica.promote()
    driver.collection._connected_at = float("-inf")  # the time after which a primary is looked for again
    after = driver.collect(full=True)
    assert after.one(names.UP) == 1
    assert bool(driver.collection.session.server.standby) is False
    assert_never_fell(before, after)
    with psycopg.connect(replica.dsn(database.name), autocommit=True) as connection:
        connection.execute("select pgmq.send('mail', '{}')")
    assert driver.collect(full=True).jobs("mail") == (4, 0, 0)


def test_a_standby_that_is_promoted_is_a_primary_at_once(own_server: OwnServer, driving: Driving) -> None:
    """Also without a new connection: the fence waits for open transactions from then on."""
    primary = own_server()
    database = with_jobs(primary.create_database())
    replica = primary.standby()
    primary.wait_for_replay(replica)
    driver = driving(replica.dsn(database.name), settle_seconds="0s")
    driver.collect()
    pid = driver.collection.session.server.backend_pid
    assert bool(driver.collection.session.server.standby) is True
    replica.promote()
    driver.collect()
    assert driver.collection.session.server.backend_pid == pid
    assert bool(driver.collection.session.server.standby) is False
    with psycopg.connect(replica.dsn(database.name), autocommit=True) as connection:
        connection.execute("begin")
        connection.execute("select pgmq.read('mail', 60, 1)")
        connection.execute("select pgmq.archive('mail', 1)")
        time.sleep(0.2)
        for _ in range(2):
            driver.collect()
        connection.execute("commit")
        connection.execute("select pg_stat_force_next_flush()")
        connection.execute("select 1")
    time.sleep(0.2)
    driver.collect()
    assert driver.collect().one(names.RUN, queue="mail").observations == 1


def test_one_database_down_does_not_disturb_the_other(own_server: OwnServer, jobs: Database) -> None:
    server = own_server()
    there = with_jobs(server.create_database())
    pages: dict[str, list[tuple[Sample, ...] | None]] = {"down": [], "up": []}
    arrived = threading.Condition()

    def publish(database: str, samples: tuple[Sample, ...] | None) -> None:
        with arrived:
            pages[database].append(samples)
            arrived.notify_all()

    def last(database: str) -> Collected:
        return Collected(pages[database][-1] or ())

    def wait(condition: Callable[[], bool]) -> None:
        with arrived:
            assert arrived.wait_for(condition, 15)

    databases = [{"name": "down", "dsn": there.dsn}, {"name": "up", "dsn": jobs.dsn}]
    collector = Collector(
        Config.model_validate({"databases": [{**each, "interval": "1s"} for each in databases]}), publish
    )
    collector.start()
    try:
        wait(lambda: all(len(published) >= 1 for published in pages.values()))
        assert last("down").one(names.UP, database="down") == 1
        server.kill()
        wait(lambda: last("down").one(names.UP) == 0)
        send(jobs, "mail", 1)
        runs = last("up").one(names.COLLECTIONS, source="pgmq", part=names.COUNTERS)
        wait(lambda: last("up").one(names.COLLECTIONS, source="pgmq", part=names.COUNTERS) >= runs + 2)
        assert last("up").one(names.UP) == 1
        wait(lambda: last("up").jobs("mail") == (3, 0, 0))
        assert last("down").one(names.UP) == 0
        server.start()
        wait(lambda: last("down").one(names.UP) == 1)
    finally:
        collector.stop(5)


# One queue is out of reach, the others are not.


def test_a_locked_queue_costs_only_itself(jobs: Database, driving: Driving, said: Said) -> None:
    driver = driving(jobs.dsn, lock_timeout="50ms")
    before = driver.collect(full=True)
    stamp = before.one(names.QUEUE_COLLECTION_TIMESTAMP, queue="mail")
    said()
    with psycopg.connect(jobs.dsn) as blocker:
        blocker.execute("lock table pgmq.q_mail in access exclusive mode")
        for number in range(3):
            send(jobs, "other", 1)
            locked = driver.collect()
            assert locked.one(names.UP) == 1
            assert locked.jobs("other") == (3 + number, 0, 0)
            assert locked.one(names.QUEUE_COLLECTION_TIMESTAMP, queue="mail") == stamp
            assert locked.one(names.QUEUE_COLLECTION_TIMESTAMP, queue="other") > stamp
            for part in (names.HEAD, names.COUNTS):
                assert locked.one(names.COLLECTION_SUCCESS, source="pgmq", part=part) == 0
                assert reported(locked, part, "lock") == number + 1
            assert locked.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTERS) == 1
        # One line a change of state, whatever the number of cycles and of parts that inherit it.
        (line,) = said()
        assert "lock timeout" in line
        blocker.rollback()
    # Left out for a minute even now.
    assert driver.collect().one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 0
    driver.pgmq._access.clear()
    healed = driver.collect()
    assert healed.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 1
    assert healed.one(names.QUEUE_COLLECTION_TIMESTAMP, queue="mail") > stamp
    assert healed.jobs("mail") == (2, 0, 0)
    assert said() == ["works again"]


def test_a_locked_queue_is_asked_again_after_a_minute(
    jobs: Database, driving: Driving, clock: Callable[[float], None]
) -> None:
    driver = driving(jobs.dsn, lock_timeout="50ms")
    driver.collect()
    with psycopg.connect(jobs.dsn) as blocker:
        blocker.execute("lock table pgmq.q_mail in access exclusive mode")
        assert driver.collect().one(names.COLLECTION_SUCCESS, source="pgmq", part=names.HEAD) == 0
        blocker.rollback()
    clock(61)
    assert driver.collect().one(names.COLLECTION_SUCCESS, source="pgmq", part=names.HEAD) == 1


def test_many_locked_queues_hold_a_cycle_up_for_a_few_intervals_at_most(
    database18: Database, driving: Driving, said: Said
) -> None:
    install_pgmq(database18.dsn)
    locked = [f"a_locked_{number:02}" for number in range(20)]
    for queue in [*locked, "free"]:
        database18.run("select pgmq.create(%s)", [queue])
    driver = driving(database18.dsn, lock_timeout="400ms", interval="1s")
    driver.collect()
    said()
    with psycopg.connect(database18.dsn) as blocker:
        for queue in locked:
            blocker.execute(
                sql.SQL("lock table {} in access exclusive mode").format(sql.Identifier("pgmq", f"q_{queue}"))
            )
        for _ in range(12):
            send(database18, "free", 1)
            began = time.monotonic()
            page = driver.collect()
            # Head and counts: one interval each, and the message that was under way; all locks would take 16 s.
            assert time.monotonic() - began < 2 * (1 + 0.4) + 3
        assert page.jobs("free") == (12, 0, 0)
        assert {fault.queue for part in driver.collection.parts for fault in part.faults} == set(locked)
        # Each queue is told of once, by the part that found it.
        assert len(said()) == len(locked)
        # After a minute those that failed are asked last.
        driver.pgmq._access._left_out._until = {
            relid: (float("-inf"), fault) for relid, (_, fault) in driver.pgmq._access._left_out._until.items()
        }
        send(database18, "free", 1)
        page = driver.collect()
        assert page.jobs("free") == (13, 0, 0)
        assert {fault.queue for part in driver.collection.parts for fault in part.faults} == set(locked)
        assert said() == [], "those that were not asked do not count as well"
        blocker.rollback()
    driver.pgmq._access.clear()
    page = driver.collect()
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 1


def test_while_the_list_of_queues_is_locked_nothing_is_lost(jobs: Database, driving: Driving) -> None:
    driver = driving(jobs.dsn, lock_timeout="50ms")
    before = driver.collect(full=True)
    with psycopg.connect(jobs.dsn) as blocker:
        blocker.execute("lock table pgmq.meta in access exclusive mode")
        driver.pgmq._discovered_at = float("-inf")
        locked = driver.collect()
        assert locked.one(names.UP) == 1
        assert reported(locked, names.COUNTERS, "lock") == 1
        assert_never_fell(before, locked)
        assert locked.jobs("mail") == (2, 0, 0)
        blocker.rollback()
    assert driver.collect().one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTERS) == 1


# Queues that are dropped and made again.


def test_a_dropped_queue_is_zero_then_gone(
    jobs: Database, driving: Driving, clock: Callable[[float], None], said: Said
) -> None:
    driver = driving(jobs.dsn)
    driver.collect()
    send(jobs, "mail", 3)
    jobs.run("select pgmq.delete('mail', 1)")
    before = driver.collect()
    assert before.jobs("mail") == (4, 0, 0)
    said()
    jobs.run("select pgmq.drop_queue('mail')")
    gone = driver.collect()
    for metric in (names.OLDEST_READY_AGE, names.OLDEST_JOB_AGE, names.STALLED, names.REDELIVERED, names.UNREADY_HEAD):
        assert gone.one(metric, queue="mail") == 0
    assert gone.jobs("mail") == (0, 0, 0)
    assert {key: value for key, value in counters(gone).items() if "mail" in key} == {
        key: value for key, value in counters(before).items() if "mail" in key
    }
    assert gone.one(names.ENQUEUED, queue="mail") == 3
    assert gone.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.HEAD) == 1
    assert said() == []
    clock(119)
    assert driver.collect().jobs("mail") == (0, 0, 0)
    clock(2)
    later = driver.collect()
    assert queues_on(later) == {"other"}

    jobs.run("select pgmq.create('mail')")
    send(jobs, "mail", 2)
    again = driver.collect()
    assert again.jobs("mail") == (2, 0, 0)
    assert again.one(names.ENQUEUED, queue="mail") == 5
    assert_never_fell(before, again)


def test_a_queue_dropped_and_made_again_between_two_collections(jobs: Database, driving: Driving) -> None:
    driver = driving(jobs.dsn)
    driver.collect()
    send(jobs, "mail", 3)
    before = driver.collect()
    jobs.run("select pgmq.drop_queue('mail')")
    jobs.run("select pgmq.create('mail')")
    send(jobs, "mail", 1)
    after = driver.collect()
    assert after.jobs("mail") == (1, 0, 0)
    assert after.one(names.ENQUEUED, queue="mail") == 4
    assert_never_fell(before, after)


@pytest.mark.parametrize("after", ["counters", "head"])
def test_a_queue_dropped_between_two_statements(jobs: Database, driving: Driving, said: Said, after: str) -> None:
    driver = driving(jobs.dsn)
    driver.collect()
    send(jobs, "other", 1)
    send(jobs, "mail", 1)
    said()
    source, session, database = driver.pgmq, driver.collection.session, driver.collection.database
    assert source.read_counters(session, database) == []
    if after == "head":
        assert source.read_head(session, database) == []
    jobs.run("select pgmq.drop_queue('mail')")
    assert source.read_head(session, database) == []
    assert source.read_counts(session, database) == []
    assert source.read_full_look(session, database) == []
    assert source.queues["other"].counted is not None
    assert source.queues["other"].counted.ready == 3
    assert session.connected
    page = driver.collect()
    assert page.jobs("mail") == (0, 0, 0)
    assert page.jobs("other") == (3, 0, 0)
    assert said() == []


def test_a_column_that_is_gone_is_told(jobs: Database, driving: Driving, said: Said) -> None:
    """Missing for good is no table dropped a moment ago."""
    driver = driving(jobs.dsn)
    driver.collect()
    said()
    jobs.run("alter table pgmq.q_mail rename read_ct to rc")
    send(jobs, "other", 1)
    for _ in range(2):
        driver.recount()
    page = driver.collect()
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 0
    assert reported(page, names.COUNTS, "missing") > 0
    assert page.jobs("other") == (3, 0, 0)
    (line,) = said()
    assert "rc" in line or "read_ct" in line
    jobs.run("alter table pgmq.q_mail rename rc to read_ct")
    driver.pgmq._access.clear()
    assert driver.recount().one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 1


# What is rewritten is not purged.


def stall(driver: Driver, database: Database, queue: str) -> None:
    """As if a job had been ready, and nothing moved, for a long time."""
    database.run(f"update pgmq.q_{queue} set vt = now() - interval '1 h'")
    driver.collect(full=True)
    driver.collect()
    driver.pgmq.queues[queue].progress -= 1_000


def test_stalled_ends_with_a_dequeue(jobs: Database, driving: Driving) -> None:
    driver = driving(jobs.dsn)
    driver.collect()
    stall(driver, jobs, "mail")
    assert driver.collect().one(names.STALLED, queue="mail") >= 1_000
    with jobs.connect() as worker:
        worker.execute("select pgmq.read('mail', 60, 1)")
        worker.execute("select pg_stat_force_next_flush()")
        worker.execute("select 1")
    page = driver.collect()
    assert page.one(names.OLDEST_READY_AGE, queue="mail") >= 3_600
    assert page.one(names.STALLED, queue="mail") < 100


def test_stalled_goes_on_when_the_table_is_rewritten(jobs: Database, driving: Driving) -> None:
    driver = driving(jobs.dsn)
    driver.collect()
    stall(driver, jobs, "mail")
    jobs.run("vacuum full pgmq.q_mail")
    for _ in range(2):
        assert driver.collect().one(names.STALLED, queue="mail") >= 1_000
    jobs.run("select pgmq.purge_queue('mail')")
    assert driver.collect().one(names.STALLED, queue="mail") == 0
    send(jobs, "mail", 1)
    assert driver.collect().one(names.STALLED, queue="mail") < 100


def test_stalled_goes_on_when_a_partition_comes_or_goes(partitioned_database: Database, driving: Driving) -> None:
    database = partitioned_database
    send(database, "parts", 1)
    driver = driving(database.dsn)
    driver.collect()
    stall(driver, database, "parts")
    (empty,) = database.run(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'pgmq.q_parts'::regclass and inhrelid <> "
        "(select tableoid from pgmq.q_parts limit 1) order by inhrelid desc limit 1"
    )
    leaves = len(driver.pgmq.queues["parts"].tables.queue.leaves)
    database.run(f"drop table {empty[0]}")
    page = driver.collect()
    assert len(driver.pgmq.queues["parts"].tables.queue.leaves) == leaves - 1
    assert page.one(names.STALLED, queue="parts") >= 1_000


# Another configuration.


def reconfigure(driver: Driver, dsn: str, **keys: Any) -> None:
    driver.collection.reconfigure(configured(dsn, **keys).databases[0])


def test_another_database_is_no_step(jobs: Database, postgres18: Server, driving: Driving) -> None:
    """Its history did not happen since the last look, whatever its tables' ids are."""
    driver = driving(jobs.dsn)
    driver.collect()
    send(jobs, "mail", 5)
    before = driver.collect()
    assert before.one(names.ENQUEUED, queue="mail") == 5
    other = with_jobs(postgres18.create_database())
    with other.connect() as connection:
        connection.execute("select pgmq.send('mail', '{}') from generate_series(1, 1000)")
        connection.execute("select pgmq.archive('mail', array_agg(msg_id)) from pgmq.read('mail', 60, 300)")
        connection.execute("select pgmq.delete('mail', array_agg(msg_id)) from pgmq.read('mail', 60, 300)")
        connection.execute("select pg_stat_force_next_flush()")
        connection.execute("select 1")
    try:
        reconfigure(driver, other.dsn)
        for _ in range(2):
            time.sleep(0.15)
            page = driver.collect()
            assert counters(page) == counters(before)
            assert page.jobs("mail") == (402, 0, 0)
        send(other, "mail", 1)
        assert driver.collect().one(names.ENQUEUED, queue="mail") == 6
    finally:
        driver.close()
        postgres18.drop_database(other.name)


def test_another_schema_is_no_step(jobs: Database, driving: Driving) -> None:
    driver = driving(jobs.dsn)
    driver.collect()
    send(jobs, "mail", 5)
    before = driver.collect()
    jobs.run("create schema other")
    jobs.run("create table other.meta as select * from pgmq.meta")
    jobs.run("create table other.q_mail (like pgmq.q_mail including all)")
    jobs.run("create table other.q_other (like pgmq.q_other including all)")
    jobs.run("insert into other.q_mail (vt, message) select now(), '{}' from generate_series(1, 100)")
    reconfigure(driver, jobs.dsn, pgmq={"schema": "other"})
    for _ in range(2):
        page = driver.collect()
        assert page.jobs("mail") == (100, 0, 0)
        assert page.one(names.ENQUEUED, queue="mail") == before.one(names.ENQUEUED, queue="mail") == 5


def test_a_source_switched_off_and_on_leaves_the_others_records(jobs: Database, driving: Driving) -> None:
    driver = driving(jobs.dsn)
    driver.collect()
    for enabled in (False, True):
        reconfigure(driver, jobs.dsn, pgmq={"enabled": enabled})
        page = driver.collect()
        assert page.one(names.COLLECTIONS, part=names.VACUUM) == 2 + enabled
        assert queues_on(page) == ({"mail", "other"} if enabled else set())


def test_a_queue_excluded_by_a_reload_is_gone_at_once(jobs: Database, driving: Driving) -> None:
    driver = driving(jobs.dsn)
    assert queues_on(driver.collect()) == {"mail", "other"}
    reconfigure(driver, jobs.dsn, queues={"exclude": ["mail"]})
    assert queues_on(driver.collect()) == {"other"}
    reconfigure(driver, jobs.dsn)
    page = driver.collect()
    assert page.jobs("mail") == (2, 0, 0)
    assert page.one(names.ENQUEUED, queue="mail") == 0


def test_a_reload_takes_what_a_secret_file_holds_now(jobs: Database, driving: Driving, tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text(jobs.dsn)

    def database(file: Path, **keys: Any) -> config.Database:
        return Config.model_validate({"databases": [{"name": "main", "dsn_file": str(file), **keys}]}).databases[0]

    driver = driving(jobs.dsn)
    collection = driver.collection

    def pid() -> int:
        driver.collect()
        return collection.session.server.backend_pid

    first = pid()
    collection.reconfigure(database(file))
    assert pid() == first, "the same, read from a file"
    file.write_text(f"{jobs.dsn}?options=")
    assert pid() == first, "not looked at while the connection lives"
    collection.reconfigure(database(file))
    second = pid()
    assert second != first
    # Moved, and with another interval.
    moved = file.rename(tmp_path / "moved")
    collection.reconfigure(database(moved, interval="9s"))
    assert pid() == second
    assert all(tracked.spending.every >= 9 for tracked in collection.parts)


def test_a_reload_with_a_secret_that_cannot_be_read_changes_nothing(jobs: Database) -> None:
    published: list[str] = []
    collector = Collector(configured(jobs.dsn), lambda database, _: published.append(database))
    collector.start()
    try:
        databases = [{"name": "another", "dsn": jobs.dsn}, {"name": "main", "dsn_file": "/nowhere/dsn"}]
        with pytest.raises(ConfigError, match="main: dsn_file"):
            collector.reconfigure(Config.model_validate({"databases": databases}))
        assert set(collector._loops) == {"main"}
    finally:
        collector.stop(5)
    assert set(published) <= {"main"}


# Rights.


def plain_role(database: Database) -> str:
    """A role that may read every table and sequence of pgmq, and nothing else."""
    role = database.server.add_user()
    grantee = sql.Identifier(role)
    with database.connect() as connection:
        connection.execute(sql.SQL("grant usage on schema pgmq to {}").format(grantee))
        connection.execute(sql.SQL("grant select on all tables in schema pgmq to {}").format(grantee))
        connection.execute(sql.SQL("grant select on all sequences in schema pgmq to {}").format(grantee))
    return role


def test_a_queue_that_may_not_be_read_is_not_tried_again_and_again(
    own_server: OwnServer, driving: Driving, said: Said
) -> None:
    server = own_server()
    database = with_jobs(server.create_database())
    role = plain_role(database)
    driver = driving(database.dsn_as(role), vacuum=False)
    assert driver.collect().one(names.COLLECTION_SUCCESS, source="pgmq", part=names.HEAD) == 1
    said()
    database.run(f"revoke select on pgmq.q_mail from {role}")
    for number in range(4):
        send(database, "other", 1)
        page = driver.collect()
        assert reported(page, names.HEAD, "privilege") == number + 1
        assert page.jobs("other") == (3 + number, 0, 0)
        assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 0
    assert len(said()) == 1
    errors = [line for line in server.log.read_text().splitlines() if "permission denied" in line]
    assert errors == []  # seen in the catalogue before it is asked
    database.run(f"grant select on pgmq.q_mail to {role}")
    assert driver.collect().one(names.COLLECTION_SUCCESS, source="pgmq", part=names.HEAD) == 1


def test_a_role_that_may_read_nothing_is_refused_once_a_minute(
    own_server: OwnServer, driving: Driving, clock: Callable[[float], None]
) -> None:
    server = own_server()
    database = with_jobs(server.create_database())
    driver = driving(database.dsn_as(server.add_user()), vacuum=False)
    collection = driver.collection

    def refused() -> tuple[int, int]:
        """Refusals that were counted, and those in the server's log."""
        page = Collected(collection.cycle())
        assert page.one(names.UP) == 1
        return reported(page, names.COUNTERS, "privilege"), server.log.read_text().count("permission denied")

    for _ in range(5):
        assert refused() == (1, 1)
        clock(6)  # past the interval
    clock(35)
    assert refused() == (2, 2)


def test_without_the_right_to_sequences_arrivals_are_the_inserts(pgmq_database: Database, driving: Driving) -> None:
    with_queue = pgmq_database
    with_queue.run("select pgmq.create('mail')")
    role = plain_role(with_queue)
    with_queue.run(f"revoke select on all sequences in schema pgmq from {role}")
    driver = driving(with_queue.dsn_as(role))
    driver.collect()
    with with_queue.connect() as connection:
        connection.execute("select pgmq.send('mail', '{}') from generate_series(1, 7)")
        connection.execute("select pg_stat_force_next_flush()")
    page = driver.collect()
    assert driver.pgmq.queues["mail"].last_id is None
    assert page.one(names.ENQUEUED, queue="mail") == 7
    assert page.jobs("mail") == (7, 0, 0)
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTERS) == 1


def test_arrivals_are_counted_once_when_the_right_to_the_sequence_comes_and_goes(
    pgmq_database: Database, driving: Driving
) -> None:
    database = pgmq_database
    database.run("select pgmq.create('mail')")
    role = plain_role(database)
    driver = driving(database.dsn_as(role))
    driver.collect()
    expected = 0
    with database.connect() as connection:
        for jobs, right in (
            (10, None),
            (1_000, f"revoke select on all sequences in schema pgmq from {role}"),
            (7, None),
            (100, f"grant select on all sequences in schema pgmq to {role}"),
            (3, None),
        ):
            if right is not None:
                connection.execute(right)
            connection.execute("select pgmq.send('mail', '{}') from generate_series(1, %s)", [jobs])
            connection.execute("select pg_stat_force_next_flush()")
            connection.execute("select 1")
            expected += jobs
            assert driver.collect().one(names.ENQUEUED, queue="mail") == expected


def test_row_level_security_hides_a_queue_and_is_never_a_zero(
    pgmq_database: Database, driving: Driving, said: Said
) -> None:
    database = pgmq_database
    for queue in ("mail", "other"):
        database.run("select pgmq.create(%s)", [queue])
        send(database, queue, 2)
    role = plain_role(database)
    driver = driving(database.dsn_as(role), vacuum=False)
    assert driver.collect().one(names.ROWS_HIDDEN, queue="mail") == 0
    said()
    database.run("alter table pgmq.q_mail enable row level security")
    for number in range(3):
        page = driver.collect(full=True)
        assert page.one(names.ROWS_HIDDEN, queue="mail") == 1
        of_mail = {sample.metric for sample in page.samples if "mail" in sample.labels}
        assert of_mail == {names.ROWS_HIDDEN, names.QUEUE_INFO}
        assert reported(page, names.COUNTS, "hidden") == number + 1
        assert page.jobs("other") == (2, 0, 0)
        assert page.one(names.ROWS_HIDDEN, queue="other") == 0
    assert all("row-level security" in line for line in said())
    # Its owner sees everything.
    owner = driving(database.dsn).collect()
    assert owner.jobs("mail") == (2, 0, 0)
    assert owner.one(names.ROWS_HIDDEN, queue="mail") == 0
    # Switched on between the look and the read: an error, not a number.
    database.run("alter table pgmq.q_mail disable row level security")
    send(database, "mail", 1)
    source, session, configured = driver.pgmq, driver.collection.session, driver.collection.database
    source.read_counters(session, configured)
    database.run("alter table pgmq.q_mail enable row level security")
    (fault,) = source.read_head(session, configured)
    assert (fault.queue, fault.reason) == ("mail", "hidden")


# The budget.


def test_a_part_that_times_out_three_times_is_off(
    jobs: Database, driving: Driving, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    driver = driving(jobs.dsn)
    before = driver.collect()
    assert before.jobs("mail") == (2, 0, 0)
    said()
    tracked = next(each for each in driver.collection.parts if each.part.name == names.COUNTS)

    def slow(*_: object) -> list[Any]:
        raise SourceError("timeout", "canceling statement due to statement timeout")

    object.__setattr__(tracked.part, "run", slow)
    for number in range(3):
        assert not is_off(tracked)
        page = driver.collect()
        assert reported(page, names.COUNTS, "timeout") == number + 1
    assert is_off(tracked)
    assert not page.of(names.JOBS)
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 0
    assert page.one(names.OLDEST_READY_AGE, queue="mail") > 0  # other parts stand alone
    assert len(said()) == 1
    # Ten minutes later it is tried again.
    assert 590 < tracked.due - time.monotonic() <= 600
    monkeypatch.setattr(tracked, "off_until", float("-inf"))
    object.__setattr__(tracked.part, "run", driver.pgmq.read_counts)
    healed = driver.collect()
    assert healed.jobs("mail") == (2, 0, 0)
    assert healed.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 1


def is_off(tracked: Tracked) -> bool:
    return tracked.off_until > time.monotonic()


def test_one_dear_count_is_no_reason_to_be_silent(
    jobs: Database, driving: Driving, clock: Callable[[float], None]
) -> None:
    driver = driving(jobs.dsn, budget="1%")
    driver.collect()
    tracked = next(each for each in driver.collection.parts if each.part.name == names.COUNTS)
    ran = tracked.part.run

    def dear(*arguments: Any) -> Any:
        faults = ran(*arguments)
        driver.collection.session.spent += 35.0
        return faults

    object.__setattr__(tracked.part, "run", dear)
    page = driver.collect()
    assert page.one(names.COLLECTION_INTERVAL, source="pgmq", part=names.COUNTS) == 60
    object.__setattr__(tracked.part, "run", ran)
    runs = tracked.runs
    clock(60)
    driver.collection.cycle()
    assert tracked.runs == runs + 1
    # Another part's share that becomes free, or a larger budget, is used at once.
    assert tracked.due - time.monotonic() == pytest.approx(60, abs=1)
    reconfigure(driver, jobs.dsn, budget="50%")
    driver.collection.cycle()
    assert tracked.spending.interval < 60
    assert tracked.due - time.monotonic() == pytest.approx(tracked.spending.interval, abs=1)


def test_a_part_too_dear_for_rates_is_off_and_says_so(jobs: Database, driving: Driving) -> None:
    driver = driving(jobs.dsn, budget="1%")
    driver.collect(full=True)
    tracked = next(each for each in driver.collection.parts if each.part.name == names.FINISHED)
    ran = tracked.part.run

    def dear(*arguments: Any) -> Any:
        faults = ran(*arguments)
        driver.collection.session.spent += 50.0
        return faults

    object.__setattr__(tracked.part, "run", dear)
    for _ in range(2):
        driver.collect()
        assert not is_off(tracked), "one slow run is no reason"
    page = driver.collect()
    assert is_off(tracked)
    assert reported(page, names.FINISHED, "budget") == 1
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.FINISHED) == 0
    assert not page.of(names.RUN)
    assert page.jobs("mail") == (2, 0, 0)


# What may be a queue.

ODD = (
    "UPPER",
    "with.dots.in.it",
    "per%cent %s %(x)s",
    'quo"ted',
    "br{ace}s",
    "back\\slash",
    "x" * 47,
    "Ärger-größe",
    "новая очередь",
    "行列",
    "select",
)


def test_queues_of_every_name(pgmq_database: Database, driving: Driving) -> None:
    database = pgmq_database
    kept = []
    for name in ODD:
        try:
            database.run("select pgmq.create(%s)", [name])
        except psycopg.Error:
            continue  # pgmq itself refuses it
        kept.append(name)
    assert len(kept) >= 8
    database.run("select pgmq.create_unlogged('fast')")
    driver = driving(database.dsn)
    driver.collect()
    for place, name in enumerate([*kept, "fast"], 1):
        send(database, name, place)
        database.run("select pgmq.archive(%s, 1)", [name])
        database.run("select pgmq.read(%s, 60, 1)", [name])
    page = driver.collect(full=True)
    for place, name in enumerate([*kept, "fast"], 1):
        assert page.jobs(name) == (max(0, place - 2), 0, min(1, place - 1)), name
        assert page.one(names.ENQUEUED, queue=name) == place
        assert page.one(names.FINISHED_JOBS, queue=name, outcome=names.ARCHIVED) == 1
        assert page.one(names.QUEUE_INFO, queue=name, unlogged="true" if name == "fast" else "false") == 1
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.HEAD) == 1
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 1


def test_queues_whose_names_differ_in_capitals_are_counted_once(pgmq_database: Database, driving: Driving) -> None:
    for name in ("Mail", "mail", "MAIL"):
        pgmq_database.run("select pgmq.create(%s)", [name])
    driver = driving(pgmq_database.dsn)
    driver.collect()
    send(pgmq_database, "mail", 3)
    page = driver.collect()
    assert sum(page.of(names.JOBS, state=names.READY).values()) == 3
    assert sum(page.of(names.ENQUEUED).values()) == 3
    assert len(page.of(names.QUEUE_INFO)) == 1
    assert len(driver.pgmq.shared) == 2


def test_a_partitioned_queue(partitioned_database: Database, driving: Driving) -> None:
    database = partitioned_database
    create_partitioned(database.dsn, "small", "10", "1000")
    driver = driving(database.dsn)
    driver.collect()
    with database.connect() as connection:
        connection.execute("select pgmq.send('small', '{}') from generate_series(1, 35)")
        connection.execute("select pgmq.send('small', '{}', 600)")
        connection.execute("select pgmq.read('small', 600, 4)")
        connection.execute("select pgmq.delete('small', 1)")
        connection.execute("select pgmq.archive('small', 2)")
        connection.execute("select pg_stat_force_next_flush()")
    page = driver.collect(full=True)
    (expected,) = database.run(
        """select count(*) filter (where vt <= clock_timestamp()),
                  count(*) filter (where vt > clock_timestamp() and read_ct = 0),
                  count(*) filter (where vt > clock_timestamp() and read_ct > 0) from pgmq.q_small"""
    )
    assert page.jobs("small") == expected == (31, 1, 2)
    assert len(driver.pgmq.queues["small"].tables.queue.leaves) > 3
    assert page.one(names.ENQUEUED, queue="small") == 36
    assert page.one(names.DEQUEUED, queue="small") == 4
    assert page.one(names.FINISHED_JOBS, queue="small", outcome=names.COMPLETED) == 1
    assert page.one(names.FINISHED_JOBS, queue="small", outcome=names.ARCHIVED) == 1
    assert page.one(names.QUEUE_INFO, queue="small", partitioned="true") == 1

    # The first partition goes, as retention has it, with all that was ever counted in it.
    (first,) = database.run(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'pgmq.q_small'::regclass and inhrelid = "
        "(select tableoid from pgmq.q_small order by msg_id limit 1)"
    )
    database.run(f"drop table {first[0]}")
    dropped = driver.collect(full=True)
    assert_never_fell(page, dropped)
    # But for run times, which a later look at who is open may have settled since.
    ran = names.RUN.name
    assert {key: value for key, value in counters(dropped).items() if key[0] != ran} == {
        key: value for key, value in counters(page).items() if key[0] != ran
    }
    (left,) = database.run("select count(*) from pgmq.q_small where vt <= clock_timestamp()")
    assert dropped.jobs("small")[0] == left[0] < 31
    with database.connect() as connection:
        connection.execute("select pgmq.send('small', '{}') from generate_series(1, 5)")
        connection.execute("select pg_stat_force_next_flush()")
    assert driver.collect().one(names.ENQUEUED, queue="small") == 41
