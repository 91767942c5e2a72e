"""What cannot be meant: limits and promises that contradict each other, or could never fire."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from ..config.document import Document, Path_
from ..config.values import written
from ..errors import ConfigFault
from ..names import DATABASE, QUEUE, SOURCE, TENANT
from .catalogue import BURNS, CRITICAL, EXPORTER_DOWN, SEVERITIES, WARNING, Burn, Signal
from .precedence import Precedence
from .shape import File
from .signals import SIGNAL, SIGNALS
from .thresholds import NOBODY, Override, Slo, Thresholds

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ROUTABLE: Final = (QUEUE, TENANT, SOURCE, DATABASE)
_OURS: Final = frozenset(
    {"job", "instance", "pod", "severity", "alertname", "long", "short", "slo", "part", "le", "state", "outcome"}
    | {label for signal in SIGNALS for label in signal.match}
)


def say(signal: Signal, value: float) -> str:
    """A limit as the file would say it."""
    if math.isinf(value):
        return "off"
    return (
        written(value)
        if signal.unit == "seconds"
        else f"{value:.6g}"
        if signal.unit != "share"
        else f"{100 * value:.6g}%"
    )


def factor(burn: Burn, window: float) -> float:
    """How many times faster than allowed the budget must burn."""
    return float(f"{burn.budget * window / 3600 / burn.hours:.6g}")


def faults(document: Document, found: Thresholds, retention: float) -> Iterator[ConfigFault]:
    """Every contradiction, where it stands."""
    for signal in SIGNALS:
        settings = found.signals[signal.name]
        at: Path_ = ("defaults", signal.name)
        yield from _limits(document, at, signal, settings.limits)
    yield from _held_too_short(document, found)
    precedence = Precedence(found.overrides)
    for place, override in enumerate(found.overrides):
        yield from _override(document, ("overrides", place), override, found, precedence)
    yield from _slos(document, found.slos, retention)


def _held_too_short(document: Document, found: Thresholds) -> Iterator[ConfigFault]:
    """When the last exporter dies, the queues' alerts must not look as if they were over before that is told."""
    down = found.watching(EXPORTER_DOWN)
    if down is None:
        return
    usual: list[float] = []
    for signal in SIGNALS:
        settings = found.signals[signal.name]
        held = settings.bridge + settings.keep_firing_for
        if not found.judged(signal) or held > down.for_:
            continue
        at: Path_ = ("defaults", signal.name, "keep_firing_for")
        if at in document.lines:
            least = written(down.for_ - settings.bridge)
            message = (
                f"{written(settings.keep_firing_for)} lets the alert end when the exporters die, before "
                f"{EXPORTER_DOWN} tells it (after {written(down.for_)}): expected more than {least}"
            )
            yield document.fault(at, message)
        else:
            usual.append(held)
    if usual:
        message = (
            f"alerts on queues end {written(min(usual))} after the exporters die, before this one tells it: expected "
            f"less than that, or a longer keep_firing_for in `defaults`; found {written(down.for_)}"
        )
        yield document.fault(("watch", EXPORTER_DOWN, "for"), message)


def _limits(document: Document, at: Path_, signal: Signal, limits: Mapping[str, float]) -> Iterator[ConfigFault]:
    for severity, value in limits.items():
        most = signal.least_impossible
        if most is not None and most <= value < math.inf:
            what = "is beyond the last bucket" if signal.unit == "seconds" else "is never exceeded"
            message = f"{say(signal, value)} {what}: expected less than {say(signal, most)}, or off"
            yield document.fault((*at, severity), message)
    if len(limits) == len(SEVERITIES) and _not_weaker(limits[WARNING], limits[CRITICAL]):
        yield document.fault(
            (*at, CRITICAL),
            f"expected more than the warning's {say(signal, limits[WARNING])}; found {say(signal, limits[CRITICAL])}",
        )


def _not_weaker(warning: float, critical: float) -> bool:
    return math.isfinite(warning) and math.isfinite(critical) and warning >= critical


