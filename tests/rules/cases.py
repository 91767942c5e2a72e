"""For every signal: series at its limit, series above it, and what the alert must then say, written by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.config.values import duration
from exporter.rulegen.signals import SIGNAL

Series = tuple[str, dict[str, str], str]

QUEUE = {"database": "main", "source": "pgmq", "queue": "mail"}
LONG = 400
#: Minutes until a gauge passes its limit; before that it is at it.
ON = 5


@dataclass(frozen=True)
class Case:
    """One signal. Minutes: from ``onset`` to ``end`` the value is above; ``slack`` more until all forget it."""

    signal: str
    limit: str
    at_limit: Sequence[Series]
    above: Sequence[Series]
    text: str
    labels: dict[str, str] = field(default_factory=lambda: QUEUE)
    onset: int = ON
    end: int = 0
    slack: int = 0
    step: int = 1

    @property
    def for_(self) -> int:
        """Minutes for which it must stay above."""
        return round(duration(SIGNAL[self.signal].for_) / 60)


def info(role: str = "work", **labels: str) -> Series:
    own = {"dead_letter_queue": "mail_dlq", "dead_letter_for": ""} if role == "work" else {"dead_letter_for": "mail"}
    return ("pgqueue_queue_info", {**QUEUE, "role": role, **own, **labels}, f"1x{LONG}")


def gauge(signal: str, metric: str, low: float, high: float, limit: str, text: str, **more: Any) -> Case:
    """A value that stands at the limit, passes it for long enough, and comes back."""
    labels = {key: value for key, value in {**QUEUE, **more.get("labels", {})}.items() if value}
    own = {**labels, **more.get("own", {})}
    for_ = round(duration(SIGNAL[signal].for_) / 60)
    until = for_ + 5
    others = more.get("others", [info()])
    at_limit = [(metric, own, f"{low:g}x{LONG}"), *others]
    above = [(metric, own, f"{low:g}x{ON - 1} {high:g}x{until} {low:g}x{LONG}"), *others]
    return Case(signal, limit, at_limit, above, text, labels, ON, ON + until)


def counters(*counted: tuple[str, dict[str, str], int], until: int = 60) -> list[Series]:
    """Counters that grow by so many a minute, and stand still from ``until`` on."""
    return [
        (metric, labels, f"100000+{step}x{until} {100000 + step * until}x{LONG}") for metric, labels, step in counted
    ]


def finished(outcome: str) -> dict[str, str]:
    return {**QUEUE, "outcome": outcome}


_FINISHED = "pgqueue_jobs_finished_total"
_READY = {"state": "ready"}
_MAIL = "Queue mail (pgmq, database main)"


def _percentile(signal: str, metric: str, text: str) -> Case:
    def buckets(*counts: int) -> list[Series]:
        bounds = ("60.0", "300.0", "+Inf")
        return [
            *counters(*((metric, {**QUEUE, "le": le}, count) for le, count in zip(bounds, counts, strict=True))),
            info(),
        ]

    # 60 s + 240 s * (0.95 - 0.9) / (1 - 0.9) = 180 s; 60 s + 240 s * 0.95 = 288 s.
    return Case(signal, "200s", buckets(900, 1000, 1000), buckets(0, 1000, 1000), text, onset=1, end=60, slack=8)


def _rates(signal: str, limit: str, at_limit: Sequence[Any], above: Sequence[Any], text: str) -> Case:
    return Case(
        signal, limit, [*counters(*at_limit), info()], [*counters(*above), info()], text, onset=1, end=60, slack=20
    )


def _degraded() -> Case:
    metric = "pgqueue_job_run_seconds_bucket"
    day, rest = 1440, 300

    def buckets(of_ten: int, all_: int) -> list[Series]:
        """A day whose p95 is 9.75 s; then, of 100 a minute, so many run for up to 10 s, the rest for up to 30."""
        return [
            (metric, {**QUEUE, "le": "5.0"}, f"0x{day + rest}"),
            (metric, {**QUEUE, "le": "10.0"}, f"0+100x{day} {100 * day}+{of_ten}x{rest}"),
            *((metric, {**QUEUE, "le": le}, f"0+{all_}x{day + rest}") for le in ("30.0", "+Inf")),
            ("pgqueue_queue_info", {**QUEUE, "role": "work"}, f"1x{day + rest}"),
        ]

    text = f"{_MAIL}: the p95 of the run time is 2.8 times that of the same hour yesterday; the limit is 2.0."
    return Case("run_degraded", "2", buckets(94, 100), buckets(0, 100), text, onset=day + 10, end=day + 300, step=5)


def _maintenance() -> Case:
    metric, labels = "pgqueue_source_maintenance_timestamp_seconds", {"database": "main", "source": "pgboss"}
    labels = {**labels, "task": "monitor"}
    until = ON + 10
    above = f"-300+60x{ON - 1} {60 * ON - 301}+60x{until - ON} {60 * until - 240}+60x{LONG}"
    text = "Source pgboss (database main): the task monitor last ran 5m 1s ago; the limit is 5m 0s."
    return Case(
        "maintenance_age",
        "5m",
        [(metric, labels, f"-300+60x{LONG}")],
        [(metric, labels, above)],
        text,
        labels,
        ON,
        until,
    )


def _share() -> Case:
    return gauge(
        "tenant_share",
        "pgqueue_jobs",
        80,
        90,
        "80%",
        f"{_MAIL}, tenant a: it holds 81.82% of the ready jobs; the limit is 80%.",
        labels={"tenant": "a"},
        own=_READY,
        others=[("pgqueue_jobs", {**QUEUE, **_READY, "tenant": "b"}, f"20x{LONG}"), info()],
    )


AGE = "pgqueue_oldest_ready_age_seconds"

CASES = (
    gauge("ready_age", AGE, 300, 301, "5m", f"{_MAIL}: the oldest ready job has waited for 5m 1s; the limit is 5m 0s."),
    gauge(
        "job_age",
        "pgqueue_oldest_job_age_seconds",
        300,
        301,
        "5m",
        f"{_MAIL}: the oldest unfinished job was enqueued 5m 1s ago; the limit is 5m 0s.",
    ),
    gauge(
        "in_flight_age",
        "pgqueue_oldest_in_flight_age_seconds",
        3600,
        3601,
        "1h",
        f"{_MAIL}: the longest lease has been held for 1h 0m 1s; the limit is 1h 0m 0s.",
    ),
    gauge(
        "backlog",
        "pgqueue_jobs",
        1000,
        1001,
        "1000",
        f"{_MAIL}: 1001 jobs are ready; the limit is 1000.",
        own=_READY,
    ),
    gauge(
        "drain_time",
        "pgqueue_jobs",
        3500,
        3700,
        "1h",
        f"{_MAIL}: 3700 jobs are ready and draining them takes 1h 1m 40s; the limit is 1h 0m 0s.",
        own=_READY,
        others=[
            *counters((_FINISHED, finished("completed"), 120), ("pgqueue_jobs_enqueued_total", QUEUE, 60), until=LONG),
            info(),
        ],
    ),
    gauge(
        "stalled",
        "pgqueue_stalled_seconds",
        600,
        601,
        "10m",
        f"{_MAIL}: jobs have been ready for 10m 1s while none was dequeued or finished; the limit is 10m 0s.",
    ),
    _percentile(
        "wait_p95",
        "pgqueue_job_wait_seconds_bucket",
        f"{_MAIL}: 95 % of the jobs waited for up to 4m 48s; the limit is 3m 20s.",
    ),
    _percentile(
        "run_p95",
        "pgqueue_job_run_seconds_bucket",
        f"{_MAIL}: 95 % of the jobs ran for up to 4m 48s; the limit is 3m 20s.",
    ),
    _degraded(),
    _rates(
        "failure_ratio",
        "10%",
        [(_FINISHED, finished("completed"), 92), (_FINISHED, finished("failed"), 8)],
        [(_FINISHED, finished("completed"), 85), (_FINISHED, finished("failed"), 15)],
        f"{_MAIL}: 15% of the jobs finished in 15 minutes failed; the limit is 10%.",
    ),
    _rates(
        "retry_ratio",
        "50%",
        [(_FINISHED, finished("completed"), 100), ("pgqueue_jobs_retried_total", QUEUE, 40)],
        [(_FINISHED, finished("completed"), 100), ("pgqueue_jobs_retried_total", QUEUE, 70)],
        f"{_MAIL}: the attempts repeated in 15 minutes are 70% of the jobs finished; the limit is 50%.",
    ),
    gauge(
        "dead_letters",
        "pgqueue_jobs",
        3,
        4,
        "3",
        "Queue mail_dlq (pgmq, database main), the dead letter queue of mail, holds 4 jobs; the limit is 3.",
        labels={"queue": "mail_dlq"},
        own={"state": "in_flight"},
        others=[info(), info("dead_letter", queue="mail_dlq")],
    ),
    gauge(
        "redelivered",
        "pgqueue_redelivered_jobs",
        3,
        4,
        "3",
        f"{_MAIL}: 4 jobs were read more often than the poison limit; the limit is 3.",
    ),
    _share(),
    gauge(
        "tenant_wait_ratio",
        AGE,
        1000,
        1100,
        "10",
        f"{_MAIL}, tenant a: its oldest ready job has waited 11.0 times as long as the median tenant's; "
        "the limit is 10.0.",
        labels={"tenant": "a"},
        others=[*((AGE, {**QUEUE, "tenant": tenant}, f"100x{LONG}") for tenant in ("b", "c")), info()],
    ),
    gauge(
        "schedule_overdue",
        "pgqueue_schedule_overdue_seconds",
        300,
        301,
        "5m",
        f"{_MAIL}: the schedule nightly is 5m 1s late; the limit is 5m 0s.",
        labels={"schedule": "nightly"},
    ),
    _maintenance(),
    gauge(
        "workers_gone",
        "pgqueue_workers_gone_seconds",
        120,
        121,
        "2m",
        "Source pgboss (database main): for 2m 1s jobs have been ready or in flight and no worker process alive; "
        "the limit is 2m 0s.",
        labels={"source": "pgboss", "queue": ""},
        others=[],
    ),
    gauge(
        "vacuum_horizon_age",
        "pgqueue_vacuum_horizon_age_seconds",
        900,
        901,
        "15m",
        "Database main: the oldest replication slot has kept dead rows from being removed for 15m 1s; "
        "the limit is 15m 0s.",
        labels={"source": "", "queue": "", "holder": "replication_slot"},
        others=[],
    ),
    gauge(
        "dead_rows_ratio",
        "pgqueue_table_dead_rows",
        100000,
        150000,
        "100%",
        f"{_MAIL}: its queue table has 150% as many dead rows as live ones; the limit is 100%.",
        labels={"table": "queue"},
        others=[("pgqueue_table_live_rows", {**QUEUE, "table": "queue"}, f"100000x{LONG}"), info()],
    ),
    gauge(
        "unready_head",
        "pgqueue_unready_head_jobs",
        5000,
        5001,
        "5000",
        f"{_MAIL}: 5001 jobs that are not ready stand before the first ready one; the limit is 5000.",
    ),
)
