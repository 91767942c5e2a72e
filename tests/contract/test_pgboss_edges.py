"""The pg-boss source where things go wrong or odd: each a promise that a closer look found broken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from exporter import names
from exporter.errors import SourceError
from tests.exporter import Driver, outcomes, states
from tests.pgboss import PgBoss, Version
from tests.servers import Database, PostgresServer, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


TWELVE: tuple[Version, ...] = ("12mid", "12")


def test_a_schema_dropped_while_jobs_move_does_not_stop_collecting(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    with pgboss(pgboss_version, database18.dsn) as boss:
        boss.create_queue("mail")
        driver = Driver(database18.dsn)
        driver.collect()
        with psycopg.connect(database18.dsn) as writer:
            writer.execute("create table public.other (id int)")  # an open writer, so that all is not settled
            boss.insert("mail", [{"data": {}}] * 3)
            driver.collect()
            database18.run("drop schema pgboss cascade")
            for _ in range(3):
                page = driver.recount()
                assert page.one(names.UP) == 1
                assert states(page, "mail") == {}
    driver.close()


def test_queues_of_one_table_are_read_all_or_none(
    database18: Database, pgboss: Callable[..., PgBoss], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fails while others were read loses nothing, and doubles nothing."""
    boss = pgboss("12", database18.dsn)
    queues = [f"q{number:03}" for number in range(120)]
    for queue in queues:
        boss.create_queue(queue)
    driver = Driver(database18.dsn)
    driver.settle()
    database18.run("insert into pgboss.job (name) select name from pgboss.queue where name like 'q%'")
    time.sleep(0.3)  # so that the next look settles them
    session = driver.collection.session
    read = session.read
    failures: list[str] = []

    def failing(select: Any, into: Any, **more: Any) -> Any:
        text = select.as_string(None)
        if into.__name__ == "Ended" and "'q119'" in text and len(failures) < 3:
            failures.append(text)
            raise SourceError("timeout", "canceled")
        return read(select, into, **more)

    monkeypatch.setattr(session, "read", failing)
    driver.settle()
    page = driver.settle()
    assert failures
    assert {page.one(names.ENQUEUED, queue=queue) for queue in queues} == {1}
    driver.close()


