"""What a collection of pg-boss costs is counted, never timed; what is wrong is told, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from exporter import names
from tests.exporter import Collected, Driver
from tests.pgboss import PgBoss, Version
from tests.servers import Database, flush

QUEUES = [f"q{number:02}" for number in range(20)]


class Watched:
    """A driver with a role of its own: pg_stat_statements tells its statements from all others."""

    def __init__(self, database: Database) -> None:
        self.sql = database.connect()
        role = database.server.add_user()
        self.sql.execute("create extension if not exists pg_stat_statements")
        self.sql.execute(f'grant usage on schema pgboss to "{role}"')
        self.sql.execute(f'grant select on all tables in schema pgboss to "{role}"')
        self.role = role
        # A snapshot that another session holds is not waited for: these tests are about cost.
        self.driver = Driver(database.dsn_as(role), pgmq={"enabled": False}, vacuum=False, settle_max="100ms")

    def blocks(self, *without: str) -> tuple[int, Collected]:
        """The blocks that one collection touches, of the parts that are not left out, and its page."""
        self.sql.execute("select pg_stat_statements_reset((select oid from pg_roles where rolname = %s))", [self.role])
        page = self.driver.collect(without=without)
        row = self.sql.execute(
            """select coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint, count(*)
                 from pg_stat_statements s join pg_roles r on r.oid = s.userid where rolname = %s""",
            [self.role],
        ).fetchone()
        assert row is not None
        assert row[1] > 0, "the exporter's statements were not found"
        return int(row[0]), page

    def close(self) -> None:
        """Close both connections."""
        self.driver.close()
        self.sql.close()


def load(database: Database, completed: int, created: int, active: int) -> None:
    """Jobs of all queues, as months of work leave them; the completed first, so that they share no block."""
    with database.connect() as connection:
        connection.execute("alter table pgboss.job_common set (autovacuum_enabled = false)")
        for state, jobs, columns, values in (
            ("completed", completed, "started_on, completed_on", "now() - interval '2 h', now() - interval '1 h'"),
            ("active", active, "started_on, completed_on", "now() - interval '1 min', null"),
            ("created", created, "started_on, completed_on", "null, null"),
        ):
            connection.execute(
                f"""insert into pgboss.job (name, state, created_on, start_after, {columns}, data)
                    select 'q' || lpad(mod(n, {len(QUEUES)})::text, 2, '0'), %s, now() - interval '3 h',
                           now() - random() * interval '1 h', {values}, jsonb_build_object('body', repeat('x', 100))
                      from generate_series(1, %s) n""",
                [state, jobs],
            )
        connection.execute("vacuum (analyze) pgboss.job_common")
        flush(connection)


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


def test_a_scan_keeps_to_the_budget_and_ready_ages_stay_fresh(
    database18: Database, pgboss: Callable[..., PgBoss]
) -> None:
    boss = pgboss("11", database18.dsn)
    boss.create_queue("q00")
    database18.run(
        "insert into pgboss.job (name, state, started_on, completed_on)"
        " select 'q00', 'completed', now(), now() from generate_series(1, 50000)"
    )
    driver = Driver(database18.dsn, budget=0.0005, pgmq={"enabled": False})
    driver.settle()
    boss.send("q00", {})
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
        finished = next(tracked for tracked in driver.collection.parts if tracked.labels == ("pgboss", names.FINISHED))
        finished.spending.ran(1.0)
        page = Collected(driver.collection.cycle())
    assert page.one(names.COLLECTION_ERRORS, source="pgboss", part=names.FINISHED, reason="budget") >= 1
    assert page.of(names.FINISHED_JOBS, queue="q00") == {}
    assert page.one(names.OLDEST_READY_AGE, queue="q00") > 0
    assert page.one(names.JOBS, queue="q00", state=names.READY) >= 9
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
    watched.close()
