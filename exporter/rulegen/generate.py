"""From thresholds to groups of rules: base records, chains of limits, alerts; one group a signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from ..names import TENANT
from . import bases, flows, slo, watch
from .bases import Base
from .catalogue import CRITICAL, JOB, SEVERITIES, SEVERITY, WARNING, Signal
from .marks import Arm, marked_chain
from .promql import Matchers, binary, chain, inside
from .routing import routed
from .rules import Alert, Group, Record
from .signals import SIGNALS
from .thresholds import Thresholds
from .words import Links, description

WHY_MARKS: Final = "-1: an earlier match names no tenant, so the queue's limit holds; `>= 0` takes the mark away."


def groups(thresholds: Thresholds, links: Links | None = None) -> tuple[Group, ...]:
    """All groups, in the order of the signals; what no limit judges is left out."""
    base, links = Base(thresholds), links or Links()
    found: dict[str, list[Record | Alert]] = {}
    for signal in SIGNALS:
        if thresholds.judged(signal):
            name = signal.group or signal.name
            rules = found.setdefault(name, [])
            rules += _histogram(base, name, signal, rules) if signal.group else _bases(base, signal)
            rules += _judgement(base, signal, links)
    made = [
        Group(f"pgqueue.{name}", tuple(rules), 60 if name in {"wait", "run"} else 0) for name, rules in found.items()
    ]
    promises = slo.group(base, links)
    return (*made, *([promises] if promises else []), watch.group(base, links))


def _histogram(base: Base, which: str, signal: Signal, before: list[Record | Alert]) -> list[Record]:
    """The buckets are recorded once, also where only one of two signals is judged."""
    buckets = flows.percentiles(base, which)
    shared = [] if before else buckets[:2]
    return [*shared, *(flows.degraded(base) if signal.name == "run_degraded" else buckets[2:])]


_FLOWS: Final[dict[str, Callable[[Base], list[Record]]]] = {
    "drain_time": flows.drain,
    "dead_letters": flows.dead_letters,
}


def _bases(base: Base, signal: Signal) -> list[Record | Alert]:
    """The base records; of a signal with named tenants, these tenants' limits too, as the queue's value needs them."""
    if signal.tenants == "named":
        limits = list(_tenant_chains(base, signal))
        apart = frozenset(record.labels[SEVERITY] for record in limits)
        own = bases.tenants_apart(base, signal) if limits else []
        return [*own, *limits, *bases.of_queue(base, signal, apart)]
    if signal.tenants == "each":
        return [*flows.tenants(base, signal)]
    if signal.name == "retry_ratio":
        return [*bases.retries(base, signal)]
    if signal.name in _FLOWS:
        return [*_FLOWS[signal.name](base)]
    return [*bases.simple(base, signal)]


def _globs(match: dict[str, str]) -> Matchers:
    return {label: (glob,) for label, glob in match.items()}


def _arms(base: Base, signal: Signal, severity: str) -> list[Arm]:
    """What overrides state, in their order; whether each names a tenant."""
    return [
        (TENANT in override.match, _globs({label: override.match[label] for label in sorted(override.match)}), limit)
        for override, limit in base.thresholds.stating(signal.name, severity)
    ]


def _tenant_chains(base: Base, signal: Signal) -> Iterator[Record]:
    """The limits of named tenants: no default; queue-only matches before the last of them are marks, taken out."""
    for severity in SEVERITIES:
        arms = _arms(base, signal, severity)
        last = max((place for place, (tenant, _, _) in enumerate(arms) if tenant), default=-1)
        if last < 0:
            continue
        anchor = signal.record("value", tenant=True)
        if signal.anchor:
            anchor = signal.anchor.replace("queue:", "queue_tenant:", 1)
        taken = list(marked_chain(arms[: last + 1]))
        expr = chain(anchor, (), taken)
        marked = any(limit < 0 for _, limit in taken)
        if marked:
            expr = binary(inside("", expr), ">=", "0")
        name = signal.record("threshold", tenant=True)
        yield Record(name, expr, {SEVERITY: severity}, why=WHY_MARKS if marked else "")


def _judgement(base: Base, signal: Signal, links: Links) -> Iterator[Record | Alert]:
    """The chain of limits, and the alert of each severity that has one to exceed."""
    settings = base.settings(signal)
    for severity in SEVERITIES:
        plain = [f'{SEVERITY}="{severity}"'] if signal.tenants == "named" else []
        arms = [
            (matchers, limit)
            for tenant, matchers, limit in _arms(base, signal, severity)
            if signal.tenants == "each" or not tenant
        ]
        limits = chain(signal.anchor or signal.value, plain, [*arms, ({}, settings.limits[severity])])
        yield Record(signal.threshold, limits, {SEVERITY: severity})
    for severity in SEVERITIES:
        sides = list(_sides(base, signal, severity))
        if not sides:
            continue
        expr = sides[0] if len(sides) == 1 else binary(inside("", sides[0]), "or", inside("", sides[1]))
        if severity == CRITICAL and signal.own_start and base.thresholds.finite(signal, WARNING):
            expr = binary(inside("", expr), "or", inside("", _once_critical(signal)))
        tenants = signal.tenants == "named" and any(tenant for tenant, _, _ in _arms(base, signal, severity))
        labels = (*signal.labels, TENANT) if signal.tenants != "no" else signal.labels
        yield Alert(
            signal.alert,
            routed(base.thresholds, expr, labels),
            settings.for_,
            settings.keep_firing_for,
            {SEVERITY: severity},
            {
                "summary": signal.summary,
                "description": description(signal, severity, tenants=tenants),
                **links.of(signal.alert, labels),
            },
        )


def _once_critical(signal: Signal) -> str:
    """What is critical stays so while it is a warning: what a restart of all exporters counts anew is not over."""
    warned = binary(signal.value, "> ignoring (severity)", f'{signal.threshold}{{{SEVERITY}="{WARNING}"}}')
    told = f'ALERTS{{alertname="{signal.alert}",alertstate="firing",{SEVERITY}="{CRITICAL}"}}'
    return binary(inside("", warned), f"and on ({', '.join((JOB, *signal.labels))})", told)


def _sides(base: Base, signal: Signal, severity: str) -> Iterator[str]:
    """Comparisons of values with limits, where some limit can be exceeded: the queue's, and named tenants'."""
    arms = _arms(base, signal, severity)
    chosen = f'{{{SEVERITY}="{severity}"}}'
    named = signal.tenants == "named"
    of_queue = [limit for tenant, _, limit in arms if not (tenant and named)]
    if any(math.isfinite(limit) for limit in (*of_queue, base.settings(signal).limits[severity])):
        value = signal.value + (chosen if named else "")
        yield binary(value, "> ignoring (severity)", signal.threshold + chosen)
    if named and any(tenant and math.isfinite(limit) for tenant, _, limit in arms):
        value, threshold = (signal.record(operation, tenant=True) for operation in ("value", "threshold"))
        yield binary(value, "> ignoring (severity)", threshold + chosen)
