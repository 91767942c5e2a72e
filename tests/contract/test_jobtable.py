"""What a job table records is counted once each, whatever is done to its rows and whenever that commits."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import names
from tests.exporter import Collected, driving, settled
from tests.jobtables import create, described, finish, finished, histogram, runs
from tests.servers import Database, Server, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


QUEUES = ("mail", "Re.port s%")

#: Outcomes whose run is timed, and the label under which.
TIMED = {"completed": names.COMPLETED, "failed": names.FAILED, "dead_lettered": names.FAILED}

steps = st.tuples(
    st.sampled_from(
        [
            "enqueue",
            "start",
            "complete",
            "fail",
            "dead_letter",
            "cancel",
            "fail_and_complete",
            "touch",
            "undone",
            "collect",
        ]
    ),
    st.sampled_from(QUEUES),
    st.integers(1, 8),
)

#: Ways to finish: the columns that are set, in this order of time.
_ENDS = {
    "complete": ("completed",),
    "fail": ("failed",),
    "dead_letter": ("failed", "dead"),
    "cancel": ("cancelled",),
    "fail_and_complete": ("failed", "completed"),
}


class World:
    """Rows that things are done to."""

    def __init__(self, connection: psycopg.Connection[Any], now: str) -> None:
        self.sql = connection
        self.now = now

    def do(self, step: str, queue: str, number: int) -> None:
        """One step of a script."""
        some = f"select id from public.jobs where queue = %s and {{}} order by random() limit {number}"
        unfinished = some.format("completed is null and failed is null and cancelled is null")
        if step in ("enqueue", "undone"):
            with self.sql.transaction(force_rollback=step == "undone"):
                self.sql.execute(
                    f"insert into public.jobs (queue, attempt, enqueued) select %s, 1 + (random() * 2)::int,"
                    f" {self.now} - random() * interval '30 s' from generate_series(1, %s)",
                    [queue, number],
                )
        elif step == "start":
            self.sql.execute(
                f"update public.jobs set started = {self.now} - random() * interval '20 s' where id in ({unfinished})",
                [queue],
            )
        elif step == "touch":
            self.sql.execute(f"update public.jobs set max_attempts = 3 where id in ({some.format('true')})", [queue])
        elif step in _ENDS:
            ids = [row[0] for row in self.sql.execute(unfinished, [queue])]
            for column in _ENDS[step]:
                self.sql.execute(f"update public.jobs set {column} = {self.now} where id = any(%s)", [ids])

    def compare(self, page: Collected) -> None:
        """The page equals plain SQL."""
        end = "least(completed, failed, cancelled)"
        outcome = (
            "case when dead is not null then 'dead_lettered' when cancelled is not null then 'cancelled'"
            " when completed is not null then 'completed' when attempt < max_attempts then 'retried' else 'failed' end"
        )
        for queue in QUEUES:
            counts = dict(
                self.sql.execute(
                    f"select {outcome}, count(*) from public.jobs where queue = %s and {end} is not null group by 1",
                    [queue],
                ).fetchall()
            )
            assert finished(page, queue) == {key: count for key, count in counts.items() if key != "retried"}
            assert page.one(names.RETRIED, queue=queue) == counts.get("retried", 0)
            ended = f"queue = '{queue}' and {end} is not null and started is not null"
            for label in (names.COMPLETED, names.FAILED):
                ways = ", ".join(f"'{way}'" for way, timed in TIMED.items() if timed == label)
                expected = histogram(self.sql, f"{end} - started", f"{ended} and {outcome} in ({ways})")
                found = page.one(names.RUN, queue=queue, outcome=label)
                assert found[:2] == expected[:2]
                assert found.total == pytest.approx(expected.total)
            ways = ", ".join(f"'{way}'" for way in TIMED)
            expected = histogram(self.sql, "started - enqueued", f"{ended} and attempt = 1 and {outcome} in ({ways})")
            assert page.one(names.WAIT, queue=queue)[:2] == expected[:2]


@pytest.mark.parametrize("type_", ["timestamptz", "timestamp"])
@settings(max_examples=10, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(script=st.lists(steps, min_size=5, max_size=40))
def test_every_number_equals_plain_sql(server: Server, type_: str, script: list[tuple[str, str, int]]) -> None:
    """A row that failed and then completed is read at the first of these times, as what it is by then."""
    database = server.create_database()
    now = "clock_timestamp()" + (" at time zone 'UTC'" if type_ == "timestamp" else "")
    with database.connect() as connection:
        create(connection, type_)
        world = World(connection, now)
        tables = described(source="none", queues=list(QUEUES), time_zone="UTC" if type_ == "timestamp" else None)
        with driving(database.dsn, job_tables=tables) as driver:
            for step, queue, number in script:
                if step == "collect":
                    flush(connection)
                    driver.collect()
                else:
                    world.do(step, queue, number)
            flush(connection)
            world.compare(settled(driver))
    server.drop_database(database.name)


def test_a_row_that_finishes_twice_counts_once(database: Database) -> None:
    with database.connect() as connection:
        create(connection)
        with driving(database.dsn, job_tables=described(source="none")) as driver:
            finish(connection, column="failed")
            connection.execute("update public.jobs set max_attempts = 1")
            assert finished(settled(driver)) == {"failed": 1}
            connection.execute("update public.jobs set completed = clock_timestamp()")
            finish(connection)
            assert finished(settled(driver)) == {"failed": 1, "completed": 1}
            assert runs(settled(driver)) == 2


# Late commits.

JOBS = 4_000
WRITERS = 6


def test_every_job_counts_once_whenever_it_commits(server: Server) -> None:
    """Writers that hold transactions open beside an idle one; times of the transaction's start and of the moment."""
    database = server.create_database()
    with database.connect() as connection, database.connect() as idle:
        create(connection)
        idle.execute("begin")
        idle.execute("select 1")
        tables = described(source="none", queues=["mail"])
        with driving(database.dsn, job_tables=tables, settle_max="3s") as driver:
            writers = [threading.Thread(target=_write, args=(database, number)) for number in range(WRITERS)]
            for writer in writers:
                writer.start()
            counts, until = [0], time.monotonic() + 60
            while (counts[-1] < JOBS or any(writer.is_alive() for writer in writers)) and time.monotonic() < until:
                page = driver.collect()
                counts.append(sum(finished(page).values()) + page.one(names.RETRIED, queue="mail"))
                time.sleep(0.1)
            for writer in writers:
                writer.join()
            page = settled(driver)
            in_sql = dict(
                connection.execute("select completed is null, count(*) from public.jobs group by 1").fetchall()
            )
            assert finished(page) == {"completed": in_sql[False], "failed": in_sql[True]}
            assert runs(page) == page.one(names.WAIT, queue="mail").observations + JOBS == JOBS
            assert counts == sorted(counts)
            assert any(0 < count < JOBS for count in counts), "jobs were to be counted as they came"
        idle.execute("rollback")
    server.drop_database(database.name)


def _write(database: Database, number: int) -> None:
    chance = random.Random(number)
    with database.connect() as connection:
        done = 0
        while done < JOBS // WRITERS + (number < JOBS % WRITERS):
            size = min(chance.choice((1, 1, 5, 40)), JOBS // WRITERS + (number < JOBS % WRITERS) - done)
            undone = chance.random() < 0.1
            with connection.transaction(force_rollback=undone):
                connection.execute("select 1")
                time.sleep(chance.choice((0, 0, 0, 0, 0.05, 0.3)))
                column = chance.choice(("completed", "failed"))
                connection.execute(
                    f"insert into public.jobs (queue, attempt, enqueued, started, {column}) select 'mail', 3, now(),"
                    f" now(), {chance.choice(('now()', 'clock_timestamp()'))} from generate_series(1, %s)",
                    [size],
                )
                time.sleep(chance.choice((0, 0, 0, 0, 0.05, 0.3, 1.0)) if done % 7 == 0 else 0)
            done += 0 if undone else size
        flush(connection)