def test_jobs_in_flight_are_those_of_now_while_a_transaction_stays_open(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    driver = Driver(database18.dsn)
    driver.settle()
    with psycopg.connect(database18.dsn) as writer:
        writer.execute("create table public.other (id int)")
        driver.collect()
        driver.collect()
        boss.insert("mail", [{"data": {}}] * 5)
        [job, *_] = boss.fetch("mail", 3)
        boss.complete("mail", job.id)
        page = driver.recount()
        assert states(page, "mail") == {names.READY: 2, names.IN_FLIGHT: 2}
        # Nothing that ended is settled, yet it is progress.
        assert page.one(names.STALLED, queue="mail") <= page.one(names.OLDEST_READY_AGE, queue="mail")
        database18.run("update pgboss.job set start_after = now() - interval '1 h' where state < 'active'")
        driver.pgboss[0].queues["mail"].progress -= 1000
        boss.complete("mail", boss.fetch("mail")[0].id)
        page = driver.recount()
        assert page.one(names.OLDEST_READY_AGE, queue="mail") > 3500
        assert page.one(names.STALLED, queue="mail") < 60
    driver.close()


def test_what_was_not_looked_at_is_not_said_to_stand_still(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    boss = pgboss("11", database18.dsn)
    boss.create_queue("mail")
    boss.send("mail", {})
    driver = Driver(database18.dsn)
    assert driver.settle().maybe(names.STALLED, queue="mail") is not None
    queue = driver.pgboss[0].queues["mail"]
    queue.finished_at = float("-inf")  # as when the scan is off
    page = driver.collect(without=(names.FINISHED,))
    assert page.one(names.OLDEST_READY_AGE, queue="mail") > 0
    assert page.maybe(names.STALLED, queue="mail") is None
    driver.close()


@pytest.mark.parametrize("pgboss_version", TWELVE)
def test_warnings_are_counted_while_jobs_stand_still(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn, persistWarnings=True)
    boss.create_queue("mail")
    driver = Driver(database18.dsn)
    driver.settle()
    page = driver.collect()
    assert page.one(names.SOURCE_WARNINGS, type="queue_backlog") == 0
    database18.run("insert into pgboss.warning (type, message) values ('queue_backlog', 'm')")
    for _ in range(50):
        page = driver.collect()
        if page.one(names.SOURCE_WARNINGS, type="queue_backlog"):
            break
    assert page.one(names.SOURCE_WARNINGS, type="queue_backlog") == 1
    driver.close()


def test_a_role_that_may_read_job_and_not_its_partitions(
    database: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database.dsn)
    role = database.server.add_user()
    with database.connect() as connection:
        connection.execute(f'grant usage on schema pgboss to "{role}"')
        tables = ["version", "queue", "job", "schedule"] + (["archive"] if pgboss_version == "10" else [])
        for table in tables:
            connection.execute(f'grant select on pgboss.{table} to "{role}"')
    boss.create_queue("mail", retryLimit=0)
    own: dict[str, Any] = {} if pgboss_version == "10" else {"partition": True}
    boss.create_queue("own", **own)
    driver = Driver(database.dsn_as(role), pgmq={"enabled": False})
    driver.collect()
    for queue in ("mail", "own"):
        boss.insert(queue, [{"data": {}}] * 5)
        first, second, *_ = boss.fetch(queue, 3)
        boss.complete(queue, first.id)
        end = boss.fail if queue == "mail" else boss.complete
        end(queue, second.id)
    page = driver.settle()
    assert states(page, "mail") == {names.READY: 2, names.IN_FLIGHT: 1, names.FAILED: 1}
    assert states(page, "own") == {names.READY: 2, names.IN_FLIGHT: 1}
    assert outcomes(page, "mail") == {names.COMPLETED: 1, names.FAILED: 1}
    assert page.one(names.OLDEST_READY_AGE, queue="own") > 0
    # One that is locked costs only itself.
    [(table,)] = database.run("select tableoid::regclass::text from pgboss.job where name = 'own' limit 1")
    with psycopg.connect(database.dsn) as blocker:
        blocker.execute(f"lock table only {table} in access exclusive mode")
        boss.send("mail", {})
        page = driver.recount()
        assert states(page, "mail")[names.READY] == 3
        assert page.one(names.COLLECTION_ERRORS, source="pgboss", part=names.HEAD, reason="lock") == 1
    driver.close()


def test_a_table_that_may_not_be_read_is_not_asked_for(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    role = database18.server.add_user()
    with database18.connect() as connection:
        connection.execute(f'grant usage on schema pgboss to "{role}"')
        connection.execute(f'grant select on all tables in schema pgboss to "{role}"')
        connection.execute(f'revoke select on pgboss.schedule from "{role}"')
    driver = Driver(database18.dsn_as(role), pgmq={"enabled": False}, vacuum=False)
    driver.collect()
    page = driver.collect()
    assert page.one(names.COLLECTION_ERRORS, source="pgboss", part=names.MAINTENANCE, reason="privilege") == 2
    part = ("pgboss", names.MAINTENANCE)
    [tracked] = [tracked for tracked in driver.collection.parts if tracked.labels == part]
    assert [fault.detail for fault in tracked.faults] == ["the role may not SELECT from schedule"]
    driver.close()


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_in_the_order_of_fetching_the_limit_is_of_ready_and_scheduled_together(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    """As in 12.30 to 12.37."""
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    database18.run("drop index pgboss.job_common_i14")
    database18.run(
        """insert into pgboss.job (name, created_on, start_after)
           select 'mail', now() - n * interval '1 s',
                  now() + case when n % 2 = 0 then interval '1 h' else interval '0' end
             from generate_series(1, 150) n"""
    )
    driver = Driver(database18.dsn, count_limit=100)
    page = driver.settle()
    assert page.one(names.JOBS_ESTIMATED, queue="mail") == 1
    boss.supervise()
    assert driver.settle().one(names.JOBS, queue="mail", state=names.READY) == 75
    # pg-boss's own counters are not believed for ever.
    database18.run("update pgboss.queue set monitor_on = now() - interval '10 min'")
    assert driver.settle().one(names.JOBS, queue="mail", state=names.READY) < 75
    driver.close()


def test_a_queue_taken_in_later_is_read_from_then_on(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    own: dict[str, Any] = {} if pgboss_version == "10" else {"partition": True}
    boss.create_queue("mail")
    boss.create_queue("late", **own)
    driver = Driver(database18.dsn, queues={"exclude": ["late"]})
    driver.settle()
    boss.insert("late", [{"data": {}}] * 3)
    page = driver.settle()
    assert page.of(names.JOBS, queue="late") == {}
    database = driver.collection.database
    with_late = database.model_copy(update={"queues": type(database.queues)()})
    # Longer than what is read again.
    database18.run("update pgboss.job set created_on = created_on - interval '1 s'")
    driver.collection.reconfigure(with_late)
    page = driver.settle()
    assert states(page, "late") == {names.READY: 3}
    assert page.one(names.ENQUEUED, queue="late") == 0
    boss.send("late", {})
    boss.create_queue("born", **own)
    boss.send("born", {})
    page = driver.settle()
    assert page.one(names.ENQUEUED, queue="late") == 1
    assert page.one(names.ENQUEUED, queue="born") == 1
    driver.collection.reconfigure(database)
    assert driver.collect().of(names.JOBS, queue="late") == {}
    driver.close()


def test_blocked_jobs_are_not_ready_while_an_upgrade_still_has_the_old_index(
    database18: Database, pgboss: Callable[..., PgBoss]
) -> None:
    boss = pgboss("12mid", database18.dsn)
    boss.create_queue("mail")
    boss.flow(
        [
            {"ref": "first", "queue": "mail", "data": {}},
            {"ref": "second", "queue": "mail", "data": {}, "dependsOn": ["first"]},
        ]
    )
    [(index,)] = database18.run(
        "select indexrelid::regclass::text from pg_index where indrelid = 'pgboss.job_common'::regclass"
        " and pg_get_indexdef(indexrelid) like '%(name, start_after)%'"
    )
    database18.run(f"drop index {index}")
    database18.run("create index on pgboss.job_common (name, start_after) where state < 'active'")
    driver = Driver(database18.dsn)
    page = driver.settle()
    assert states(page, "mail") == {names.READY: 1, names.BLOCKED: 1}
    driver.close()


def test_the_oldest_job_may_be_one_that_is_tried_again(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    """Where only the index over live jobs is there."""
    boss = pgboss("12", database18.dsn)
    boss.create_queue("mail")
    database18.run("drop index pgboss.job_common_i11")
    boss.send("mail", {})
    database18.run("insert into pgboss.job (name, state, created_on) values ('mail', 'retry', now() - interval '1 h')")
    driver = Driver(database18.dsn)
    assert driver.settle().one(names.OLDEST_JOB_AGE, queue="mail") > 3500
    driver.close()


def test_processes_that_only_send_say_nothing_of_workers(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    boss = pgboss("12", database18.dsn)
    boss.create_queue("mail")
    boss.send("mail", {})
    assert database18.run("select count(*) from pgboss.instance") == [(1,)]
    driver = Driver(database18.dsn)
    page = driver.settle()
    assert page.of(names.WORKER_PROCESSES) == {}
    assert page.of(names.WORKERS_GONE) == {}
    driver.close()


def test_no_turn_is_missed_where_counting_is_stretched(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    boss = pgboss("12", database18.dsn)
    queues = [f"q{number}" for number in range(10)]
    for queue in queues:
        boss.create_queue(queue)
    driver = Driver(database18.dsn)
    driver.settle()
    for known in driver.pgboss[0].queues.values():
        known.counted = None if known.counted is None else known.counted._replace(ready=-1)
    for _ in range(10):
        for _ in range(9):
            driver.collect(without=(names.COUNTS,))
        page = driver.collect()
    assert set(page.of(names.JOBS, state=names.READY).values()) == {0}
    driver.close()


def test_odd_names_and_many_queues(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    odd = (
        ["a.b/c-d", "A.b"] if pgboss_version.startswith("12") else ['say "so"', "100% {of} it", "a\nb", "ä ö-", "a;--b"]
    )
    queues = [*odd, *(f"q{number}" for number in range(200 if pgboss_version == "12" else 20))]
    for queue in queues:
        boss.create_queue(queue)
    driver = Driver(database18.dsn)
    driver.settle()
    with database18.connect() as connection:
        connection.execute("insert into pgboss.job (name) select name from pgboss.queue where name not like '\\_\\_%'")
        flush(connection)
    page = driver.settle()
    while len(page.of(names.ENQUEUED)) < len(queues):  # on a busy machine, not all have their turn at once
        page = driver.settle()
    for queue in queues:
        assert states(page, queue) == {names.READY: 1}
        assert page.one(names.ENQUEUED, queue=queue) == 1
    driver.close()


@pytest.mark.parametrize("pgboss_version", ["11", "12"])
def test_a_standby_is_read_by_age(
    own_server: Callable[..., PostgresServer], pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    primary = own_server()
    replica = primary.standby()
    boss = pgboss(pgboss_version, primary.dsn())
    boss.create_queue("mail")
    primary.wait_for_replay(replica)
    driver = Driver(replica.dsn(), settle_seconds="500ms", vacuum=False)
    driver.collect()
    for done in (1, 2):
        boss.insert("mail", [{"data": {}}] * 3)
        boss.complete("mail", boss.fetch("mail")[0].id)
        primary.wait_for_replay(replica)
        time.sleep(0.7)
        page = driver.collect()
        page = driver.collect()
        assert outcomes(page, "mail") == {names.COMPLETED: done}
        assert page.one(names.ENQUEUED, queue="mail") == 3 * done
    driver.close()
