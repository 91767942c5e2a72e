"""A table that records jobs, as a product may have one, and its description in the configuration."""

from __future__ import annotations

from collections import Counter
from typing import Any

import psycopg
from psycopg import sql

from exporter import names
from exporter.model import Distribution
from tests.exporter import Collected
from tests.servers import flush

OUTCOME = """case when job.dead is not null then 'dead_lettered'
                  when job.cancelled is not null then 'cancelled'
                  when job.completed is not null then 'completed'
                  when job.attempt < job.max_attempts then 'retried'
                  else 'failed' end"""

DESCRIPTION: dict[str, Any] = {
    "name": "tracking",
    "table": "public.jobs",
    "queue": "job.queue",
    "enqueued": "job.enqueued",
    "started": "job.started",
    "finished": ["job.completed", "job.failed", "job.cancelled"],
    "outcome": OUTCOME,
    "attempt": "job.attempt",
}


def create(connection: psycopg.Connection[Any], type_: str = "timestamptz", *, indexes: bool = True) -> None:
    """The table ``public.jobs``; ``type_`` is that of its times (without a time zone: in UTC)."""
    connection.execute(
        sql.SQL(
            "create table public.jobs (id bigint generated always as identity primary key, queue text,"
            " attempt integer not null default 1, max_attempts integer not null default 3,"
            " enqueued {type}, started {type}, completed {type}, failed {type}, cancelled {type}, dead {type})"
        ).format(type=sql.SQL(type_))
    )
    if indexes:
        index(connection)


def create_runs(connection: psycopg.Connection[Any]) -> None:
    """A table `runs` that tells whose jobs 1 to 100 are, for a job table to be joined with."""
    connection.execute("create table public.runs (id bigint primary key, owner text)")
    # Autovacuum would run what an index calls, as the table's owner: that is Postgres's own business.
    connection.execute("alter table public.runs set (autovacuum_enabled = false)")
    connection.execute("insert into public.runs select n, 'acme' from generate_series(1, 100) n")


def index(connection: psycopg.Connection[Any]) -> None:
    """What it is read by; of a table with many rows, cheaper afterwards."""
    for column in ("completed", "failed", "cancelled", "enqueued"):
        connection.execute(sql.SQL("create index on public.jobs ({})").format(sql.Identifier(column)))


def described(**keys: Any) -> list[dict[str, Any]]:
    """The key ``job_tables``; what is None is left out."""
    return [{key: value for key, value in {**DESCRIPTION, **keys}.items() if value is not None}]


def finish(connection: psycopg.Connection[Any], queue: str = "mail", column: str = "completed", jobs: int = 1) -> None:
    """Jobs that finish now, after a second of waiting and two of running."""
    connection.execute(
        sql.SQL(
            "insert into public.jobs (queue, enqueued, started, {}) select %s, now() - interval '3 s',"
            " now() - interval '2 s', clock_timestamp() from generate_series(1, %s)"
        ).format(sql.Identifier(column)),
        [queue, jobs],
    )
    flush(connection)


def finished(page: Collected, queue: str = "mail") -> dict[str, int]:
    """Finished jobs by outcome, all tenants together, those of 0 left out."""
    found: Counter[str] = Counter()
    for labels, value in page.of(names.FINISHED_JOBS, queue=queue).items():
        found[labels[-1]] += value
    return {outcome: jobs for outcome, jobs in found.items() if jobs}


def runs(page: Collected, queue: str = "mail") -> int:
    """Observations of the run histograms of a queue, all outcomes together."""
    return sum(value.observations for value in page.of(names.RUN, queue=queue).values())


def histogram(connection: psycopg.Connection[Any], seconds: str, where: str) -> Distribution:
    """What plain SQL says: of the jobs that a condition holds for, an expression in seconds."""
    row = connection.execute(
        sql.SQL(
            "select array(select (select count(*) from public.jobs where {where} and {seconds} <= bound)"
            " from unnest({bounds}) bound order by bound), count({seconds}), coalesce(sum({seconds}), 0)::float8"
            " from public.jobs where {where}"
        ).format(
            where=sql.SQL(where),
            seconds=sql.SQL(f"greatest(extract(epoch from {seconds}), 0)"),
            bounds=sql.Literal([float(bound) for bound in names.BUCKETS]),
        )
    ).fetchone()
    assert row is not None
    return Distribution(tuple(row[0]), row[1], row[2])
