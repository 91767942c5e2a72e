"""Which limits apply and where they stand; what another file of thresholds changes; what matches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..config.values import written
from ..names import TENANT
from .catalogue import SEVERITIES, SLO_ALERT, WATCHES
from .comparing import compared
from .contradictions import say
from .globs import matches
from .signals import SIGNAL, SIGNALS
from .thresholds import Limit, Slo, Thresholds


def explained(thresholds: Thresholds, labels: Mapping[str, str]) -> Iterator[str]:
    """For each signal that may be about these labels, the limits in force and the place each comes from."""
    rows = []
    for signal in SIGNALS:
        given = {label: labels.get(label, "") for label in signal.labels}
        if TENANT in labels:
            given[TENANT] = labels[TENANT]
        for severity in SEVERITIES:
            limit = thresholds.limit(signal.name, severity, given)
            rows.append((signal.name, severity, say(signal, limit.value), _place(limit, labels, signal.tenants)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])
    for slo in thresholds.slos:
        if all(label in labels and matches(glob, labels[label]) for label, glob in slo.match.items()):
            yield f"{SLO_ALERT}  {slo.name}: {_promise(slo)}"


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
        match = _shown(override.match)
        for (name, severity), value in override.limits.items():
            yield f"{match}: {name} {severity}: {say(SIGNAL[name], value)}"
    for route in thresholds.routes:
        yield f"labels of {route.label}={route.glob}: {_shown(route.labels)}"
    for slo in thresholds.slos:
        yield f"slo {slo.name} of {_shown(slo.match)}: {_promise(slo)}"
    for watch in WATCHES:
        times = thresholds.watching(watch.alert)
        if times is None:
            yield f"{watch.alert}: off"
        else:
            yield f"{watch.alert} for: {written(times.for_)}"
            yield f"{watch.alert} keep_firing_for: {written(times.keep_firing_for)}"


def _promise(slo: Slo) -> str:
    return f"ready within {written(slo.ready_age)} in {100 * slo.objective:.6g}% of {written(slo.window)}"


def _shown(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{label}={value}" for label, value in labels.items())


def changes(before: Thresholds, after: Thresholds) -> list[str]:
    """What the second file says otherwise: lines that begin with - or +, in the order that counts."""
    return list(compared(list(settings(before)), list(settings(after))))


def unmatched(thresholds: Thresholds, known: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Overrides, labels and promises that match nothing of what is known: labels of series."""
    everything = list(known)
    for override in thresholds.overrides:
        missing = [label for label in override.match if not any(label in labels for labels in everything)]
        if not missing and not any(override.concerns(labels) for labels in everything):
            yield f"{override.path} (line {override.line}): matches nothing that is known: {_shown(override.match)}"
    for slo in thresholds.slos:
        if not any(_all(slo.match, labels) for labels in everything):
            yield f"slo {slo.name}: matches nothing that is known: {_shown(slo.match)}"
    for route in thresholds.routes:
        if not any(_all({route.label: route.glob}, labels) for labels in everything):
            yield f"labels of {route.label}={route.glob}: match nothing that is known"


def _all(match: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(label in labels and matches(glob, labels[label]) for label, glob in match.items())
