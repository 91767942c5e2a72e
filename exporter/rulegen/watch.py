"""The watcher's own alerts: that it lives, reads, and is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .. import names
from .bases import Base
from .catalogue import EXPORTER_DOWN, SEVERITY, WARNING, WATCHES
from .promql import binary, duration, inside
from .render import info
from .routing import routed
from .rules import Alert, Group, Record
from .words import Links

_ABOUT: Final = "Queue {{ $labels.queue }} ({{ $labels.source }}, database {{ $labels.database }})"
_PART: Final = (
    "Database {{ $labels.database }}{{ if $labels.source }}, {{ $labels.source }}{{ end }}: part {{ $labels.part }}"
)
_MERGE: Final = "max without (instance, pod) "


def group(base: Base, links: Links) -> Group:
    """The group of the watcher's own alerts, and the series by which the loaded rules are known."""
    rules: list[Alert | Record] = []
    for watch in WATCHES:
        times = base.thresholds.watching(watch.alert)
        if times is None:
            continue
        for severity in watch.severities:
            if watch.alert == "PGQueueWatchdog":
                rules.append(info())
            expression, text, summary = _expression(base, watch.alert, severity, times.for_)
            rules.append(
                Alert(
                    watch.alert,
                    routed(base.thresholds, expression, watch.labels),
                    times.for_,
                    times.keep_firing_for,
                    {SEVERITY: severity},
                    {"summary": summary or watch.summary, "description": text, **links.of(watch.alert, watch.labels)},
                )
            )
    return Group("pgqueue.watch", tuple(rules))


def _expression(base: Base, alert: str, severity: str, for_: float) -> tuple[str, str, str]:
    """What fires an alert, its description, and its summary where that differs by severity."""
    if alert == EXPORTER_DOWN:
        return _down(base, severity)
    makers: dict[str, Callable[[Base, float], tuple[str, str]]] = {
        "PGQueueExporterAbsent": _absent,
        "PGQueueDatabaseDown": _database,
        "PGQueueDataStale": _stale,
        "PGQueueCollectionFailing": _failing,
        "PGQueueRowsHidden": _hidden,
        "PGQueueBudgetStretched": _stretched,
        "PGQueueSeriesLimit": _limited,
        "PGQueueConfigReloadFailing": _reload,
        "PGQueueRulesFailing": _rules,
        "PGQueueWatchdog": _watchdog,
    }
    return (*makers[alert](base, for_), "")


def _down(base: Base, severity: str) -> tuple[str, str, str]:
    up = f"up{{{base.job}}}"
    text = "Exporter {{ $labels.instance }} has not answered a scrape"
    if severity == WARNING:
        return f"{up} == 0", f"{text}.", ""
    none = f"{text}, and no other exporter of the job does: the queues are not watched."
    return binary(f"{up} == 0", "unless on (job)", f"{up} == 1"), none, "No exporter answers."


def _absent(base: Base, _for: float) -> tuple[str, str]:
    """``absent`` keeps the job that it asks for."""
    text = "Prometheus has no target with job={{ $labels.job }}: the queues are not watched."
    return f"absent(up{{{base.job}}})", text


def _database(base: Base, _for: float) -> tuple[str, str]:
    text = "Database {{ $labels.database }} cannot be read by any exporter."
    return binary(f"{_MERGE}({base.metric(names.UP)})", "==", "0"), text


def _stale(base: Base, for_: float) -> tuple[str, str]:
    """What one exporter knew outlives it by less than the alert waits: its death is told by another alert."""
    window = duration(max(30.0, min(180.0, for_ - 30)))

    def lately(metric: names.Metric) -> str:
        return f"{_MERGE}(last_over_time({base.metric(metric)}[{window}]))"

    part = binary(
        f"time() - {lately(names.COLLECTION_TIMESTAMP)}",
        ">",
        f"clamp_min(4 * {lately(names.COLLECTION_INTERVAL)}, 60)",
    )
    queue = f"time() - {lately(names.QUEUE_COLLECTION_TIMESTAMP)} > 300"
    text = (
        "Database {{ $labels.database }}{{ if $labels.source }}, {{ $labels.source }}{{ end }}, "
        "{{ if $labels.queue }}queue {{ $labels.queue }}{{ else }}part {{ $labels.part }}{{ end }}: "
        "the last successful collection was {{ $value | humanizeDuration }} ago."
    )
    return binary(inside("", part), "or", inside("", queue)), text


