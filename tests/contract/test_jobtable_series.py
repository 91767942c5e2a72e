"""Whose series a job table supplies: of the queue that it describes, or of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from exporter import names
from exporter.demo import schema
from exporter.sources import jobtable
from tests.exporter import Driver, configured, driving, settled
from tests.jobtables import create, described, finish, finished, runs
from tests.pgboss import PgBoss
from tests.servers import Database, PostgresServer, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


ROOT = Path(__file__).parents[2]


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


def test_a_queue_of_pg_boss_may_be_described(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    boss = pgboss("12", database18.dsn)
    for queue in ("mail", "other"):
        boss.create_queue(queue)
    with database18.connect() as connection:
        create(connection)
        tables = described(source="pgboss", queues=["mail"])
        with driving(database18.dsn, job_tables=tables) as driver:
            for queue in ("mail", "other"):
                boss.send(queue)
                [job] = boss.fetch(queue)
                boss.complete(queue, job.id)
            finish(connection, jobs=3)
            until = time.monotonic() + 15
            while not finished(page := settled(driver), "other") and time.monotonic() < until:
                pass
            assert finished(page, "mail") == {"completed": 3}
            assert finished(page, "other") == {"completed": 1}
            assert page.one(names.ENQUEUED, queue="mail", source="pgboss") == 1
            assert len(page.of(names.QUEUE_INFO, queue="mail", source="pgboss")) == 1


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
            assert sum(page.of(names.RETRIED, queue=schema.QUEUE).values()) == 2
            for outcome, jobs in ((names.COMPLETED, 2), (names.FAILED, 1)):
                timed = page.of(names.RUN, queue=schema.QUEUE, outcome=outcome).values()
                assert sum(run.observations for run in timed) == jobs
            waits = page.of(names.WAIT, queue=schema.QUEUE).values()
            assert sum(wait.observations for wait in waits) == 3
            assert page.one(names.QUEUE_INFO, queue=schema.QUEUE, dead_letter_queue=schema.DEAD_LETTER_QUEUE) == 1
        finally:
            driver.close()


def test_another_description_is_taken_at_once_and_counters_go_on(database: Database) -> None:
    with database.connect() as connection:
        create(connection)
        with driving(database.dsn, job_tables=described(source="none")) as driver:
            finish(connection, jobs=2)
            assert finished(settled(driver)) == {"completed": 2}
            broken = configured(database.dsn, job_tables=described(source="none", started="job.startd"))
            driver.collection.reconfigure(broken.databases[0])
            finish(connection, jobs=3)
            assert settled(driver).one(names.COLLECTION_SUCCESS, source="jobtable:tracking") == 0
            mended = configured(database.dsn, job_tables=described(source="none", outcome="'failed'"))
            driver.collection.reconfigure(mended.databases[0])
            assert finished(settled(driver)) == {"completed": 2, "failed": 3}
            driver.collection.reconfigure(configured(database.dsn).databases[0])
            assert driver.collect().of(names.FINISHED_JOBS) == {}


def test_a_queue_that_is_described_no_more_is_its_sources_again(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        create(connection)
        connection.execute("select pgmq.create('mail')")
        with driving(pgmq_database.dsn, job_tables=described()) as driver:
            for _ in range(2):
                connection.execute("select pgmq.send('mail', '{}')")
                connection.execute("select pgmq.archive('mail', max(msg_id)) from pgmq.read('mail', 60, 1)")
                flush(connection)
                now = pgmq_database.run("select extract(epoch from clock_timestamp())::float8")[0][0]
                page = settled(driver)
                until = time.monotonic() + 20
                while (driver.pgmq._finished.fence.settled or 0) < now:  # autovacuum, for one, holds it for longer
                    assert time.monotonic() < until, "it does not settle"
                    page = driver.collect()
                page = driver.collect()
                driver.collection.reconfigure(configured(pgmq_database.dsn).databases[0])
            assert page.one(names.RUN, outcome=names.ARCHIVED).observations == 1, "archived since then"


def test_queues_are_remembered_up_to_a_limit(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobtable, "MOST_QUEUES", 10)
    with database.connect() as connection:
        create(connection)
        with driving(database.dsn, job_tables=described(source="none")) as driver:
            connection.execute(
                "insert into public.jobs (queue, completed) select n, clock_timestamp() from generate_series(1, 30) n"
            )
            flush(connection)
            page = settled(driver)
            assert len(page.of(names.QUEUE_INFO)) == 10
            assert len(page.of(names.FINISHED_JOBS, outcome=names.COMPLETED)) == 10
            assert "more than 1,000 queues" in driver.collection.parts[-2].faults[0].detail


def test_times_of_a_clock_that_is_behind(database: Database) -> None:
    with database.connect() as connection:
        create(connection)
        with (
            driving(database.dsn, job_tables=described(source="none")) as hasty,
            driving(database.dsn, job_tables=described(source="none", lag="1s")) as patient,
        ):
            counts = []
            for _ in range(4):
                connection.execute(
                    "insert into public.jobs (queue, completed) values ('mail', clock_timestamp() - interval '0.9 s')"
                )
                flush(connection)
                time.sleep(0.4)
                counts.append([finished(driver.collect()).get("completed", 0) for driver in (hasty, patient)])
            time.sleep(1.2)
            assert finished(settled(hasty)).get("completed", 0) < 4
            assert finished(settled(patient)) == {"completed": 4}, counts


def test_a_standby_is_read_by_age(own_server: Callable[..., PostgresServer]) -> None:
    primary = own_server()
    replica = primary.standby()
    with primary.connect() as connection:
        create(connection)
        primary.wait_for_replay(replica)
        tables = described(source="none")
        with driving(replica.dsn(), job_tables=tables, settle_seconds="500ms", vacuum=False) as driver:
            finish(connection, jobs=5)
            primary.wait_for_replay(replica)
            assert runs(driver.collect()) == 0
            time.sleep(0.6)
            page = driver.collect()
            assert finished(page) == {"completed": 5}
            assert page.one(names.COLLECTION_SUCCESS, source="jobtable:tracking") == 1
