"""What is judged: recorded per exporter and instant, work queues kept, tenants merged; only then replicas merged.

Counters and histograms: the rate first, per exporter; a rate outlives its exporter, so work queues are kept by what was
known over the same window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .. import names
from .catalogue import SEVERITY, Signal
from .globs import is_glob, matches
from .promql import SOMEBODY, binary, duration, inside, number, quoted, selector
from .rules import Record
from .signals import SIGNAL
from .thresholds import NOBODY, Settings, Thresholds

_QUEUES: Final = "(job, instance, database, source, queue)"
KEEP: Final = f"and on {_QUEUES}"
#: Without instance: a limit known through one exporter counts for all.
APART: Final = "unless on (job, database, source, queue, tenant)"
_REPLICAS: Final = "max without (instance, pod) "

WHY_NAMED: Final = "Tenants that limits name, and no others; dead letter queues are left out here and nowhere later."
WHY_BRIDGE: Final = "What a living exporter shows now; only if none does, what one showed last."
WHY_OWN_START: Final = "Counts from each exporter's start: the longest of what they have shown lately."
WHY_QUEUE: Final = "What is judged for the queue, once a severity: which tenants are judged apart differs by severity."


@dataclass(frozen=True, slots=True)
class Base:
    """What makes the base records of one file of thresholds."""

    thresholds: Thresholds

    @property
    def job(self) -> str:
        """The matcher that every selector of the exporter's series carries."""
        return f"job={quoted(self.thresholds.job)}"

    def settings(self, signal: Signal) -> Settings:
        """What holds for the signal."""
        return self.thresholds.signals[signal.name]

    def metric(self, metric: names.Metric, *plain: str, suffix: str = "") -> str:
        """A selector of the exporter's series."""
        return selector(metric.name + suffix, self.job, *plain)

    def info(self, *plain: str, window: str = "") -> str:
        """Queues with a role, now or over a window."""
        found = self.metric(names.QUEUE_INFO, *plain)
        return f"last_over_time({found}[{window}])" if window else found

    def work(self, expression: str, window: str = "") -> str:
        """Of an expression by exporter and queue, the work queues."""
        return binary(expression, KEEP, self.info(f'role="{names.WORK}"', window=window))

    def bridge(self, record: str, window: float, *, own_start: bool = False) -> str:
        """Replicas merged, and the gaps of missed scrapes closed for so many seconds."""
        now = f"{_REPLICAS}({record})"
        if not window:
            return now
        then = f"{_REPLICAS}(last_over_time({record}[{duration(window)}]))"
        return then if own_start else binary(now, "or", then)

    def gauge(self, signal: Signal, expression: str) -> list[Record]:
        """The two records of a signal without tenants, from its value by exporter."""
        instance = signal.record("value", instance=True)
        merged = self.bridge(instance, self.settings(signal).bridge, own_start=signal.own_start)
        return [
            Record(instance, expression),
            Record(signal.record("value"), merged, why=WHY_OWN_START if signal.own_start else WHY_BRIDGE),
        ]

    def named(self, signal: Signal) -> str | None:
        """The matcher of the tenants that limits of a signal name; None when none does."""
        globs = list(
            dict.fromkeys(
                override.match[names.TENANT]
                for override in self.thresholds.overrides
                if names.TENANT in override.match and any(name == signal.name for name, _ in override.limits)
            )
        )
        if not globs:
            return None
        if "*" in globs:
            return SOMEBODY
        found = selector("", matchers={names.TENANT: sorted(globs)})[1:-1]
        loose = any(is_glob(glob) and any(matches(glob, one) for one in (*NOBODY, "")) for glob in globs)
        return f"{found},{SOMEBODY}" if loose else found


def simple(base: Base, signal: Signal) -> list[Record]:
    """The records of a signal that is one gauge, or a time since one."""
    match signal.name:
        case "maintenance_age":
            return base.gauge(signal, f"time() - {base.metric(names.SOURCE_MAINTENANCE)}")
        case "workers_gone":
            return base.gauge(signal, base.metric(names.WORKERS_GONE))
        case "vacuum_horizon_age":
            return base.gauge(signal, base.metric(names.VACUUM_HORIZON_AGE))
        case "dead_rows_ratio":
            return _dead_rows(base, signal)
        case _:
            return base.gauge(signal, base.work(base.metric(_GAUGES[signal.name])))


_GAUGES: Final = {
    "job_age": names.OLDEST_JOB_AGE,
    "in_flight_age": names.OLDEST_IN_FLIGHT_AGE,
    "stalled": names.STALLED,
    "redelivered": names.REDELIVERED,
    "schedule_overdue": names.SCHEDULE_OVERDUE,
    "unready_head": names.UNREADY_HEAD,
}


def _dead_rows(base: Base, signal: Signal) -> list[Record]:
    """Work queues' tables, and those that several queues share, which carry no queue."""
    instance = "instance_queue_table:pgqueue_dead_rows_ratio_dead:sum"
    dead, shared = base.metric(names.TABLE_DEAD_ROWS), base.metric(names.TABLE_DEAD_ROWS, 'queue=""')
    floor = number(base.settings(signal).floor)
    ratio = binary(f"({instance} >= {floor})", "/", f"clamp_min({base.metric(names.TABLE_LIVE_ROWS)}, 1)")
    return [
        Record(instance, binary(base.work(dead), "or", shared), why="A table that several queues share has no queue."),
        Record(signal.anchor, base.bridge(instance, base.settings(signal).bridge), why=WHY_BRIDGE),
        *base.gauge(signal, ratio),
    ]


