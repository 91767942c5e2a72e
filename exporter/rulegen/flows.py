"""What is judged of flows: drain time, percentiles, tenants against one another, dead letters, promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .. import names
from .bases import KEEP, WHY_BRIDGE, Base, increase, merged_rate
from .catalogue import Signal
from .promql import SOMEBODY, Matchers, binary, inside, number, selector
from .rules import Record
from .signals import SIGNAL

_UNFINISHED: Final = f'state!="{names.FAILED}"'
_READY: Final = f'state="{names.READY}"'


def drain(base: Base) -> list[Record]:
    """Backlog ÷ (throughput less arrivals); ``+Inf`` where that is not positive and the backlog does not shrink."""
    signal = SIGNAL["drain_time"]
    settings = base.settings(signal)
    name = "queue:pgqueue_drain_time"
    instance = "instance_queue:pgqueue_drain_time_backlog:sum"
    ready = f"sum without (tenant, state) ({base.metric(names.JOBS, _READY)})"
    finished = f"sum without (tenant, outcome) (rate({base.metric(names.FINISHED_JOBS)}[5m]))"
    waiting = binary(
        f"{name}_backlog:sum >= {number(max(settings.floor, 1))}",
        "and",
        f"{name}_backlog:sum >= 60 * {name}_enqueued:rate5m",
    )
    stuck = binary(
        f"({name}_waiting:sum >= {name}_backlog:sum offset 15m)",
        "and",
        f"{name}_net:rate5m <= 0",
    )
    return [
        Record(instance, base.work(ready)),
        Record(signal.anchor, base.bridge(instance, settings.bridge), why=WHY_BRIDGE),
        Record(f"{name}_finished:rate5m", merged_rate(base, finished, "5m")),
        Record(f"{name}_enqueued:rate5m", merged_rate(base, f"rate({base.metric(names.ENQUEUED)}[5m])", "5m")),
        Record(
            f"{name}_waiting:sum",
            waiting,
            why="Backlogs above the floor and above a minute of arrivals: less is no backlog.",
        ),
        Record(f"{name}_net:rate5m", f"{name}_finished:rate5m - {name}_enqueued:rate5m"),
        Record(
            signal.value,
            binary(
                f"{name}_waiting:sum / ({name}_net:rate5m > 0)",
                "or",
                inside("", stuck) + " * Inf",
            ),
        ),
    ]


def percentiles(base: Base, which: str) -> list[Record]:
    """The p95 of waits or runs above a floor of traffic."""
    signal = SIGNAL[f"{which}_p95"]
    metric, away = (names.RUN, "tenant, outcome") if which == "run" else (names.WAIT, "tenant")
    buckets = f"queue_le:pgqueue_{which}_buckets:rate5m"
    jobs = f"queue:pgqueue_{which}_jobs:rate5m"
    rate = f"sum without ({away}) (rate({base.metric(metric, suffix='_bucket')}[5m]))"
    return [
        Record(buckets, merged_rate(base, rate, "5m"), why="A maximum of cumulative buckets stays cumulative."),
        Record(
            jobs,
            f'max without (le) ({buckets}{{le="+Inf"}})',
            why="The traffic: what the floor is about, and what limits hang on, which must not carry `le`.",
        ),
        Record(
            signal.value,
            binary(
                f"histogram_quantile(0.95, {buckets})",
                "and",
                f"{jobs} * 300 >= {number(max(base.settings(signal).floor, 1))}",
            ),
        ),
    ]


def degraded(base: Base) -> list[Record]:
    """The p95 of an hour against that of the same hour yesterday."""
    signal = SIGNAL["run_degraded"]
    p95 = "queue:pgqueue_run_degraded_p95:rate1h"
    return [
        Record(
            "queue_le:pgqueue_run_buckets:rate1h",
            "avg_over_time(queue_le:pgqueue_run_buckets:rate5m[1h])",
            why="From what is recorded: a rate over an hour would read fifty times the samples.",
        ),
        Record(
            p95,
            binary(
                "histogram_quantile(0.95, queue_le:pgqueue_run_buckets:rate1h)",
                "and",
                f"avg_over_time({signal.anchor}[1h]) * 3600 >= {number(max(base.settings(signal).floor, 1))}",
            ),
        ),
        Record(signal.value, binary(f"({p95} > 1)", "/", f"({p95} offset 1d)")),
    ]


def tenants(base: Base, signal: Signal) -> list[Record]:
    """One tenant against the others of its queue, by exporter; then merged."""
    floor = number(base.settings(signal).floor)
    if signal.name == "tenant_share":
        held = f"sum without (state) ({base.metric(names.JOBS, _READY, SOMEBODY)})"
        whole = f"(sum without (tenant, state) ({base.metric(names.JOBS, _READY)}) >= {max(1, int(float(floor)))})"
        share = binary(held, "/ ignoring (tenant) group_left ()", whole)
        value, why = binary(inside("", share), "<", "1"), "Below 1 means that others wait too."
    else:
        ages = f"{base.metric(names.OLDEST_READY_AGE, SOMEBODY)}"
        median = binary(
            f"quantile without (tenant) (0.5, {ages} > 0)",
            "and",
            f"count without (tenant) ({ages} > 0) >= 3",
        )
        value = binary(f"({ages} > {floor})", "/ ignoring (tenant) group_left ()", inside("", median))
        why = "Against the median of the tenants with ready jobs, three or more."
    instance = signal.record("value", tenant=True, instance=True)
    merged = base.bridge(instance, base.settings(signal).bridge)
    return [Record(instance, base.work(value), why=why), Record(signal.value, merged, why=WHY_BRIDGE)]


def dead_letters(base: Base) -> list[Record]:
    """What dead letter queues hold; of queues without one, what failed in the last hour."""
    signal = SIGNAL["dead_letters"]
    held, failed = (
        "instance_queue:pgqueue_dead_letters_held:sum",
        "instance_queue:pgqueue_dead_letters_failed:increase1h",
    )
    jobs = f"sum without (tenant, state) ({base.metric(names.JOBS, _UNFINISHED)})"
    outcomes = f'outcome=~"{names.FAILED}|{names.DEAD_LETTERED}"'
    grown = f"sum without (tenant, outcome) ({increase(base, names.FINISHED_JOBS, '1h', outcomes)})"
    without = base.info(f'role="{names.WORK}"', 'dead_letter_queue=""', window="1h")
    bridged = base.bridge(held, base.settings(signal).bridge)
    return [
        Record(held, binary(jobs, KEEP, base.info(f'role="{names.DEAD_LETTER}"'))),
        Record(failed, binary(grown, KEEP, without), why="Of queues that have no dead letter queue."),
        Record(signal.value, binary(inside("", bridged), "or", f"max without (instance, pod) ({failed})")),
    ]


def promised(base: Base, matches: Sequence[Matchers]) -> list[Record]:
    """The ready age of queues with a promise: the whole queue, tenants with limits of their own included."""
    instance, merged = "instance_queue:pgqueue_slo_ready_age:max", "queue:pgqueue_slo_ready_age:max"
    one = next(iter(matches)) if len(matches) == 1 else {}
    age = selector(names.OLDEST_READY_AGE.name, base.job, matchers=one)
    return [
        Record(instance, base.work(f"max without (tenant) ({age})")),
        Record(merged, base.bridge(instance, 180), why=WHY_BRIDGE),
    ]
