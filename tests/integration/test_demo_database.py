"""What the demo's database holds: its jobs' lives, and who may see what."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from exporter import config, names
from exporter.collector import check, sampling
from exporter.demo import schema
from tests.servers import Database, Server


@pytest.fixture
def filled(postgres18: Server) -> Iterator[Database]:
    """A database on a shared server with what the demo's database holds."""
    database = postgres18.create_database()
    with database.connect() as connection:
        schema.install(connection)
        schema.add_exporter_role(connection, "secret")
    yield database
    postgres18.drop_database(database.name)


@pytest.fixture
def watched(filled: Database, monkeypatch: pytest.MonkeyPatch) -> config.Database:
    """The database as the demo's exporter watches it."""
    monkeypatch.setenv(schema.DSN_VARIABLE, filled.dsn_as(schema.EXPORTER_ROLE, "secret"))
    return config.load(schema.CONFIG).databases[0]


def test_a_job_is_retried_by_archive_and_resend_until_it_is_given_up(filled: Database) -> None:
    run = {name: schema.statement(name) for name in ("enqueue", "take", "started", "retry", "give_up", "completed")}
    which: dict[str, Any] = {"queue": schema.QUEUE}
    with filled.connect() as connection:
        connection.execute("set role service_role")
        connection.execute(run["enqueue"], {**which, "tenant": "acme", "workflow": uuid.uuid4(), "delay": 0})
        for attempt in (1, 2, 3):
            connection.execute("select pgmq.set_vt(%s, max(msg_id), 0) from pgmq.q_workflow_jobs", [schema.QUEUE])
            job = connection.execute(run["take"], which).fetchone()
            assert job is not None
            msg_id, message = job
            assert (msg_id, message["attempt"], message["max_attempts"]) == (attempt, attempt, 3)
            connection.execute(run["started"], {**which, "msg_id": msg_id})
            failed = {"msg_id": msg_id, "message": json.dumps(message), "attempt": attempt, "error": "refused"}
            connection.execute(run["retry" if attempt < 3 else "give_up"], {**which, **failed})
        connection.execute(run["enqueue"], {**which, "tenant": "acme", "workflow": uuid.uuid4(), "delay": 0})
        assert connection.execute(run["take"], which).fetchone() is not None
        connection.execute(run["started"], {**which, "msg_id": 4})
        connection.execute(run["completed"], {**which, "msg_id": 4})
        connection.execute(run["enqueue"], {**which, "tenant": "acme", "workflow": uuid.uuid4(), "delay": 60})
        assert connection.execute(run["take"], which).fetchone() is None
        view, clear, forget = map(schema.statement, ("view_dead_letters", "clear_dead_letters", "forget"))
        which["queue"] = schema.DEAD_LETTER_QUEUE
        assert [connection.execute(view, which).fetchall() for _ in (1, 2)] == [[(1, 1)], [(1, 2)]]
        assert connection.execute(clear, which).fetchall() == []
        connection.execute(forget)
    assert filled.run("select array_agg(msg_id order by msg_id) from pgmq.a_workflow_jobs") == [([1, 2, 3],)]
    (dead,) = filled.run("select message from pgmq.q_workflow_jobs_dlq")
    assert (dead[0]["attempt"], dead[0]["error"]) == (3, "refused")
    assert [job[0] for job in filled.run("select msg_id from pgmq.q_workflow_jobs")] == [5]
    tracked = filled.run(
        "select msg_id, attempt, started_at is not null, completed_at is not null, failed_at is not null,"
        " moved_to_dlq_at is not null, error_message from public.job_tracking order by msg_id"
    )
    assert tracked == [
        (1, 1, True, False, True, False, "refused"),
        (2, 2, True, False, True, False, "refused"),
        (3, 3, True, False, True, True, "refused"),
        (4, 1, True, True, False, False, None),
        (5, 1, False, False, False, False, None),
    ]
    assert filled.run("select status from public.workflow_runs order by created_at") == [
        ("failed",),
        ("succeeded",),
        ("queued",),
    ]


def test_tenants_see_their_own_and_the_exporter_counts_all(filled: Database, watched: config.Database) -> None:
    run = {"queue": schema.QUEUE, "workflow": uuid.uuid4(), "delay": 0}
    (owner,) = filled.run("select owner from public.projects where name = 'acme'")
    with filled.connect() as connection:
        for tenant in ("acme", "acme", "globex"):
            connection.execute(schema.statement("enqueue"), {**run, "tenant": tenant})
        connection.execute("set role authenticated")
        count = "select (select count(*) from public.projects), (select count(*) from public.workflow_runs)"
        assert connection.execute(count).fetchone() == (0, 0)
        claims = json.dumps({"sub": str(owner[0])})
        connection.execute("select set_config('request.jwt.claims', %s, false)", [claims])
        assert connection.execute(count).fetchone() == (1, 2)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select 1 from pgmq.q_workflow_jobs")
        connection.execute("set role anon")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select 1 from public.workflow_runs")
    with psycopg.connect(filled.dsn_as(schema.EXPORTER_ROLE, "secret"), autocommit=True) as connection:
        connection.execute("set row_security = off")
        for forbidden in ("pgmq.q_workflow_jobs", "public.workflow_runs", "public.job_tracking", "public.queue_config"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select 1 from {forbidden}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select pgmq.pop('workflow_jobs')")
    found, faults = sampling.collect(watched)
    ready = sorted(
        float(sample.value)
        for sample in found
        if isinstance(sample.value, float | int)
        and sample.metric is names.JOBS
        and schema.QUEUE in sample.labels
        and names.READY in sample.labels
    )
    assert (ready, faults) == ([0, 1, 2], [])


def test_nothing_is_missing_for_the_exporter(watched: config.Database) -> None:
    report = check.examine(watched)
    assert {finding.level for finding in report.findings} == {"note"}
    assert all("read through pgqueue_exporter" in finding.message for finding in report.findings)
    assert {*report.queues} == {schema.QUEUE, schema.DEAD_LETTER_QUEUE}
