"""Series of an exporter's page in trouble, now and a day ago, as OpenMetrics text: what PromQL of the docs runs on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from exporter import names

STEP = 60
# How far back, now and a day ago: long enough for an hour's increase, and for rates of an hour ago.
BACK = 90 * 60
DAY = 86400

INSTANCES = ("exporter-1:9718", "exporter-2:9718")

# Series that others make, each with its labels beside `job` and `instance`, and whether it is a counter.
FOREIGN: dict[str, tuple[Mapping[str, str], bool]] = {
    "up": ({}, False),
    "scrape_duration_seconds": ({}, False),
    "ALERTS": ({"alertname": "PGQueueWatchdog", "alertstate": "firing", "severity": "none", "queue": "mail"}, False),
    "prometheus_rule_evaluation_failures_total": ({"rule_group": "pgqueue.backlog"}, True),
    "prometheus_rule_group_last_duration_seconds": ({"rule_group": "pgqueue.backlog"}, False),
    "prometheus_rule_group_interval_seconds": ({"rule_group": "pgqueue.backlog"}, False),
    "prometheus_notifications_dropped_total": ({"alertmanager": "am:9093"}, True),
    "prometheus_notifications_errors_total": ({"alertmanager": "am:9093"}, True),
}

# Values that trouble has, where any number will not do.
_VALUES = {names.UP.name: 0.0, names.ROWS_HIDDEN.name: 1.0, names.SERIES_LIMITED.name: 1.0, names.QUEUE_INFO.name: 1.0}
_VALUES[names.CONFIG_RELOAD_SUCCESS.name] = 0.0
_LABELS: dict[str, tuple[str, ...]] = {
    "database": ("main",),
    "source": ("pgmq", "pgboss"),
    "queue": ("mail", "mail_dlq"),
    "tenant": ("acme", "beta", "_other"),
    "state": ("ready", "in_flight", "alive"),
    "outcome": ("completed", "failed"),
    "role": ("work", "dead_letter"),
    "part": ("counts", "tenants"),
    "reason": ("timeout",),
    "holder": ("transaction",),
    "task": ("monitor",),
    "table": ("queue",),
}


def openmetrics(now: int) -> Iterator[str]:
    """The text's lines, up to the time given."""
    times = [at for end in (now - DAY, now) for at in range(end - BACK, end + 1, STEP)]
    for metric in names.CATALOGUE:
        family = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
        yield f"# TYPE {family} {metric.kind}"
        for number, values in enumerate(itertools.product(*(_LABELS.get(label, ("x",)) for label in metric.labels))):
            labels = dict(zip(metric.labels, values, strict=True))
            for instance in INSTANCES:
                yield from _series(metric, {"job": "pgqueue", "instance": instance, **labels}, number, times)
    for name, (own, counter) in FOREIGN.items():
        yield f"# TYPE {name.removesuffix('_total')} {'counter' if counter else 'gauge'}"
        written = _written({"job": "pgqueue", "instance": INSTANCES[0], **own})
        for at in times:
            yield f"{name}{written} {at - times[0] if counter else 1} {at}"
    yield "# EOF"


def _series(metric: names.Metric, labels: Mapping[str, str], number: int, times: list[int]) -> Iterator[str]:
    if metric.kind == "histogram":
        bounds = [*(float(bound) for bound in names.BUCKETS), float("inf")]
        for place, bound in enumerate(bounds):
            le = "+Inf" if bound == float("inf") else str(bound)
            written = _written({**labels, "le": le})
            for at in times:
                yield f"{metric.name}_bucket{written} {(at - times[0]) * (place + 1)} {at}"
        for suffix in ("_count", "_sum"):
            for at in times:
                yield f"{metric.name}{suffix}{_written(labels)} {(at - times[0]) * len(bounds)} {at}"
        return
    written = _written(labels)
    for at in times:
        value = _VALUES.get(metric.name, 100.0 + number)
        if metric.kind == "counter":
            value = (at - times[0]) * (1 + number)
        elif metric.name.endswith("_timestamp_seconds"):
            value = at - 300
        yield f"{metric.name}{written} {value} {at}"


def _written(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
