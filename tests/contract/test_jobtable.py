"""What a job table records is counted once each, whatever is done to its rows and whenever that commits."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import names
from exporter.demo import schema
from exporter.sources.fence import SLACK
from tests.exporter import Collected, Driver
from tests.jobtables import create, described, driving, finish, finished, histogram, runs, settled
from tests.servers import Database, Server, flush

ROOT = Path(__file__).parents[2]

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
        with driving(database.dsn, job_tables=tables, budget="50%", settle_max="3s") as driver:
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


# Whose series they are.


def test_a_job_table_alone_supplies_the_outcomes_of_the_queues_that_it_describes(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        connection.execute("select pgmq.create('mail'), pgmq.create('other')")
        tables = described(queues=["mail"])
        with driving(pgmq_database.dsn, job_tables=tables, pgmq={"wait_histogram": True}) as driver:
            for queue in ("mail", "other"):
                connection.execute("select pgmq.send(%s, '{}') from generate_series(1, 4)", [queue])
                connection.execute("select * from pgmq.read(%s, 60, 4)", [queue])
                connection.execute("select pgmq.archive(%s, 1), pgmq.delete(%s, 2)", [queue, queue])
            finish(connection, "mail", jobs=3)
            finish(connection, "other", jobs=7)
            page = settled(driver)
            assert finished(page, "mail") == {"completed": 3}
            assert finished(page, "other") == {"completed": 1, "archived": 1}
            assert page.one(names.RUN, queue="mail", outcome=names.COMPLETED).observations == 3
            assert page.one(names.RUN, queue="other", outcome=names.ARCHIVED).observations == 1
            assert page.maybe(names.RUN, queue="mail", outcome=names.ARCHIVED) is None
            assert page.one(names.WAIT, queue="mail").total == pytest.approx(3, abs=0.1)
            assert page.maybe(names.RETRIED, queue="other") is None
            assert {labels[1] for sample in (names.FINISHED_JOBS, names.QUEUE_INFO) for labels in page.of(sample)} == {
                "pgmq"
            }
            assert len(page.of(names.QUEUE_INFO, queue="mail")) == 1
            assert page.one(names.ENQUEUED, queue="mail") == 4
            # Dropped: nothing of it is left, once pgmq's zeros have been shown.
            connection.execute("select pgmq.drop_queue('mail')")
            driver.collect()
            del driver.pgmq.queues["mail"]
            assert driver.collect().of(names.FINISHED_JOBS, queue="mail") == {}


def test_a_table_that_stands_alone_has_its_queues_itself(database: Database) -> None:
    with database.connect() as connection:
        create(connection)
        finish(connection, "reports", jobs=5)
        finish(connection, "mail", jobs=5)
        time.sleep(2 * SLACK)
        with driving(database.dsn, job_tables=described(source="none", attempt=None)) as driver:
            page = driver.collect()
            assert page.one(names.FINISHED_JOBS, queue="reports", outcome=names.COMPLETED) == 0, "older than we are"
            assert page.one(names.ENQUEUED, queue="reports", source="jobtable:tracking") == 0
            connection.execute("insert into public.jobs (queue, enqueued) values ('mail', clock_timestamp())")
            finish(connection, "mail", jobs=2)
            page = settled(driver)
            assert page.one(names.ENQUEUED, queue="mail") == 1, "those that finish() makes came before us"
            assert finished(page) == {"completed": 2}
            assert page.one(names.QUEUE_INFO, queue="mail", role=names.WORK, source="jobtable:tracking") == 1
            assert page.one(names.COLLECTION_SUCCESS, source="jobtable:tracking", part=names.FINISHED) == 1


def test_retries_by_attempt_and_unknown_outcomes(database: Database) -> None:
    with database.connect() as connection:
        create(connection)
        tables = described(source="none", outcome="case when job.dead is null then 'completed' else 'gone' end")
        tables[0]["retries"] = "attempt"
        with driving(database.dsn, job_tables=tables) as driver:
            connection.execute("insert into public.jobs (queue, attempt, completed) values ('mail', 3, now())")
            connection.execute("insert into public.jobs (queue, attempt, completed) values (null, 3, now())")
            finish(connection)
            page = settled(driver)
            assert page.one(names.RETRIED, queue="mail") == 2
            assert finished(page) == {"completed": 2}
            connection.execute("insert into public.jobs (queue, dead, completed) values ('mail', now(), now())")
            flush(connection)
            page = settled(driver)
            assert finished(page) == {"completed": 2}
            assert "found 'gone'" in driver.collection.parts[-2].faults[0].detail


def test_the_example_for_meshhook_fits_the_schema_in_its_shape(pgmq_database: Database) -> None:
    example = yaml.safe_load((ROOT / "examples" / "meshhook.yml").read_text())["databases"][0]
    keys = {key: value for key, value in example.items() if key not in ("name", "dsn")}
    with pgmq_database.connect() as connection:
        schema.install(connection)
        schema.add_exporter_role(connection, "secret")
        driver = Driver(pgmq_database.dsn_as(schema.EXPORTER_ROLE, "secret"), **keys)
        try:
            driver.collect()
            send, take = schema.statement("enqueue"), schema.statement("take")
            ends = ["completed", "completed", "retry", "retry", "give_up"]
            for end in ends:
                tenant = {"queue": schema.QUEUE, "tenant": "acme", "workflow": "0" * 32, "delay": 0}
                connection.execute(send, tenant)
                job = connection.execute(take, {"queue": schema.QUEUE}).fetchone()
                assert job is not None
                which = {"queue": schema.QUEUE, "msg_id": job[0], "error": "x", "message": "{}", "attempt": 1}
                connection.execute(schema.statement("started"), which)
                connection.execute(schema.statement(end), which)
            flush(connection)
            page = settled(driver)
            assert [tracked.faults for tracked in driver.collection.parts if tracked.faults] == []
            assert finished(page, schema.QUEUE) == {"completed": 2, "dead_lettered": 1}
            assert page.one(names.RETRIED, queue=schema.QUEUE) == 2
            assert page.one(names.RUN, queue=schema.QUEUE, outcome=names.COMPLETED).observations == 2
            assert page.one(names.RUN, queue=schema.QUEUE, outcome=names.FAILED).observations == 1
            assert page.one(names.WAIT, queue=schema.QUEUE).observations == 3
            assert page.one(names.QUEUE_INFO, queue=schema.QUEUE, dead_letter_queue=schema.DEAD_LETTER_QUEUE) == 1
        finally:
            driver.close()