def _override(
    document: Document,
    at: Path_,
    override: Override,
    found: Thresholds,
    precedence: Precedence,
) -> Iterator[ConfigFault]:
    if not override.match:
        yield document.fault((*at, "match"), "expected at least one label; what holds for all belongs to `defaults`")
    if override.match.get(TENANT) in NOBODY:
        message = "these are always judged with their queue; expected a tenant, or a glob such as *"
        yield document.fault((*at, "match", TENANT), message)
    if not override.limits:
        yield document.fault(at, "changes nothing; expected a signal such as `ready_age: {critical: 10m}`")
    for name in dict.fromkeys(name for name, _ in override.limits):
        signal = SIGNAL[name]
        for label in override.match:
            if label not in signal.match:
                message = f"this signal has no {label} to match; it has {', '.join(signal.match)}"
                yield document.fault((*at, name), message)
        limits = {key[1]: value for key, value in override.limits.items() if key[0] == name}
        yield from _limits(document, (*at, name), signal, limits)
        for severity in limits:
            first = precedence.first((name, severity), override)
            if first is not None and first is not override:
                alike = "the same" if first.match == override.match else "all of it"
                message = f"never used: {first.path} matches {alike} and comes first"
                yield document.fault((*at, name, severity), message)
            else:
                yield from _against_other(document, (*at, name), signal, override, severity, found, precedence)


def _against_other(
    document: Document,
    at: Path_,
    signal: Signal,
    override: Override,
    severity: str,
    found: Thresholds,
    precedence: Precedence,
) -> Iterator[ConfigFault]:
    """A limit against the other severity's that holds, from elsewhere, for all that the override matches."""
    value, other = override.limits[signal.name, severity], WARNING if severity == CRITICAL else CRITICAL
    first = precedence.first((signal.name, other), override)
    if first is override:
        return
    in_force, path = found.signals[signal.name].limits[other], found.signals[signal.name].paths[other]
    if first is not None:
        in_force, path = first.limits[signal.name, other], first.path
    pair = (value, in_force) if severity == WARNING else (in_force, value)
    if _not_weaker(*pair):
        than = "less" if severity == WARNING else "more"
        message = f"expected {than} than the {other}'s {say(signal, in_force)} ({path}); found {say(signal, value)}"
        yield document.fault((*at, severity), message)


def _slos(document: Document, slos: tuple[Slo, ...], retention: float) -> Iterator[ConfigFault]:
    seen: set[str] = set()
    for place, slo in enumerate(slos):
        at: Path_ = ("slo", place)
        if slo.name in seen:
            yield document.fault((*at, "name"), f"expected each name once; found {slo.name!r} again")
        seen.add(slo.name)
        for label in slo.match:
            if label not in {QUEUE, SOURCE, DATABASE}:
                message = "a promise is about a whole queue: expected queue, source or database"
                yield document.fault((*at, "match", label), message)
        if not slo.match:
            yield document.fault((*at, "match"), "expected at least one of queue, source and database")
        if slo.window != slos[0].window:
            message = f"expected {written(slos[0].window)} as in slo[0]: burn rates are of one window"
            yield document.fault((*at, "window"), message)
        if slo.window > retention:
            message = f"{written(slo.window)} is longer than what Prometheus keeps ({written(retention)})"
            yield document.fault((*at, "window"), message)
        never = [burn for burn in BURNS if factor(burn, slo.window) * (1 - slo.objective) >= 1]
        if never:
            most = max(1 - 1 / factor(burn, slo.window) for burn in never)
            message = (
                f"{slo.objective:.6g} can never burn {factor(never[0], slo.window):g} times too fast, so that alert "
                f"could never fire: expected more than {100 * most:.4f}%"
            )
            yield document.fault((*at, "objective"), message)


def routing(document: Document, file: File) -> Iterator[ConfigFault]:
    """What is wrong with labels for routing."""
    for place, route in enumerate(file.labels):
        at: Path_ = ("labels", place)
        if len(route.match.labels) != 1 or next(iter(route.match.labels)) not in _ROUTABLE:
            yield document.fault((*at, "match"), f"expected exactly one of {', '.join(_ROUTABLE)}")
        for label in route.labels:
            if not _LABEL.fullmatch(label) or label.startswith("__"):
                yield document.fault((*at, "labels", label), "is no name of a label")
            elif label in _OURS:
                yield document.fault((*at, "labels", label), "is a label that alerts have already")
