"""What each source promises of a queue. Every other series of the catalogue must be absent: unknown is no zero."""

from __future__ import annotations

from typing import Literal, NamedTuple

from exporter import names
from exporter.names import Metric

Kind = Literal[
    "pgmq 1.13", "pgmq 1.5", "pgmq 1.4", "pg-boss 10", "pg-boss 11", "pg-boss 12mid", "pg-boss 12",
    "job table", "pgmq with a job table",
]  # fmt: skip


class Knows(NamedTuple):
    """The values of `state` and `outcome` that the source has, and its metrics with no label but the queue's."""

    states: tuple[str, ...]
    outcomes: tuple[str, ...]
    runs: tuple[str, ...]
    wait: bool
    retried: bool
    metrics: frozenset[Metric]
    #: Values of `table`, for queues that have tables of their own.
    tables: tuple[str, ...]
    #: Whether a queue of no jobs is there, and goes when it is dropped.
    drops: bool


_BASE = frozenset(
    {
        names.ROWS_HIDDEN,
        names.JOBS_ESTIMATED,
        names.OLDEST_JOB_AGE,
        names.STALLED,
        names.ENQUEUED,
        names.QUEUE_COLLECTION_TIMESTAMP,
    }
)
_PGMQ_METRICS = _BASE | {names.DEQUEUED, names.UNREADY_HEAD, names.REDELIVERED}
_WAITING = (names.READY, names.SCHEDULED, names.IN_FLIGHT)
_PGMQ = Knows(
    states=_WAITING,
    outcomes=(names.COMPLETED, names.ARCHIVED),
    runs=(names.ARCHIVED,),
    wait=True,
    retried=False,
    metrics=_PGMQ_METRICS | {names.OLDEST_IN_FLIGHT_AGE},
    tables=(names.QUEUE_TABLE, names.ARCHIVE_TABLE),
    drops=True,
)
#: Without `last_read_at` nobody knows since when a lease is held, nor how long a job ran.
_PGMQ_UNTIMED = _PGMQ._replace(runs=(), wait=False, metrics=_PGMQ_METRICS)
_PGBOSS = Knows(
    states=(*_WAITING, names.FAILED),
    outcomes=(names.COMPLETED, names.FAILED, names.DEAD_LETTERED, names.CANCELLED),
    runs=(names.COMPLETED, names.FAILED),
    wait=True,
    retried=True,
    metrics=_BASE | {names.OLDEST_IN_FLIGHT_AGE, names.JOBS_EXPIRED, names.RETRY_LIMIT},
    tables=(),
    drops=True,
)
_PGBOSS_12 = _PGBOSS._replace(states=(*_PGBOSS.states, names.BLOCKED))
#: It has no states and no ages: they would be counts of a whole table.
_JOB_TABLE = Knows(
    states=(),
    outcomes=(names.COMPLETED, names.FAILED, names.DEAD_LETTERED, names.CANCELLED),
    runs=(names.COMPLETED, names.FAILED),
    wait=True,
    retried=True,
    metrics=frozenset({names.ENQUEUED}),
    tables=(),
    drops=False,
)

KNOWS: dict[Kind, Knows] = {
    "pgmq 1.13": _PGMQ,
    "pgmq 1.5": _PGMQ_UNTIMED,
    "pgmq 1.4": _PGMQ_UNTIMED,
    "pg-boss 10": _PGBOSS._replace(tables=(names.QUEUE_TABLE,)),  # a table a queue
    "pg-boss 11": _PGBOSS,
    "pg-boss 12mid": _PGBOSS_12,
    "pg-boss 12": _PGBOSS_12,
    "job table": _JOB_TABLE,
    "pgmq with a job table": _PGMQ._replace(
        outcomes=_JOB_TABLE.outcomes, runs=_JOB_TABLE.runs, wait=_JOB_TABLE.wait, retried=_JOB_TABLE.retried
    ),
}

#: Series that may be there or not, and whose values nobody computes by SQL: the statistics' own business.
STATISTICS = (names.TABLE_DEAD_ROWS, names.TABLE_LIVE_ROWS, names.TABLE_BYTES)
#: Absent when never vacuumed.
PERHAPS = (names.TABLE_LAST_VACUUM,)
