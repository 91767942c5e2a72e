"""What a collection of pg-boss costs is counted, never timed; what is wrong is told, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest

from exporter import names
from tests.exporter import Collected, Driver
from tests.pgboss import PgBoss, Version
from tests.pgboss_watched import QUEUES, Watched, load, work
from tests.servers import Database, flush


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_completed_jobs_outside_the_window_cost_nothing(
    database: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database.dsn)
    for queue in QUEUES:
        boss.create_queue(queue)
    load(database, 2_000, 20_000, 200)
    watched = Watched(database)
    watched.driver.settle()
    few = [watched.blocks()[0]]
    watched.driver.pgboss[0].recount()
    few.append(watched.blocks()[0])
    load(database, 60_000, 0, 0)
    watched.driver.settle()
    many = [watched.blocks()[0]]
    watched.driver.pgboss[0].recount()
    cost, page = watched.blocks()
    many.append(cost)
    assert sum(page.of(names.JOBS, state=names.READY).values()) == 20_000
    assert sum(page.of(names.JOBS, state=names.IN_FLIGHT).values()) == 200
    # Thirty times as many completed jobs: an index may be a level deeper.
    assert many[0] <= 1.4 * few[0]
    assert many[1] <= 1.4 * few[1]
    watched.close()


AGES_ARRIVALS_FINISHED = (names.COUNTS, names.MAINTENANCE)  # what is left out of them


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_an_index_entry_is_read_once_and_none_of_a_job_that_ended_before(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    for queue in QUEUES:
        boss.create_queue(queue)
    load(database18, 40_000, 20_000, 200)
    watched = Watched(database18)
    watched.driver.settle()
    work(database18, 10, 5)
    time.sleep(0.3)  # until it is settled
    read, page = watched.entries()
    live = sum(page.of(names.JOBS).values())
    assert live == 20_000 + 200 + 20 * 5
    arrived, ended = read["name, created_on"], read["name, completed_on"]
    # The window itself, and where each queue's last end lies.
    assert arrived == 20 * 10
    assert ended == 20 * (5 + 1)
    # Counted once; beside that a few probes, and the entries of the jobs that were fetched, not cleaned up yet.
    counted = read["name, state, blocked, start_after"]
    assert live <= counted <= 1.02 * live + 20 * 20
    assert sum(read.values()) - counted - arrived - ended <= 20 * 20
    watched.close()


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_what_ended_comes_by_buckets_and_every_queue_in_one_message(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    for queue in QUEUES:
        boss.create_queue(queue)
    load(database18, 2_000, 20_000, 200)
    watched = Watched(database18)
    watched.driver.settle()
    costs = []
    for ended in (5, 200):
        before = watched.driver.collect()
        work(database18, 10, ended)
        time.sleep(0.3)  # until it is settled
        cost = watched.cost(*AGES_ARRIVALS_FINISHED)
        finished = [sum(page.of(names.FINISHED_JOBS).values()) for page in (before, cost.page)]
        assert finished[1] - finished[0] == 20 * ended
        costs.append(cost)
    few, many = costs
    # Statistics and queues; who is open and the probes; the window. However many queues and jobs.
    assert few.messages == many.messages == 5
    # A row a queue for its facts, its probe and its arrivals, one or two for what ended.
    assert max(few.rows, many.rows) <= 20 * 5 + 20
    assert few.blocks <= 20 * 35
    watched.close()


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_a_backlog_costs_what_its_counting_limit_allows(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("q00")
    costs = []
    for jobs in (15_000, 60_000):
        database18.run("truncate pgboss.job_common")
        with database18.connect() as connection:
            connection.execute("alter table pgboss.job_common set (autovacuum_enabled = false)")
            connection.execute("insert into pgboss.job (name) select 'q00' from generate_series(1, %s)", [jobs])
            connection.execute("vacuum (analyze) pgboss.job_common")
            flush(connection)
        watched = Watched(database18)
        watched.driver.settle()
        watched.driver.pgboss[0].recount()
        cost, page = watched.blocks()
        assert page.one(names.JOBS, queue="q00", state=names.READY) == 10_001
        assert page.one(names.JOBS_ESTIMATED, queue="q00") == 1
        costs.append(cost)
        watched.close()
    assert costs[1] <= 1.3 * costs[0]
    # Beyond the limit pg-boss's own counters tell more than was counted.
    boss.supervise()
    driver = Driver(database18.dsn)
    assert driver.settle().one(names.JOBS, queue="q00", state=names.READY) == 60_000
    driver.close()


def test_dead_rows_behind_a_snapshot_do_not_make_probes_dearer(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    """Jobs fetched and completed while another session holds a snapshot: their index entries stay."""
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("q00")
    table = boss_table(database18)
    with psycopg.connect(database18.dsn) as holder, database18.connect() as connection:
        connection.execute(f"alter table pgboss.{table} set (autovacuum_enabled = false)")
        connection.execute(
            "insert into pgboss.job (name, start_after) select 'q00', now() - interval '1 h'"
            " from generate_series(1, 30000)"
        )
        holder.execute("set transaction isolation level repeatable read")
        holder.execute("select count(*) from pgboss.job")
        connection.execute("update pgboss.job set state = 'active', started_on = now()")
        connection.execute("update pgboss.job set state = 'completed', completed_on = now()")
        connection.execute("insert into pgboss.job (name) values ('q00')")
        connection.execute(f"analyze pgboss.{table}")
        flush(connection)
        watched = Watched(database18)
        watched.driver.settle()
        watched.driver.collect()
        parts = (names.COUNTS, names.FINISHED, names.MAINTENANCE)
        cost, page = watched.blocks(*parts)
        assert page.one(names.OLDEST_READY_AGE, queue="q00") > 0
        edged = cost
        watched.driver.pgboss[0].recount()
        from_the_beginning, _ = watched.blocks(*parts)
        watched.close()
    assert from_the_beginning > 5 * edged, "the probe without an edge is not dear: this proves nothing"
    assert edged <= 150


def boss_table(database: Database) -> str:
    """The table that holds the jobs of the queue `q00`."""
    [row] = database.run(
        "select to_jsonb(q)->>'table_name', to_jsonb(q)->>'partition_name' from pgboss.queue q where name = 'q00'"
    )
    return str(row[0] or row[1])


# Under the budget, where there is no index.


@pytest.mark.parametrize("pgboss_version", ["10", "11", "12mid"])
def test_a_scan_keeps_to_the_budget_and_ready_ages_stay_exact_and_fresh(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("q00")
    database18.run(
        "insert into pgboss.job (name, state, started_on, completed_on)"
        " select 'q00', 'completed', now(), now() from generate_series(1, 50000)"
    )
    driver = Driver(database18.dsn, budget=0.00005, pgmq={"enabled": False})
    driver.settle()
    finished = next(tracked for tracked in driver.collection.parts if tracked.labels == ("pgboss", names.FINISHED))
    finished.spending.forgive()  # what settling cost may have switched it off, and on again
    with database18.connect() as connection:
        connection.execute("insert into pgboss.job (name) values ('q00')")
        flush(connection)
    page = driver.collect()
    assert page.one(names.COLLECTION_INTERVAL, source="pgboss", part=names.FINISHED) > 5
    assert page.one(names.COLLECTION_INTERVAL, source="pgboss", part=names.HEAD) == 5
    # Three runs that cost more than a minute's share: off, and that is told; the ages go on.
    for _ in range(4):
        boss.send("q00", {})
        with database18.connect() as connection:
            connection.execute("insert into pgboss.job (name) values ('q00')")
            flush(connection)
        for tracked in driver.collection.parts:
            tracked.due = float("-inf")
        finished.spending.ran(1.0)
        page = Collected(driver.collection.cycle())
    assert page.one(names.COLLECTION_ERRORS, source="pgboss", part=names.FINISHED, reason="budget") >= 1
    assert page.of(names.FINISHED_JOBS, queue="q00") == {}
    assert page.one(names.JOBS, queue="q00", state=names.READY) >= 9
    # The longest-ready job is fetched, then all are, then one comes: each is on the next page, to the last digit.
    oldest = "select min(start_after) from pgboss.job where state < 'active'"
    for step in (
        f"update pgboss.job set state = 'active', started_on = now() where start_after = ({oldest})",
        "update pgboss.job set state = 'active', started_on = now() where state < 'active'",
        "insert into pgboss.job (name) values ('q00')",
    ):
        with database18.connect() as connection:
            connection.execute(step.encode())
            flush(connection)
            row = connection.execute(f"select extract(epoch from ({oldest}))::float8".encode()).fetchone()
        assert row is not None
        page = driver.collect(without=(names.FINISHED,))
        assert page.one(names.OLDEST_READY_AGE, queue="q00") == pytest.approx(page.age(row[0]), abs=1e-6)
    driver.close()


# What is wrong is told.


def test_a_locked_table_is_told_and_pgmq_goes_on(
    pgmq_database: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, pgmq_database.dsn)
    boss.create_queue("mail")
    boss.insert("mail", [{"data": {}}] * 2)
    pgmq_database.run("select pgmq.create('letters')")
    driver = Driver(pgmq_database.dsn)
    driver.settle()
    with psycopg.connect(pgmq_database.dsn) as blocker:
        blocker.execute("lock table pgboss.job in access exclusive mode")
        page = driver.recount()
        assert page.one(names.UP) == 1
        assert page.one(names.COLLECTION_SUCCESS, source="pgboss", part=names.HEAD) == 0
        assert page.one(names.COLLECTION_ERRORS, source="pgboss", part=names.HEAD, reason="lock") == 1
        assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.HEAD) == 1
    assert driver.recount().one(names.COLLECTION_SUCCESS, source="pgboss", part=names.HEAD) == 1
    driver.close()


def test_a_role_without_rights_and_row_level_security_are_told(
    database: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database.dsn)
    boss.create_queue("q00")
    boss.send("q00", {})
    table = boss_table(database)
    watched = Watched(database)
    page = watched.driver.settle()
    assert page.one(names.JOBS, queue="q00", state=names.READY) == 1
    database.run(f'revoke select on pgboss.{table}, pgboss.job from "{watched.role}"')
    page = watched.driver.collect()
    assert page.one(names.COLLECTION_ERRORS, source="pgboss", part=names.HEAD, reason="privilege") >= 1
    database.run(f'grant select on pgboss.{table}, pgboss.job to "{watched.role}"')
    database.run(f"alter table pgboss.{table} enable row level security")
    page = watched.driver.collect()
    assert page.one(names.ROWS_HIDDEN, queue="q00") == 1
    assert page.of(names.JOBS, queue="q00") == {}
    assert page.of(names.OLDEST_READY_AGE, queue="q00") == {}
    database.run(f"alter table pgboss.{table} disable row level security")
    page = watched.driver.recount()
    assert page.one(names.ROWS_HIDDEN, queue="q00") == 0
    assert page.one(names.JOBS, queue="q00", state=names.READY) == 1
    if pgboss_version == "10":
        database.run("alter table pgboss.archive enable row level security")
        page = watched.driver.recount()
        assert page.one(names.ROWS_HIDDEN, queue="q00") == 1
        assert page.one(names.JOBS, queue="q00", state=names.READY) == 1
    watched.close()
