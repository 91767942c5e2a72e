"""Every number equals what plain SQL says, whatever was done to the queues."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import names
from tests.exporter import Collected, Driver
from tests.pgmq_install import SHAPES, Shape, install_pgmq
from tests.servers import Server

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True

QUEUES = ("mail", "Re.port s%", "mail_dlq")

queue = st.sampled_from(QUEUES)
steps = st.one_of(
    st.tuples(st.just("send"), queue, st.integers(1, 30)),
    st.tuples(st.just("send_delayed"), queue, st.integers(1, 5)),
    st.tuples(st.just("read"), queue, st.integers(1, 10)),
    st.tuples(st.just("read_again"), queue, st.integers(1, 10)),
    st.tuples(st.just("set_vt"), queue, st.integers(-50, 100)),
    st.tuples(st.just("delete"), queue, st.integers(1, 5)),
    st.tuples(st.just("archive"), queue, st.integers(1, 5)),
    st.tuples(st.just("pop"), queue, st.integers(1, 3)),
    st.tuples(st.just("rolled_back"), queue, st.integers(1, 5)),
    st.tuples(st.just("purge"), queue, st.just(0)),
    st.tuples(st.just("drop"), queue, st.just(0)),
    st.tuples(st.just("create"), queue, st.just(0)),
    st.tuples(st.just("reset_statistics"), queue, st.just(0)),
    st.tuples(st.just("collect"), queue, st.just(0)),
)


class World:
    """Queues that things are done to, and what the counters must have counted since the exporter started."""

    def __init__(self, sql: psycopg.Connection[Any], shape: Shape) -> None:
        self.sql = sql
        self.timed = shape == "1.13"
        self.there: set[str] = set()
        self.ever: set[str] = set()
        self.counted: dict[tuple[str, str], int] = {}

    def count(self, queue: str, what: str, step: int) -> None:
        self.counted[queue, what] = self.counted.get((queue, what), 0) + step

    def one(self, query: str, *parameters: Any) -> Any:
        row = self.sql.execute(query, parameters or None).fetchone()
        return row[0] if row else None

    def do(self, step: str, queue: str, number: int) -> None:
        if step == "create":
            self.sql.execute("select pgmq.create(%s)", [queue])
            self.there.add(queue)
            self.ever.add(queue)
            return
        if queue not in self.there:
            return
        table = f'pgmq."{("q_" + queue).lower()}"'
        if step == "send":
            self.sql.execute("select pgmq.send(%s, '{}') from generate_series(1, %s)", [queue, number])
            self.count(queue, "enqueued", number)
        elif step == "send_delayed":
            self.sql.execute("select pgmq.send(%s, '{}', 1000) from generate_series(1, %s)", [queue, number])
            self.count(queue, "enqueued", number)
        elif step in ("read", "read_again"):
            if step == "read_again":
                # As if leases had run out: readable again, with their read counts.
                moved = self.sql.execute(f"update {table} set vt = clock_timestamp() where read_ct > 0").rowcount
                self.count(queue, "dequeued", moved)
            read = self.sql.execute("select * from pgmq.read(%s, 500, %s)", [queue, number]).rowcount
            self.count(queue, "dequeued", read)
        elif step == "set_vt":
            found = self.one(f"select msg_id from {table} order by random() limit 1")
            if found is not None:
                self.sql.execute("select pgmq.set_vt(%s, %s::bigint, %s)", [queue, found, number])
                self.count(queue, "dequeued", 1)
        elif step in ("delete", "archive"):
            ids = [row[0] for row in self.sql.execute(f"select msg_id from {table} order by random() limit {number}")]
            self.sql.execute(f"select pgmq.{step}(%s, %s::bigint[])", [queue, ids])
            self.count(queue, "completed" if step == "delete" else "archived", len(ids))
        elif step == "pop":
            popped = self.sql.execute("select * from pgmq.pop(%s, %s)", [queue, number]).rowcount
            self.count(queue, "completed", popped)
        elif step == "rolled_back":
            with self.sql.transaction(force_rollback=True):
                self.sql.execute("select pgmq.send(%s, '{}') from generate_series(1, %s)", [queue, number])
            self.count(queue, "enqueued", number)
        elif step == "purge":
            self.sql.execute("select pgmq.purge_queue(%s)", [queue])
        elif step == "drop":
            self.sql.execute("select pgmq.drop_queue(%s)", [queue])
            self.there.discard(queue)

    def compare(self, page: Collected) -> None:
        for queue in self.there:
            table = f'pgmq."{("q_" + queue).lower()}"'
            leased = "min(last_read_at) filter (where vt > now() and read_ct > 0)"
            oldest_read_at = f"extract(epoch from {leased})" if self.timed else "null"
            row = self.sql.execute(
                f"""select count(*) filter (where vt <= now()), count(*) filter (where vt > now() and read_ct = 0),
                           count(*) filter (where vt > now() and read_ct > 0),
                           coalesce((select count(*) from {table} where msg_id < coalesce(
                             (select min(msg_id) from {table} where vt <= now()), 9e18)), 0),
                           count(*) filter (where read_ct > 1 and (vt > now() or vt <= now())),
                           extract(epoch from min(vt) filter (where vt <= now()))::float8,
                           extract(epoch from min(enqueued_at))::float8,
                           {oldest_read_at}::float8
                      from {table}"""
            ).fetchone()
            assert row is not None
            ready, scheduled, in_flight, head, redelivered, oldest_ready, oldest, oldest_read = row
            assert page.jobs(queue) == (ready, scheduled, in_flight)
            assert page.one(names.JOBS_ESTIMATED, queue=queue) == 0
            assert page.one(names.UNREADY_HEAD, queue=queue) == head
            assert page.maybe(names.REDELIVERED, queue=queue) == (None if queue.endswith("_dlq") else redelivered)
            ages = (
                (names.OLDEST_READY_AGE, oldest_ready),
                (names.OLDEST_JOB_AGE, oldest),
                (names.OLDEST_IN_FLIGHT_AGE, oldest_read),
            )
            for metric, since in ages[: 3 if self.timed else 2]:
                assert page.one(metric, queue=queue) == page.age(since), metric.name
            assert page.one(names.STALLED, queue=queue) <= page.age(oldest_ready)
        for queue in self.ever:
            assert page.one(names.ENQUEUED, queue=queue) == self.counted.get((queue, "enqueued"), 0)
            assert page.one(names.DEQUEUED, queue=queue) >= 0
            assert len(page.of(names.QUEUE_INFO, queue=queue)) == 1


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=10, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(script=st.lists(steps, min_size=5, max_size=40))
def test_every_number_equals_what_plain_sql_counts(
    server: Server, shape: Shape, script: list[tuple[str, str, int]]
) -> None:
    database = server.create_database()
    try:
        install_pgmq(database.dsn, shape)
        world, driver = World(database.connect(), shape), Driver(database.dsn, poison_limit=1)
        driver.collect()
        for queue in QUEUES[::2]:
            world.do("create", queue, 0)
        before: dict[tuple[str, ...], float] = {}
        reset = False
        for step, queue, number in script:
            if step == "reset_statistics":
                world.sql.execute("select pg_stat_reset()")
                reset = True
            elif step == "collect":
                flush(world.sql)
                before = not_fallen(driver.collect(), before)
            else:
                if step in ("drop", "purge"):
                    # What was counted but never seen before a table goes is gone with its statistics.
                    flush(world.sql)
                    before = not_fallen(driver.collect(), before)
                world.do(step, queue, number)
        flush(world.sql)
        page = driver.recount()
        not_fallen(page, before)
        world.compare(page)
        if not reset:
            compare_statistics(world, page)
        driver.close()
        world.sql.close()
    finally:
        server.drop_database(database.name)


def flush(connection: psycopg.Connection[Any]) -> None:
    """Report this session's statistics now."""
    connection.execute("select pg_stat_force_next_flush()")
    connection.execute("select 1")


def compare_statistics(world: World, page: Collected) -> None:
    for queue in world.ever:
        counted = {what: world.counted.get((queue, what), 0) for what in ("dequeued", "completed", "archived")}
        assert page.one(names.DEQUEUED, queue=queue) == counted["dequeued"]
        assert page.one(names.FINISHED_JOBS, queue=queue, outcome=names.COMPLETED) == counted["completed"]
        assert page.one(names.FINISHED_JOBS, queue=queue, outcome=names.ARCHIVED) == counted["archived"]


def not_fallen(page: Collected, before: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Counters never fall."""
    now = {}
    for metric in (names.ENQUEUED, names.DEQUEUED, names.FINISHED_JOBS):
        for labels, value in page.of(metric).items():
            now[metric.name, *labels] = value
            assert value >= before.get((metric.name, *labels), 0), f"{metric.name} {labels} fell"
    return now
