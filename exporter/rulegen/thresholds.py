"""What the file of thresholds means, and which limit applies to what: plain values, no PromQL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..config.values import duration
from ..names import TENANT
from .catalogue import KEEP_FIRING_FOR, SEVERITIES, WATCHES, Signal
from .globs import is_glob, matches
from .signals import SIGNAL

#: Tenants that stand for several, or for none: no glob means them, and they are always judged with their queue.
NOBODY: Final = ("_other", "_none")

#: The longest time over which a value is bridged, and how much sooner than the alert it must end, in seconds.
_LONGEST_BRIDGE: Final = 180.0
_SOONER: Final = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for a signal: limits where no override says otherwise, seconds, and the floor in its unit."""

    limits: Mapping[str, float]
    for_: float
    keep_firing_for: float
    floor: float
    paths: Mapping[str, str]
    #: Where each limit stands in the file; None where the default is built in.
    lines: Mapping[str, int | None]

    @property
    def bridge(self) -> float:
        """For how many seconds a value stands in for the next one: less than the alert waits; 0: for none."""
        window = min(_LONGEST_BRIDGE, self.for_ - _SOONER)
        return window if window >= _SOONER else 0.0


@dataclass(frozen=True, slots=True)
class Override:
    """Limits for what matches. ``match``: label → glob; ``limits``: (signal, severity) → limit, ``inf`` for off."""

    path: str
    line: int | None
    match: Mapping[str, str]
    limits: Mapping[tuple[str, str], float]

    def concerns(self, labels: Mapping[str, str]) -> bool:
        """Whether all that it names is there and matches; its tenant is never ``_other`` or ``_none``."""
        if TENANT in self.match and labels.get(TENANT, "") in {*NOBODY, ""}:
            return False
        return all(label in labels and matches(glob, labels[label]) for label, glob in self.match.items())


@dataclass(frozen=True, slots=True)
class Route:
    """Labels for alerts whose ``label`` matches the glob."""

    label: str
    glob: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Slo:
    """A promise: in ``objective`` of all evaluations no job has been ready for longer than ``ready_age`` seconds."""

    name: str
    match: Mapping[str, str]
    objective: float
    ready_age: float
    window: float


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit that applies, where it stands in the file, and whether the tenant is judged apart from its queue."""

    value: float
    path: str
    line: int | None
    apart: bool


@dataclass(frozen=True, slots=True)
class Watching:
    """For how many seconds one of the watcher's own alerts must hold, and for how many it stays afterwards."""

    for_: float
    keep_firing_for: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The whole file, as it is meant."""

    job: str
    signals: Mapping[str, Settings]
    overrides: tuple[Override, ...] = ()
    routes: tuple[Route, ...] = ()
    slos: tuple[Slo, ...] = ()
    #: Of the watcher's own alerts, those that the file mentions; None: switched off.
    watch: Mapping[str, Watching | None] | None = None

    def limit(self, signal: str, severity: str, labels: Mapping[str, str]) -> Limit:
        """The limit for these labels: that of the first override that matches and states one, else the default.

        With a tenant among the labels whose limit names none, the limit is the queue's, and so is the judgement.
        """
        known = {label: value for label, value in labels.items() if label in SIGNAL[signal].match}
        for override in self.overrides:
            value = override.limits.get((signal, severity))
            if value is not None and override.concerns(known):
                return Limit(value, override.path, override.line, apart=TENANT in override.match)
        settings = self.signals[signal]
        return Limit(settings.limits[severity], settings.paths[severity], settings.lines[severity], apart=False)

    def stating(self, signal: str, severity: str) -> list[tuple[Override, float]]:
        """The overrides that state a limit, in their order."""
        return [
            (override, override.limits[signal, severity])
            for override in self.overrides
            if (signal, severity) in override.limits
        ]

    def finite(self, signal: Signal, severity: str) -> bool:
        """Whether any limit of the signal can be exceeded."""
        stated = (value for _, value in self.stating(signal.name, severity))
        return any(math.isfinite(value) for value in (self.signals[signal.name].limits[severity], *stated))

    def judged(self, signal: Signal) -> bool:
        """Whether the signal is judged at all: what no limit judges is not evaluated."""
        return any(self.finite(signal, severity) for severity in SEVERITIES)

    def pinned(self) -> tuple[str, ...]:
        """Tenants that limits name, in order: their series must be there, or their alerts could not fire."""
        named = {override.match[TENANT] for override in self.overrides if TENANT in override.match}
        return tuple(sorted(name for name in named if not is_glob(name)))

    def watching(self, alert: str) -> Watching | None:
        """The times of one of the watcher's own alerts; None when it is switched off."""
        watch = self.watch or {}
        return watch[alert] if alert in watch else DEFAULT_WATCH[alert]


DEFAULT_WATCH: Final = {
    watch.alert: Watching(duration(watch.for_), duration(KEEP_FIRING_FOR) if watch.keep else 0) for watch in WATCHES
}
