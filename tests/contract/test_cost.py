"""What a collection costs is counted, never timed: SELECTs sent, blocks touched and rows returned by the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from exporter import names
from exporter.sources import pgmq_counting
from exporter.sources.pgmq_counts import Seen
from exporter.sources.postgres import Query
from tests.exporter import Collected, Driver
from tests.servers import Database, flush

LIMIT = 10_000  # the default of `count_limit`

#: The most that one pass each over ready, unready, leased and the first jobs may touch: a block a job, and a tenth
#: on top for the index's own pages and the catalogues.
CAPS = round(1.1 * (2 * (LIMIT + 1) + 1_000 + 100))


class Cost(NamedTuple):
    """What one collection cost the server."""

    blocks: int
    rows: int
    selects: int


class Watched:
    """A driver with a role of its own, so that pg_stat_statements tells its statements from all others."""

    def __init__(self, database: Database, **keys: Any) -> None:
        self.sql = database.connect()
        self.role = database.server.add_user()
        grantee = sql.Identifier(self.role)
        self.sql.execute("create extension if not exists pg_stat_statements")
        self.sql.execute(sql.SQL("grant usage on schema pgmq to {}").format(grantee))
        self.sql.execute(sql.SQL("grant select on all tables in schema pgmq to {}").format(grantee))
        self.sql.execute(sql.SQL("grant select on all sequences in schema pgmq to {}").format(grantee))
        self.driver = Driver(database.dsn_as(self.role), **keys)
        self.counted: list[str] = []
        self._spy()

    def _spy(self) -> None:
        """Note the text of every counting statement that is sent."""
        session = self.driver.collection.session
        read = session.read

        def spied(select: Query, into: Any, **how: Any) -> Any:
            if into is Seen:
                self.counted.append(select.as_string())
            return read(select, into, **how)

        session.read = spied  # type: ignore[method-assign]  # a spy

    def collect(self, *, full: bool = False) -> tuple[Cost, Collected]:
        """One collection, what it cost the server, and its page; ``counted`` holds its counting statements."""
        self.counted.clear()
        self.sql.execute("select pg_stat_statements_reset((select oid from pg_roles where rolname = %s))", [self.role])
        before = self.driver.collection.session.messages
        page = self.driver.collect(full=full)
        row = self.sql.execute(
            """select coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint, coalesce(sum(rows), 0)::bigint,
                      count(*)
                 from pg_stat_statements s join pg_roles r on r.oid = s.userid where rolname = %s""",
            [self.role],
        ).fetchone()
        assert row is not None
        assert row[2] > 0, "the exporter's statements were not found"
        return Cost(row[0], row[1], self.driver.collection.session.messages - before), page

    def close(self) -> None:
        """Close both connections."""
        self.driver.close()
        self.sql.close()


@contextmanager
def watched(database: Database, **keys: Any) -> Iterator[Watched]:
    one = Watched(database, **keys)
    try:
        yield one
    finally:
        one.close()


def create(connection: psycopg.Connection[Any], *queues: str) -> None:
    """Queues that autovacuum leaves alone: when it came would decide what is counted here."""
    for queue in queues:
        connection.execute("select pgmq.create(%s)", [queue])
        connection.execute(
            sql.SQL("alter table {} set (autovacuum_enabled = false)").format(sql.Identifier("pgmq", f"q_{queue}"))
        )


# A backlog.


def test_a_collection_at_a_million_jobs_costs_what_it_costs_at_a_hundred_thousand(pgmq_database: Database) -> None:
    loaded = pgmq_database.connect()
    create(loaded, "small", "large")
    costs: dict[tuple[str, bool], Cost] = {}
    for queue, jobs in (("small", 100_000), ("large", 1_000_000)):
        # Times in no order: then each job of the index is a block of its own in the table.
        loaded.execute(
            sql.SQL(
                "insert into {} (vt, message) select now() - random() * interval '1 day', '{{}}'"
                " from generate_series(1, %s)"
            ).format(sql.Identifier("pgmq", f"q_{queue}")),
            [jobs],
        )
    for vacuumed in (False, True):
        for queue in ("small", "large"):
            if vacuumed:
                loaded.execute(sql.SQL("vacuum (analyze) {}").format(sql.Identifier("pgmq", f"q_{queue}")))
            with watched(pgmq_database, queues={"include": [queue]}) as exporter:
                exporter.driver.collect()
                loaded.execute("select pgmq.send(%s, '{}')", [queue])
                flush(loaded)
                costs[queue, vacuumed], page = exporter.collect(full=True)
                assert exporter.counted, "it did not count"
                assert page.one(names.JOBS_ESTIMATED, queue=queue) == 1
    loaded.close()
    for vacuumed in (False, True):
        small, large = costs["small", vacuumed], costs["large", vacuumed]
        assert large.blocks <= 1.3 * small.blocks, costs
        assert large.rows <= 1.3 * small.rows, costs
        assert abs(large.selects - small.selects) <= 1, costs  # whose statistics came late is looked for once more
        assert large.blocks <= CAPS, costs
    assert costs["large", True].blocks < costs["large", False].blocks / 2, "the visibility map was not as intended"


def test_telling_leases_from_delays_is_bounded_by_the_caps(pgmq_database: Database) -> None:
    with pgmq_database.connect() as loaded:
        create(loaded, "mixed")
        with watched(pgmq_database) as exporter:
            exporter.collect()
            # Times in no order, ready and unready, leased and delayed.
            loaded.execute(
                "insert into pgmq.q_mixed (vt, read_ct, message)"
                " select now() + (random() * 8 - 2) * interval '1 hour', (random() * 2)::int, '{}'"
                " from generate_series(1, 100000)"
            )
            flush(loaded)
            cost, page = exporter.collect(full=True)
            assert exporter.counted, "it did not count"
            assert page.one(names.JOBS_ESTIMATED, queue="mixed") == 1
            assert cost.blocks <= CAPS


# What did not change.


def test_an_unchanged_queue_is_not_counted_again(pgmq_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgmq_counting, "_TURNS", 1_000_000)
    queues = [f"quiet_{number}" for number in range(50)]
    with pgmq_database.connect() as connection:
        for queue in queues:
            connection.execute("select pgmq.create(%s)", [queue])
            connection.execute("select pgmq.send(%s, '{}') from generate_series(1, 20)", [queue])
        connection.execute("select pgmq.send('quiet_7', '{}', 1000)")
        flush(connection)
        with watched(pgmq_database) as exporter:
            _, page = exporter.collect()
            assert sum(text.count("as ready") for text in exporter.counted) == 50, "each is counted at first"
            for _ in range(3):
                exporter.collect()
            cost, page = exporter.collect()
            assert exporter.counted == []
            assert cost.selects <= 8
            assert page.jobs("quiet_7") == (20, 1, 0)

            connection.execute("select pgmq.send('quiet_31', '{}')")
            flush(connection)
            cost, page = exporter.collect()
            (text,) = exporter.counted
            assert [queue for queue in queues if f'"q_{queue}"' in text] == ["quiet_31"]
            assert page.jobs("quiet_31") == (21, 0, 0)

            # A job that becomes ready changes no statistic: the exporter knows when it will.
            connection.execute("update pgmq.q_quiet_7 set vt = now() + interval '0.3 s' where vt > now()")
            flush(connection)
            exporter.collect()
            connection.execute("select pg_sleep(0.4)")
            _, page = exporter.collect()
            assert page.jobs("quiet_7") == (21, 0, 0)


def test_every_queue_is_counted_when_its_turn_comes(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        for queue in ("one", "two", "three"):
            connection.execute("select pgmq.create(%s)", [queue])
    with watched(pgmq_database) as exporter:
        for _ in range(3):
            exporter.collect()
        turns: list[str] = []
        for _ in range(10):
            exporter.collect()
            turns += exporter.counted
    assert [sum(f'"q_{queue}"' in text for text in turns) for queue in ("one", "two", "three")] == [1, 1, 1]


def test_no_turn_is_missed_where_counting_is_stretched(pgmq_database: Database) -> None:
    """However many cycles pass between two runs of the part."""
    queues = ("one", "two", "three")
    with pgmq_database.connect() as connection:
        for queue in queues:
            connection.execute("select pgmq.create(%s)", [queue])
    with watched(pgmq_database) as exporter:
        for _ in range(3):
            exporter.collect()
        turns: list[str] = []
        for _ in range(10):
            for _ in range(9):
                exporter.driver.collect(without=(names.COUNTS,))
            exporter.collect()
            turns += exporter.counted
    assert [sum(f'"q_{queue}"' in text for text in turns) for queue in queues] == [1, 1, 1]


# Dead rows that an old snapshot keeps.

CHURN = sql.SQL("""
do $$
begin
  perform pgmq.send_batch('churned', array_agg('{{}}'::jsonb)) from generate_series(1, {jobs});
  perform pgmq.delete('churned', array_agg(msg_id)) from pgmq.read('churned', 30, {jobs});
