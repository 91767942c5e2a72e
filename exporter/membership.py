"""Which tenants of a queue have series of their own: chosen anew at every look, without flapping. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final

from .tenants import FOLDED, LONGEST_WAITING, NONE, OTHER, Look, Rules, Standing

#: Who is shown stays until another is so much ahead, and by more than one job: else two alike would take turns.
_LEAD: Final = 1.25
_LEAD_JOBS: Final = 1.0

#: Work counts half as much after so many seconds.
_HALF_LIFE: Final = 600.0

#: Work that counts for less is forgotten.
_LEAST_WORK: Final = 0.01

#: Tenants of a queue that are remembered beyond the shown: the newest.
_MOST_REMEMBERED: Final = 1000

#: Who is shown is decided anew at least so often, in seconds, also when nothing happens: tenants are forgotten.
_CHOSEN_AGAIN: Final = 60.0


@dataclass(slots=True)
class Membership:
    """The tenants that one queue's series name. ``_none`` has a place of its own once it was seen."""

    shown: list[str] = field(default_factory=list)
    #: Those of them that have histograms.
    timed: list[str] = field(default_factory=list)
    #: Tenants inside ``_other``, as far as seen.
    hidden: int = 0
    #: So many at most, where the page has no room for as many as configured; and whether that kept a tenant out.
    most: int | None = None
    held: bool = False
    #: Odd values that were shortened, each counted once.
    folded: int = 0
    #: Grows with every choice.
    choices: int = 0
    _seen: dict[str, float] = field(default_factory=dict)
    _worked: dict[str, float] = field(default_factory=dict)
    _worked_at: float = 0.0
    _folded: set[str] = field(default_factory=set)
    _restless: bool = True
    _rules: Rules | None = None
    _chosen_at: float = float("-inf")

    def work(self, steps: Mapping[str, int], now: float) -> None:
        """Note whose jobs ended: recent work is a reason to be shown. ``now`` is a monotonic clock."""
        fading = 0.5 ** ((now - self._worked_at) / _HALF_LIFE)
        self._worked_at = now
        self._worked = {name: work * fading for name, work in self._worked.items() if work * fading > _LEAST_WORK}
        for name, step in steps.items():
            if step > 0 and name != OTHER:
                self._worked[name] = self._worked.get(name, 0.0) + step
                self._seen[name] = now
                self._restless = True
        self._worked = _most(self._worked, _MOST_REMEMBERED)
        self._count_folded(steps)

    def due(self, rules: Rules, now: float) -> bool:
        """Whether a choice may come out otherwise although the last look still holds."""
        return self._restless or rules != self._rules or now - self._chosen_at >= _CHOSEN_AGAIN

    def choose(self, look: Look, rules: Rules, now: float) -> set[str]:
        """Decide anew who is shown; gives who was not before. ``now`` is a monotonic clock.

        In this order: pinned; who has waited longest; by backlog; by other jobs; by recent work; who was shown.
        """
        before = set(self.shown)
        places = rules.shown if self.most is None else min(rules.shown, max(self.most, len(rules.pinned)))
        self._restless, self._rules, self._chosen_at = False, rules, now
        self.choices += 1
        self._count_folded(look.named)
        for name, standing in look.named.items():
            if _there(standing):
                self._seen[name] = now
        self._seen = {name: at for name, at in self._seen.items() if now - at < rules.forget_after}
        self._seen = _most(self._seen, rules.shown + _MOST_REMEMBERED)
        chosen = list(dict.fromkeys(rules.pinned))
        known = [name for name in self._seen if name != NONE]

        def lead(name: str, measure: float, jobs: float = _LEAD_JOBS) -> float:
            return measure * _LEAD + jobs if name in before else measure

        def take(names: Iterable[str], most: int) -> None:
            for name in names:
                if most <= 0 or len(chosen) >= places:
                    return
                if name not in chosen:
                    chosen.append(name)
                    most -= 1

        waiting = {name: look.named[name].oldest_ready for name in known if name in look.named}
        ready = {name: oldest for name, oldest in waiting.items() if oldest is not None}
        newest = max(ready.values(), default=0.0)
        take(
            sorted(ready, key=lambda name: (-lead(name, newest - ready[name] + 1.0, 0.0), name)),
            min(LONGEST_WAITING, max(1, places // 5)),
        )
        for measure in (_ready, _all):
            ranked = {name: measure(look.named.get(name)) for name in known}
            take(
                (name for name in sorted(ranked, key=lambda name: (-lead(name, ranked[name]), name)) if ranked[name]),
                rules.shown,
            )
        take(
            (name for name in sorted(self._worked, key=lambda name: (-lead(name, self._worked[name]), name))
             if name in self._seen and name != NONE),
            rules.shown,
        )  # fmt: skip
        take((name for name in self.shown if name in self._seen and name != NONE), rules.shown)
        if NONE in self._seen:
            chosen.append(NONE)
        self.shown = chosen
        self._choose_timed(rules)
        hidden = {name for name, standing in look.named.items() if _there(standing)} - set(chosen)
        # Who works may be among the unnamed: not counted twice.
        working = (self._worked.keys() & self._seen.keys()) - set(chosen)
        self.hidden = max(look.unnamed + len(hidden), len(hidden | working))
        self.held = places < rules.shown and self.hidden > 0
        return set(chosen) - before

    def cut(self, most: int | None) -> bool:
        """Show at most so many from now on (None: as many as configured), the pinned always; whether any had to go."""
        self._restless = self._restless or most != self.most
        self.most = most
        if most is None:
            return False
        names = [name for name in self.shown if name != NONE]
        gone = names[max(most, len(self._rules.pinned) if self._rules is not None else 0) :]
        self.shown = [name for name in self.shown if name not in gone]
        self.timed = [name for name in self.timed if name not in gone]
        self.hidden += len(gone)
        self.choices += bool(gone)
        self.held = self.held or bool(gone)
        return bool(gone)

    def _count_folded(self, names: Iterable[str]) -> None:
        for name in names:
            if name.startswith(FOLDED) and name not in self._folded:
                self.folded += 1
                if len(self._folded) < _MOST_REMEMBERED:
                    self._folded.add(name)

    def _choose_timed(self, rules: Rules) -> None:
        pinned = set(rules.pinned)
        stay = [name for name in self.timed if name in self.shown and name not in pinned]
        room = [name for name in self.shown if name not in pinned and name not in stay and name != NONE]
        self.timed = [*(name for name in self.shown if name in pinned), *(stay + room)[: rules.histograms]]


def _most(measured: dict[str, float], number: int) -> dict[str, float]:
    """Those with the largest measure."""
    if len(measured) <= number:
        return measured
    return dict(nlargest(number, measured.items(), key=lambda entry: entry[1]))


def _there(standing: Standing) -> bool:
    """Whether it has jobs: of a large queue, a sample may have met none of who has waited longest."""
    return standing.oldest_ready is not None or any(standing.jobs.values())


def _ready(standing: Standing | None) -> float:
    return standing.jobs.get("ready", 0.0) if standing is not None else 0.0


def _all(standing: Standing | None) -> float:
    return sum(standing.jobs.values()) if standing is not None else 0.0