def _failing(base: Base, _for: float) -> tuple[str, str]:
    text = f"{_PART} fails at every exporter; `pgqueue_collection_errors_total` says why."
    return binary(f"{_MERGE}({base.metric(names.COLLECTION_SUCCESS)})", "==", "0"), text


def _hidden(base: Base, _for: float) -> tuple[str, str]:
    text = (
        f"{{{{ if $labels.queue }}}}{_ABOUT}: row-level security hides its rows, or its archive's, so what these would "
        "tell is not watched.{{ else }}Database {{ $labels.database }}, {{ $labels.source }}: row-level security hides "
        "rows of this job table or of what it is joined with: what became of jobs, or whose they were, is not known."
        "{{ end }}"
    )
    return binary(f"{_MERGE}({base.metric(names.ROWS_HIDDEN)})", ">", "0"), text


def _stretched(base: Base, _for: float) -> tuple[str, str]:
    """Far beyond the shortest interval of its database, or switched off since even a minute would be too often.

    No part but the full look is meant to be read less often than at every fourth interval. Its own is configured apart
    (``full_look_every``), so a long one may be what is wanted.
    """
    interval = base.metric(names.COLLECTION_INTERVAL)
    shortest = f"clamp_min(4 * min without (source, part) ({interval}), 60)"
    regular = base.metric(names.COLLECTION_INTERVAL, f'part!="{names.FULL_LOOK}"')
    longer = binary(regular, "> on (job, instance, database) group_left ()", shortest)
    errors = f"increase({base.metric(names.COLLECTION_ERRORS, _BUDGET)}[30m])"
    # Zero beside intervals, which are more: so the text knows which of the two it tells.
    off = f"0 * (max without (instance, pod, reason) ({errors}) > 0)"
    text = (
        f"{_PART} costs more than the budget allows{{{{ if gt $value 0.0 }}}}: it is read every "
        "{{ $value | humanizeDuration }}{{ else }}, even if read once a minute: it is off, and tried again every ten "
        "minutes{{ end }}."
    )
    return binary(inside(_MERGE, longer), "or", inside("", off)), text


_BUDGET: Final = 'reason="budget"'


def _limited(base: Base, _for: float) -> tuple[str, str]:
    limit = "printf `pgqueue_series_limit{instance=%q}` $labels.instance"
    text = (
        "Exporter {{ $labels.instance }} shows fewer tenants of database {{ $labels.database }} than configured, "
        f"because its page would pass its ceiling of {{{{ with {limit} | query }}}}"
        '{{ . | first | value | printf "%.0f" }} series{{ end }}; the others are in _other.'
    )
    return binary(base.metric(names.SERIES_LIMITED), ">", "0"), text


def _reload(base: Base, _for: float) -> tuple[str, str]:
    text = (
        "Exporter {{ $labels.instance }} runs on with a former configuration: its log names what is wrong with the "
        "present one, with which a restart would fail."
    )
    return binary(base.metric(names.CONFIG_RELOAD_SUCCESS), "==", "0"), text


def _rules(_base: Base, _for: float) -> tuple[str, str]:
    failures = 'increase(prometheus_rule_evaluation_failures_total{rule_group=~".*;pgqueue[.].*"}[10m])'
    text = "Rule group {{ $labels.rule_group }}: {{ $value | humanize }} evaluations failed in 10 minutes."
    return binary(f"sum without (instance, pod) ({failures})", ">", "0"), text


def _watchdog(_base: Base, _for: float) -> tuple[str, str]:
    return "vector(1)", "This alert always fires; its absence at the receiver means that alerting is broken."
