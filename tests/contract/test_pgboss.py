"""What the pg-boss source promises beyond its numbers: late commits, upgrades, faults, housekeeping."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from exporter import names
from exporter.errors import SourceError
from exporter.sources.pgboss_ended import Ended
from tests.exporter import Driver, configured, outcomes, states
from tests.pgboss import PgBoss, Version
from tests.servers import Database, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


TWELVE: tuple[Version, ...] = ("12mid", "12")


# Every job once.


def test_late_commits_are_neither_lost_nor_counted_twice(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    driver = Driver(database18.dsn)
    driver.collect()
    ended: list[int] = []
    over = threading.Event()

    def write(number: int) -> None:
        chance = random.Random(number)
        with psycopg.connect(database18.dsn, autocommit=True) as connection:
            for _ in range(40):
                jobs = chance.randint(1, 5)
                with connection.transaction():
                    connection.execute(
                        "insert into pgboss.job (name, state, started_on, completed_on)"
                        " select 'mail', 'completed', now() - interval '1 s', now() from generate_series(1, %s)",
                        [jobs],
                    )
                    if chance.random() < 0.3:
                        time.sleep(chance.random() * 0.5)
                ended.append(jobs)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    idle = psycopg.connect(database18.dsn)
    idle.execute("select 1")  # a transaction that stays open and never writes
    driver.collection.database = driver.collection.session.database = driver.collection.database.model_copy(
        update={"settle_max": 1.0}
    )
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        driver.collect()
        time.sleep(0.03)  # about what a collection takes: the writers need the processors too
    over.set()
    page = driver.settle()
    idle.close()
    assert outcomes(page, "mail") == {names.COMPLETED: sum(ended)}
    assert page.one(names.ENQUEUED, queue="mail") == sum(ended)
    assert page.one(names.RUN, queue="mail", outcome=names.COMPLETED).observations == sum(ended)
    driver.close()


def test_archived_jobs_of_10_count_once(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    """A job is moved from its table to the archive between and within readings."""
    boss = pgboss("10", database18.dsn)
    boss.create_queue("mail")
    driver = Driver(database18.dsn)
    driver.collect()
    (row,) = database18.run(
        "select string_agg(column_name, ', ') from information_schema.columns where table_name = 'job'"
    )
    columns = row[0]
    move = f"""with gone as (delete from pgboss.job where state = 'completed' returning {columns})
               insert into pgboss.archive ({columns}) select {columns} from gone"""
    for round_ in range(6):
        boss.insert("mail", [{"data": {}}] * 5)
        boss.complete("mail", *(job.id for job in boss.fetch("mail", 4)))
        if round_ % 2:
            database18.run(move)
        driver.collect()
    page = driver.settle()
    assert outcomes(page, "mail") == {names.COMPLETED: 24}
    assert page.one(names.ENQUEUED, queue="mail") == 30
    assert states(page, "mail") == {names.READY: 6}
    driver.close()


# States.


def test_a_table_of_many_queues_is_taken_whole_or_not_at_all(
    database18: Database, pgboss: Callable[..., PgBoss], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.sources.pgboss_selects.TOGETHER", 2)
    boss = pgboss("12", database18.dsn)
    for queue in ("q0", "q1", "q2"):
        boss.create_queue(queue)
    driver = Driver(database18.dsn)
    driver.settle()
    for queue in ("q0", "q1", "q2"):
        boss.send(queue, {})
        boss.complete(queue, boss.fetch(queue)[0].id)
    session = driver.collection.session
    read = session.read

    def failing(select: Any, into: Any, **how: Any) -> Any:
        if into is Ended and "'q2'" in select.as_string():
            raise SourceError("lock", "canceling statement due to lock timeout")
        return read(select, into, **how)

    session.read = failing  # type: ignore[method-assign]  # a spy
    page = driver.settle()
    assert [outcomes(page, queue) for queue in ("q0", "q1", "q2")] == [{}, {}, {}]
    session.read = read  # type: ignore[method-assign]  # as it was
    page = driver.settle()
    assert [outcomes(page, queue) for queue in ("q0", "q1", "q2")] == [{names.COMPLETED: 1}] * 3
    driver.close()


def test_a_queue_that_is_watched_again_counts_nothing_twice(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    driver = Driver(database18.dsn)
    driver.collect()
    boss.insert("mail", [{"data": {}}] * 7)
    assert driver.settle().one(names.ENQUEUED, queue="mail") == 7
    without = configured(database18.dsn, queues={"exclude": ["mail"]}).databases[0]
    with_ = configured(database18.dsn).databases[0]
    driver.collection.reconfigure(without)
    driver.collect()
    driver.collection.reconfigure(with_)
    assert driver.settle().one(names.ENQUEUED, queue="mail") == 0
    boss.send("mail", {})
    assert driver.settle().one(names.ENQUEUED, queue="mail") == 1
    driver.close()


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_without_an_index_by_time_the_numbers_are_right_all_the_same(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    """As in 12.30 to 12.37, and while an upgrade builds its indexes: only the index in the order of fetching."""
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail", retryLimit=0)
    for index in ("i14", "i15", "i16"):
        database18.run(f"drop index pgboss.job_common_{index}")
    driver = Driver(database18.dsn)
    driver.collect()
    boss.insert("mail", [{"data": {}, "priority": n % 3} for n in range(9)])
    boss.send("mail", {}, startAfter=600)
    first, second, *_ = boss.fetch("mail", 3)
    boss.complete("mail", first.id)
    boss.fail("mail", second.id)
    page = driver.settle()
    assert states(page, "mail") == {names.READY: 6, names.SCHEDULED: 1, names.IN_FLIGHT: 1, names.FAILED: 1}
    assert outcomes(page, "mail") == {names.COMPLETED: 1, names.FAILED: 1}
    assert page.one(names.OLDEST_READY_AGE, queue="mail") > 0
    driver.close()


def test_a_schema_of_another_name_and_several_of_them(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    bare = "My odd Jobs" if pgboss_version == "12" else "jobs2"
    second = f'"{bare}"' if pgboss_version == "12" else bare
    with pgboss(pgboss_version, database18.dsn) as boss:
        boss.create_queue("mail")
        boss.insert("mail", [{"data": {}}] * 2)
    with pgboss(pgboss_version, database18.dsn, second) as boss:
        boss.create_queue("mail")
        boss.insert("mail", [{"data": {}}] * 3)
    driver = Driver(database18.dsn, pgboss={"schemas": ["pgboss", bare]})
    page = driver.settle()
    told = {labels[1]: jobs for labels, jobs in page.of(names.JOBS, state=names.READY).items()}
    assert told == {"pgboss": 2, f"pgboss:{bare}": 3}
    driver.close()


# Upgrades under a running exporter.


def test_an_upgrade_in_place_from_11_to_12_is_picked_up(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    with pgboss("11", database18.dsn) as old:
        old.create_queue("mail", retryLimit=0)
        driver = Driver(database18.dsn)
        driver.collect()
        old.insert("mail", [{"data": {}}] * 10)
        old.complete("mail", *(job.id for job in old.fetch("mail", 3)))
        page = driver.settle()
    assert outcomes(page, "mail") == {names.COMPLETED: 3}
    with pgboss("12", database18.dsn, supervise=True) as new:
        page = driver.collect()
        assert driver.collection.up
        assert states(page, "mail").get(names.READY) == 7
        new.complete("mail", *(job.id for job in new.fetch("mail", 2)))
        until = time.monotonic() + 30
        while not driver.pgboss[0].queues["mail"].table.windowed:
            assert time.monotonic() < until, "the new indexes were not picked up"
            driver.pgboss[0]._discovered_at = float("-inf")  # as after a minute
            page = driver.collect()
            assert page.one(names.UP) == 1
            time.sleep(0.1)
        page = driver.settle()
        assert states(page, "mail") == {names.READY: 5}
        assert outcomes(page, "mail") == {names.COMPLETED: 5}
        assert page.one(names.ENQUEUED, queue="mail") == 10
        assert not [tracked.labels for tracked in driver.collection.parts if tracked.success is False]
    driver.close()


def test_an_upgrade_from_10_to_12_by_dropping_the_schema_is_picked_up(
    database18: Database, pgboss: Callable[..., PgBoss]
) -> None:
    with pgboss("10", database18.dsn) as old:
        old.create_queue("mail")
        driver = Driver(database18.dsn)
        driver.collect()
        old.insert("mail", [{"data": {}}] * 10)
        page = driver.settle()
    assert states(page, "mail") == {names.READY: 10}
    database18.run("drop schema pgboss cascade")
    page = driver.collect()
    assert page.one(names.UP) == 1
    assert states(page, "mail") == {}
    with pgboss("12", database18.dsn) as new:
        new.create_queue("mail")
        new.insert("mail", [{"data": {}}] * 4)
        driver.pgboss[0]._discovered_at = float("-inf")  # as after a minute
        page = driver.settle()
        assert states(page, "mail") == {names.READY: 4}
        assert page.one(names.ENQUEUED, queue="mail") == 14
    driver.close()


def test_a_schema_dropped_while_its_jobs_move_takes_only_itself_away(
    pgmq_database: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    pgmq_database.run("select pgmq.create('letters')")
    with pgboss(pgboss_version, pgmq_database.dsn) as boss:
        boss.create_queue("mail")
    driver = Driver(pgmq_database.dsn)
    driver.settle()
    with pgmq_database.connect() as connection:
        connection.execute("insert into pgboss.job (name) values ('mail')")
        flush(connection)
        # Noticed, and not yet read: what was written is waited for.
        driver.collect(without=(names.FINISHED,))
        connection.execute("drop schema pgboss cascade")
    for _ in range(3):
        page = driver.collect()
        assert page.one(names.UP) == 1
        assert states(page, "mail") == {}
        assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.HEAD) == 1
    driver.close()


def test_nothing_is_made_in_the_database(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    boss.send("mail", {})
    look = """select (select count(*) from pg_class), (select count(*) from pg_proc), (select count(*) from pg_type),
                     (select array_agg(j.xmin::text || j.ctid::text) from pgboss.job j)"""
    driver = Driver(database18.dsn)
    before = database18.run(look)
    driver.settle()
    assert database18.run(look) == before
    assert boss.errors == []
    driver.close()


# Housekeeping.


def test_stopped_supervision_shows_as_stale_maintenance(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    options: dict[str, Any] = {"monitorStateIntervalSeconds": 1} if pgboss_version == "10" else {}
    boss = pgboss(pgboss_version, database18.dsn, **options)
    boss.create_queue("mail")
    boss.supervise()
    driver = Driver(database18.dsn)
    task = "maintain" if pgboss_version == "10" else "monitor"
    page = driver.collect()
    fresh = page.one(names.SOURCE_MAINTENANCE, task=task)
    assert abs(time.time() - fresh) < 30
    boss.stop()
    where = "version set maintained_on" if pgboss_version == "10" else "queue set monitor_on"
    column = "maintained_on" if pgboss_version == "10" else "monitor_on"
    database18.run(f"update pgboss.{where} = {column} - interval '10 min'")
    page = driver.collect()
    assert fresh - page.one(names.SOURCE_MAINTENANCE, task=task) == pytest.approx(600, abs=1)
    driver.close()


def test_a_schedule_that_cannot_be_read_is_told_and_the_others_are_judged(
    database18: Database, pgboss: Callable[..., PgBoss]
) -> None:
    boss = pgboss("11", database18.dsn, schedule=True)
    for queue in ("good", "bad"):
        boss.create_queue(queue)
        boss.schedule(queue, "0 3 * * *", {}, tz="Europe/Berlin")
    database18.run("update pgboss.schedule set cron = 'every now and then' where name = 'bad'")
    driver = Driver(database18.dsn)
    page = driver.settle()
    assert page.one(names.SCHEDULE_OVERDUE, queue="good", schedule="") == 0
    assert page.of(names.SCHEDULE_OVERDUE, queue="bad") == {}
    _, findings = driver.pgboss[0].examine(driver.collection.session, driver.collection.database)
    (told,) = [finding for finding in findings if finding.about == "schedule bad"]
    assert "'every now and then'" in told.message
    driver.close()


def test_an_application_that_starts_and_says_the_same_does_not_make_it_punctual(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    boss.schedule("mail", "0 3 * * *", {})
    database18.run(
        "update pgboss.schedule set updated_on = now() - interval '3 d', created_on = now() - interval '3 d'"
    )
    driver = Driver(database18.dsn)
    driver.settle()
    maintenance = driver.pgboss[0].maintenance
    maintenance._fired = dict.fromkeys(maintenance._fired, time.time() - 2 * 86400)
    late = driver.collect().one(names.SCHEDULE_OVERDUE, queue="mail", schedule="")
    assert late >= 86400
    boss.schedule("mail", "0 3 * * *", {})
    assert driver.collect().one(names.SCHEDULE_OVERDUE, queue="mail", schedule="") >= late
    boss.schedule("mail", "0 4 * * *", {})
    assert driver.collect().one(names.SCHEDULE_OVERDUE, queue="mail", schedule="") == 0
    driver.close()


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_worker_processes_alive_silent_and_gone(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    boss.work("mail")
    until = time.monotonic() + 40
    driver = Driver(database18.dsn)
    while driver.collect().maybe(names.WORKER_PROCESSES, state=names.ALIVE) != 1:
        assert time.monotonic() < until, "no worker was seen"
        database18.run("update pgboss.instance set workers = '[{}]'")  # not to wait for its next heartbeat
    page = driver.settle()
    assert page.one(names.WORKERS_GONE) == 0
    boss.kill()
    database18.run("insert into pgboss.job (name) values ('mail')")
    database18.run("update pgboss.instance set heartbeat_on = heartbeat_on - interval '10 min'")
    driver.settle()
    page = driver.collect()
    assert page.one(names.WORKER_PROCESSES, state=names.ALIVE) == 0
    assert page.one(names.WORKER_PROCESSES, state=names.SILENT) == 1
    assert page.one(names.WORKERS_GONE) > 0
    driver.close()


@pytest.mark.parametrize("pgboss_version", TWELVE)
def test_recorded_warnings_are_counted_by_type(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn, persistWarnings=True)
    boss.create_queue("mail", warningQueueSize=1)
    driver = Driver(database18.dsn)
    driver.settle()
    boss.insert("mail", [{"data": {}}] * 5)
    boss.supervise()
    (recorded,) = database18.run("select count(*) from pgboss.warning where type = 'queue_backlog'")
    assert recorded[0] >= 1
    page = driver.settle()
    assert page.one(names.SOURCE_WARNINGS, type="queue_backlog") == recorded[0]
    driver.close()