end $$""")

#: Blocks that a collection may touch when nothing was churned since the last one. Unedged, it is over a million here.
AT_REST = 500

#: Blocks a job churned since the last collection, which left two versions in the table and two entries in each index.
A_JOB = 4


def test_dead_rows_behind_an_old_snapshot_are_walked_once(pgmq_database: Database) -> None:
    with pgmq_database.connect() as worker, pgmq_database.connect() as old:
        create(worker, "churned")
        with watched(pgmq_database) as exporter:
            exporter.collect()
            old.execute("begin isolation level repeatable read")
            old.execute("select count(*) from pgmq.meta")
            for _ in range(60):
                worker.execute(CHURN.format(jobs=5_000))
            flush(worker)
            unedged, page = exporter.collect(full=True)
            assert page.jobs("churned") == (0, 0, 0)
            assert unedged.blocks >= 300_000, "there is nothing dead to walk through"

            for backlog in (0, 1_500):
                worker.execute("select pgmq.send('churned', '{}') from generate_series(1, %s)", [backlog])
                flush(worker)
                for _ in range(2):
                    exporter.collect()
                rest, counted = [], 0
                for _ in range(10):
                    cost, page = exporter.collect()
                    rest.append(cost.blocks)
                    counted += len(exporter.counted)
                    assert page.jobs("churned") == (backlog, 0, 0)
                assert counted == 1, "its turn came once"
                assert max(rest) <= AT_REST

                for _ in range(3):
                    worker.execute(CHURN.format(jobs=2_000))
                    flush(worker)
                    cost, page = exporter.collect()
                    assert exporter.counted
                    assert cost.blocks <= AT_REST + A_JOB * 2_000
                    assert page.jobs("churned") == (backlog, 0, 0)
        old.execute("rollback")


# Edges are only a short cut.


def truth(connection: psycopg.Connection[Any], queue: str) -> dict[str, Any]:
    row = connection.execute(
        sql.SQL("""select count(*) filter (where vt <= now()), count(*) filter (where vt > now() and read_ct = 0),
                          count(*) filter (where vt > now() and read_ct > 0),
                          extract(epoch from min(vt) filter (where vt <= now()))::float8,
                          extract(epoch from min(enqueued_at))::float8
                     from {}""").format(sql.Identifier("pgmq", f"q_{queue}"))
    ).fetchone()
    assert row is not None
    return {"jobs": row[:3], "oldest ready": row[3], "oldest job": row[4]}


def compare(connection: psycopg.Connection[Any], driver: Driver, queue: str) -> None:
    flush(connection)
    driver.collect(full=True)
    page = driver.collect()
    expected = truth(connection, queue)
    assert page.jobs(queue) == expected["jobs"]
    for metric, what in ((names.OLDEST_READY_AGE, "oldest ready"), (names.OLDEST_JOB_AGE, "oldest job")):
        assert page.one(metric, queue=queue) == page.age(expected[what]), what


def test_edges_survive_what_is_done_to_a_queue(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('edged')")

        def load(jobs: int, hours: int) -> None:
            connection.execute(
                "insert into pgmq.q_edged (enqueued_at, vt, message)"
                " select now() - make_interval(hours => %s), now() - make_interval(hours => %s), '{}'"
                " from generate_series(1, %s)",
                [hours, hours, jobs],
            )

        load(3_000, 5)
        load(2_000, 3)
        driver = Driver(pgmq_database.dsn)
        driver.collect()
        compare(connection, driver, "edged")
        assert driver.pgmq.queues["edged"].ready_from is not None, "there is no edge to survive"

        connection.execute("select pgmq.archive('edged', array(select msg_id from pgmq.q_edged where msg_id <= 3000))")
        compare(connection, driver, "edged")
        # Back before both edges: an older time of a job, and an older job.
        connection.execute("select pgmq.set_vt('edged', 4000::bigint, -36000)")
        compare(connection, driver, "edged")
        connection.execute(
            "insert into pgmq.q_edged (msg_id, enqueued_at, vt, message) overriding system value"
            " values (5, now() - interval '20 hours', now() - interval '20 hours', '{}')"
        )
        compare(connection, driver, "edged")
        connection.execute("select pgmq.delete('edged', array(select msg_id from pgmq.q_edged))")
        compare(connection, driver, "edged")
        load(1_000, 7)
        compare(connection, driver, "edged")
        connection.execute("select pgmq.purge_queue('edged')")
        load(10, 9)
        compare(connection, driver, "edged")
        connection.execute("select pgmq.drop_queue('edged')")
        connection.execute("select pgmq.create('edged')")
        load(20, 11)
        compare(connection, driver, "edged")
        driver.close()


def test_a_job_moved_back_before_the_edge_waits_for_the_full_look_only(pgmq_database: Database) -> None:
    """That an edge is in use at all, and that the full look alone corrects it."""
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('edged')")
        connection.execute("insert into pgmq.q_edged (vt, message) select now(), '{}' from generate_series(1, 12000)")
        driver = Driver(pgmq_database.dsn)
        for _ in range(3):
            driver.collect()
        connection.execute("select pgmq.set_vt('edged', 12000::bigint, -36000)")
        flush(connection)
        assert driver.collect().one(names.OLDEST_READY_AGE, queue="edged") < 3_600
        driver.collect(full=True)
        assert driver.collect().one(names.OLDEST_READY_AGE, queue="edged") == pytest.approx(36_000, abs=60)
        driver.close()


# Times that are drawn, or given, before they are seen.


def test_senders_that_wait_for_a_lock_are_not_passed_by(pgmq_database: Database) -> None:
    """Their jobs' times are drawn before they get the table's lock."""
    with pgmq_database.connect() as connection, pgmq_database.connect() as blocker:
        connection.execute("select pgmq.create('edged')")
        connection.execute("select pgmq.send('edged', '{}', 3600) from generate_series(1, 1500)")
        flush(connection)
        driver = Driver(pgmq_database.dsn)
        driver.collect()
        blocker.execute("begin")
        blocker.execute("lock table pgmq.q_edged in share mode")
        with ThreadPoolExecutor(5) as senders:
            sent = [senders.submit(pgmq_database.run, "select pgmq.send('edged', '{}')") for _ in range(5)]
            waiting = "select count(*) from pg_locks where not granted and relation = 'pgmq.q_edged'::regclass"
            while connection.execute(waiting).fetchone() != (5,):
                time.sleep(0.01)
            time.sleep(0.3)
            for _ in range(3):
                driver.collect()
            blocker.execute("rollback")
            for one in sent:
                one.result()
        for _ in range(2):
            page = driver.collect()
            assert page.jobs("edged") == (5, 1_500, 0)
            assert page.one(names.OLDEST_READY_AGE, queue="edged") > 0.3
        driver.close()


def test_a_job_sent_with_a_time_in_the_past_is_no_second_old(pgmq_database: Database) -> None:
    """As an application's own clock, or now() in a long transaction, gives it."""
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('edged')")
        driver = Driver(pgmq_database.dsn)
        for _ in range(3):
            driver.collect()
        driver.pgmq.queues["edged"].progress -= 20
        connection.execute("insert into pgmq.q_edged (vt, message) values (now() - interval '30 s', '{}')")
        flush(connection)
        for _ in range(3):
            page = driver.collect()
            assert page.jobs("edged") == (1, 0, 0)
            assert page.one(names.OLDEST_READY_AGE, queue="edged") >= 30
            assert page.one(names.STALLED, queue="edged") >= 20
        driver.close()
