"""Which limits apply and where they stand; what another file of thresholds changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ..config.values import written
from ..names import TENANT
from .catalogue import SEVERITIES, SLO_ALERT, WATCHES, Signal
from .comparing import compared
from .contradictions import say
from .globs import matches
from .known import shown
from .signals import SIGNAL, SIGNALS
from .thresholds import Limit, Override, Slo, Thresholds


def explained(thresholds: Thresholds, labels: Mapping[str, str]) -> Iterator[str]:
    """For each signal that may be about these labels, the limits in force and the place each comes from."""
    rows = []
    for signal in SIGNALS:
        given = {label: text for label, text in labels.items() if label in signal.match}
        for severity in SEVERITIES:
            for override, value, more in _before(thresholds, signal, severity, given):
                place = f"{override.path} (line {override.line}), where {shown(more)}"
                rows.append((signal.name, severity, say(signal, value), place))
            limit = thresholds.limit(signal.name, severity, given)
            rows.append((signal.name, severity, say(signal, limit.value), _place(limit, labels, signal.tenants)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])
    for slo in thresholds.slos:
        if all(label in labels and matches(glob, labels[label]) for label, glob in slo.match.items()):
            yield f"{SLO_ALERT}  {slo.name}: {_promise(slo)}"


def _before(
    thresholds: Thresholds, signal: Signal, severity: str, given: Mapping[str, str]
) -> Iterator[tuple[Override, float, Mapping[str, str]]]:
    """Overrides that come before the limit in force, for some of a queue's tasks, tables, schedules and the like.

    With each the rest of its match: labels that are not given. A queue's value is judged without its tenants'.
    """
    more = [label for label in signal.match if label not in given and (label != TENANT or signal.tenants == "each")]
    for override, value in thresholds.stating(signal.name, severity):
        if override.concerns(given):
            return
        rest = {label: glob for label, glob in override.match.items() if label in more}
        here = {label: glob for label, glob in override.match.items() if label not in rest}
        if rest and replace(override, match=here).concerns(given):
            yield override, value, rest


def _place(limit: Limit, labels: Mapping[str, str], tenants: str) -> str:
    place = f"{limit.path} (line {limit.line})" if limit.line else limit.path
    if TENANT in labels and tenants == "named":
        place += ": judged apart from its queue" if limit.apart else ": the queue's, judged with it"
    return place


def settings(thresholds: Thresholds) -> Iterator[str]:
    """All that a file says, one setting a line, in the order that counts."""
    yield f"job: {thresholds.job}"
    for signal in SIGNALS:
        found = thresholds.signals[signal.name]
        for severity in SEVERITIES:
            yield f"{signal.name} {severity}: {say(signal, found.limits[severity])}"
        yield f"{signal.name} for: {written(found.for_)}"
        yield f"{signal.name} keep_firing_for: {written(found.keep_firing_for)}"
        if signal.floor is not None:
            yield f"{signal.name} floor: {found.floor:.6g}"
    for override in thresholds.overrides:
        match = shown(override.match)
        for (name, severity), value in override.limits.items():
            yield f"{match}: {name} {severity}: {say(SIGNAL[name], value)}"
    for route in thresholds.routes:
        yield f"labels of {route.label}={route.glob}: {shown(route.labels)}"
    for slo in thresholds.slos:
        yield f"slo {slo.name} of {shown(slo.match)}: {_promise(slo)}"
    for watch in WATCHES:
        times = thresholds.watching(watch.alert)
        if times is None:
            yield f"{watch.alert}: off"
        else:
            yield f"{watch.alert} for: {written(times.for_)}"
            yield f"{watch.alert} keep_firing_for: {written(times.keep_firing_for)}"


def _promise(slo: Slo) -> str:
    return f"ready within {written(slo.ready_age)} in {100 * slo.objective:.6g}% of {written(slo.window)}"


def changes(before: Thresholds, after: Thresholds) -> list[str]:
    """What the second file says otherwise: lines that begin with - or +, in the order that counts."""
    return list(compared(list(settings(before)), list(settings(after))))