def tenants_apart(base: Base, signal: Signal) -> list[Record]:
    """Values of named tenants: of a gauge, by exporter, then merged."""
    named = base.named(signal)
    if named is None:
        return []
    if signal.name == "failure_ratio":
        return _failures(base, named)
    raw = base.metric(names.OLDEST_READY_AGE, named)
    if signal.name == "backlog":
        raw = f"sum without (state) ({base.metric(names.JOBS, _READY, named)})"
    instance = signal.record("value", tenant=True, instance=True)
    merged = base.bridge(instance, base.settings(signal).bridge)
    return [
        Record(instance, base.work(raw), why=WHY_NAMED),
        Record(signal.record("value", tenant=True), merged, why=WHY_BRIDGE),
    ]


_READY: Final = f'state="{names.READY}"'


def of_queue(base: Base, signal: Signal, apart: frozenset[str]) -> list[Record]:
    """The values judged for queues. ``apart``: severities for which some tenants have limits of their own."""
    if signal.name == "failure_ratio":
        return _failures_of_queue(base, apart)
    instance = signal.record("value", instance=True)
    raw, merge = base.metric(names.OLDEST_READY_AGE), "max without (tenant) "
    if signal.name == "backlog":
        raw, merge = base.metric(names.JOBS, _READY), "sum without (tenant, state) "
    records = []
    for place, severity in enumerate(base.settings(signal).limits):
        left = binary(raw, APART, _limits(signal, severity)) if severity in apart else raw
        merged = inside(merge, left)
        why = "" if place else WHY_QUEUE
        records.append(Record(instance, base.work(merged), {SEVERITY: severity}, why=why))
    merged = base.bridge(instance, base.settings(signal).bridge)
    return [*records, Record(signal.record("value"), merged, why=WHY_BRIDGE)]


def _limits(signal: Signal, severity: str) -> str:
    return f'{signal.record("threshold", tenant=True)}{{{SEVERITY}="{severity}"}}'


_FAILED: Final = f'outcome=~"{names.FAILED}|{names.DEAD_LETTERED}"'


def merged_rate(base: Base, expression: str, window: str) -> str:
    """Of a rate by exporter: the work queues, replicas merged."""
    return inside(_REPLICAS, base.work(expression, window))


def increase(base: Base, metric: names.Metric, window: str, *plain: str) -> str:
    """How much a counter has grown, by exporter."""
    return f"increase({base.metric(metric, *plain)}[{window}])"


def _failures(base: Base, named: str) -> list[Record]:
    signal = SIGNAL["failure_ratio"]
    records: list[Record] = []
    for operation, plain in (("finished", (named,)), ("failed", (named, _FAILED))):
        grown = f"sum without (outcome) ({increase(base, names.FINISHED_JOBS, '15m', *plain)})"
        name = f"queue_tenant:pgqueue_failure_ratio_{operation}:increase15m"
        records.append(Record(name, merged_rate(base, grown, "15m"), why="" if records else WHY_NAMED))
    return [*records, Record(signal.record("value", tenant=True), _ratio(base, signal, "queue_tenant"))]


def _failures_of_queue(base: Base, apart: frozenset[str]) -> list[Record]:
    signal = SIGNAL["failure_ratio"]
    records: list[Record] = []
    for severity in base.settings(signal).limits:
        for operation, plain in (("finished", ()), ("failed", (_FAILED,))):
            grown = increase(base, names.FINISHED_JOBS, "15m", *plain)
            if severity in apart:
                grown = binary(grown, APART, _limits(signal, severity))
            grown = inside("sum without (tenant, outcome) ", grown)
            name = f"queue:pgqueue_failure_ratio_{operation}:increase15m"
            why = "" if records else WHY_QUEUE
            records.append(Record(name, merged_rate(base, grown, "15m"), {SEVERITY: severity}, why=why))
    return [*records, Record(signal.record("value"), _ratio(base, signal, "queue"))]


def _ratio(base: Base, signal: Signal, level: str, part: str = "failed") -> str:
    name = f"{level}:pgqueue_{signal.name}"
    floor = number(max(base.settings(signal).floor, 1))
    return binary(f"{name}_{part}:increase15m", "/", f"({name}_finished:increase15m >= {floor})")


def retries(base: Base, signal: Signal) -> list[Record]:
    """Attempts repeated and jobs finished in 15 minutes."""
    records = []
    for part, metric, away in (
        ("finished", names.FINISHED_JOBS, "tenant, outcome"),
        ("retried", names.RETRIED, "tenant"),
    ):
        grown = f"sum without ({away}) ({increase(base, metric, '15m')})"
        name = f"queue:pgqueue_retry_ratio_{part}:increase15m"
        records.append(Record(name, merged_rate(base, grown, "15m")))
    return [*records, Record(signal.value, _ratio(base, signal, "queue", "retried"))]
