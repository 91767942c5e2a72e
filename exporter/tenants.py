"""Which tenants of a queue have series of their own, and how its numbers are shared among them.

Pure: what was seen comes in, labels and numbers go out. The bound is what makes tenant labels bearable; what makes
them honest is that the numbers of the shown and of ``_other`` always add up to the queue's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

#: All tenants that are not shown.
OTHER: Final = "_other"

#: Jobs that carry no tenant.
NONE: Final = "_none"

#: So many places (one in five, of fewer than fifty) are for the tenants that have waited longest: they have few jobs,
#: and would never show by backlog.
LONGEST_WAITING: Final = 10

#: What a folded value begins with; the rest is a piece of its SHA-256.
FOLDED: Final = "folded:"

#: The age of a tenant that has ready jobs is never 0, in seconds.
_LEAST_AGE: Final = 0.001

#: Counters of so many tenants that left are remembered, for each counter of a queue.
LEFT: Final = 100

_T = TypeVar("_T")

#: Samples that are averaged: bursts of one tenant stay, errors do not.
_SAMPLES: Final = 3


def newest(left: dict[str, _T], most: int) -> dict[str, _T]:
    """Those that were put in last."""
    return dict(list(left.items())[-most:])


def label(value: str | None) -> str:
    """A tenant's value as a label: reserved names stay reserved, and empty is not absent."""
    if value is None:
        return NONE
    return f"_{value}" if not value or value.startswith("_") else value


class Standing(NamedTuple):
    """One tenant in one look: jobs by state (as many as were seen), and when its longest-ready job became ready."""

    jobs: Mapping[str, float]
    oldest_ready: float | None
    """Epoch seconds of the server."""


class Look(NamedTuple):
    """What was seen of a queue's tenants at once, by label.

    ``rest`` are the jobs, by state, of tenants that were not named, ``unnamed`` how many of these there are.
    """

    exact: bool
    at: float
    """When it was taken, epoch seconds of the server."""
    named: Mapping[str, Standing]
    rest: Mapping[str, float]
    unnamed: int
    rest_oldest: float | None = None
    """When the longest-ready job of the rest became ready."""


def apportion(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """``total`` in whole numbers after the weights (largest remainder, ties by name); without weight, to ``_other``."""
    sum_ = sum(weights.values())
    if total <= 0 or sum_ <= 0:
        return {**dict.fromkeys(weights, 0), OTHER: max(0, total)} if total > 0 else dict.fromkeys(weights, 0)
    exact = {name: total * weight / sum_ for name, weight in weights.items()}
    whole = {name: int(share) for name, share in exact.items()}
    left = total - sum(whole.values())
    for name in sorted(exact, key=lambda name: (whole[name] - exact[name], name))[:left]:
        whole[name] += 1
    return whole


@dataclass(slots=True)
class Rules:
    """The bound of one queue: how many tenants are shown, who always is, and when one is forgotten (seconds)."""

    shown: int
    histograms: int
    pinned: Collection[str]
    forget_after: float


@dataclass(slots=True)
class Shares:
    """How a queue's jobs are shared among its tenants, by the last look, or the last three samples."""

    looks: list[Look] = field(default_factory=list)

    def take(self, look: Look) -> None:
        """Take a look; an exact one replaces all samples."""
        if look.exact or (self.looks and self.looks[-1].exact):
            self.looks.clear()
        self.looks = [*self.looks, look][-_SAMPLES:]

    def counts(self, state: str, total: int, shown: Collection[str]) -> dict[str, int]:
        """The newest count of a state, in whole numbers; ``_other`` is always there, and all add up to ``total``."""
        weights = dict.fromkeys(shown, 0.0)
        weights[OTHER] = 0.0
        for look in self.looks:
            weights[OTHER] += look.rest.get(state, 0.0)
            for name, standing in look.named.items():
                weights[name if name in shown else OTHER] += standing.jobs.get(state, 0.0)
        counts = apportion(total, weights)
        if state == "ready" and self.looks and not self.looks[-1].exact:
            self._count_waiting(counts, shown)
        return counts

    def _count_waiting(self, counts: dict[str, int], shown: Collection[str]) -> None:
        """One job at least for each tenant that is known to wait, although no sample met it: of who has the most."""
        named = self.looks[-1].named
        for name in shown:
            standing = named.get(name)
            if counts[name] == 0 and standing is not None and standing.oldest_ready is not None:
                most = max(counts, key=lambda other: counts[other])
                if counts[most] <= 1:
                    return
                counts[most] -= 1
                counts[name] = 1

    def ages(self, queue_age: float, now: float, counts: Mapping[str, int], shown: Collection[str]) -> dict[str, float]:
        """The ready age of each, in seconds: the last known, moved on, and cut at the queue's.

        What is missing to the queue's own, which is exact, stands in ``_other``: so the largest is always the queue's.
        """
        ages = dict.fromkeys((*shown, OTHER), 0.0)
        look = self.looks[-1] if self.looks else None
        for name in shown:
            standing = look.named.get(name) if look is not None else None
            if counts.get(name, 0) > 0 and look is not None:
                # Beyond the jobs that were looked at for times: at least as old as the look.
                since = standing.oldest_ready if standing is not None and standing.oldest_ready is not None else look.at
                ages[name] = min(queue_age, max(_LEAST_AGE, now - since))
        largest = max(ages.values())
        if largest < queue_age:
            ages[OTHER] = queue_age
        elif counts.get(OTHER, 0) > 0 and look is not None:
            hidden = [
                standing.oldest_ready
                for name, standing in look.named.items()
                if name not in shown and standing.oldest_ready is not None
            ]
            hidden += [look.rest_oldest] if look.rest_oldest is not None else []
            ages[OTHER] = min(queue_age, max(0.0, now - min(hidden))) if hidden else 0.0
        return ages


@dataclass(slots=True)
class Steps:
    """A counter by tenant: a step belongs to the label that its tenant has at that moment.

    ``_other`` accumulates and is never a remainder, so nothing that is shown ever falls, and rates add up.
    """

    totals: dict[str, int] = field(default_factory=lambda: {OTHER: 0})
    _published: dict[str, int] = field(default_factory=dict)
    _draft: dict[str, int] | None = None
    #: What stood on a page of those who left last: who comes back goes on from there.
    _left: dict[str, int] = field(default_factory=dict)

    def add(self, steps: Mapping[str, int], shown: Collection[str]) -> None:
        """Add the steps by label; those of tenants whose series no page has shown go to ``_other``: it begins at 0."""
        for name, step in steps.items():
            where = name if name in shown and name in self._published else OTHER
            self.totals[where] += step

    def show(self, shown: Collection[str]) -> None:
        """Take who is shown from now on: newcomers start at 0, who left is gone, with what nobody saw in ``_other``.

        Who comes back goes on from what was seen last: a series that falls loses what it counts until it is seen again.
        """
        before = self.totals
        left = {name: self._published.get(name, before[name]) for name in before if name not in {*shown, OTHER}}
        unseen = sum(before[name] - seen for name, seen in left.items())
        self.totals = {name: before.get(name, self._left.pop(name, 0)) for name in (*shown, OTHER)}
        self.totals[OTHER] += unseen
        self._left = newest({**self._left, **left}, LEFT)
        self._published = {name: seen for name, seen in self._published.items() if name in self.totals}

    def draft(self) -> dict[str, int]:
        """The totals by label, for a page that may not come to be."""
        self._draft = dict(self.totals)
        return self._draft

    def published(self) -> None:
        """Take that the last draft, if there is one, stands on a page now."""
        self._published, self._draft = self._published if self._draft is None else self._draft, None
