"""What became of one queue's jobs by tenant, whatever its source: counters and histograms that never fall."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..membership import Membership
from ..model import Distribution
from ..tenants import LEFT, OTHER, Steps, newest
from .distributions import add, empty


@dataclass(slots=True)
class Timings:
    """A histogram by tenant, as ``Steps`` is a counter."""

    totals: dict[str, Distribution] = field(default_factory=lambda: {OTHER: empty()})
    _published: dict[str, Distribution] = field(default_factory=dict)
    _draft: dict[str, Distribution] | None = None
    _left: dict[str, Distribution] = field(default_factory=dict)

    def add(self, name: str, timed: Collection[str], buckets: list[int], count: int, total: float) -> None:
        """Add times of a tenant's jobs: cumulative buckets, their number, their sum in seconds."""
        where = name if name in timed and name in self._published else OTHER
        self.totals[where] = add(self.totals[where], buckets, count, total)

    def show(self, timed: Collection[str]) -> None:
        """Take who has a histogram from now on."""
        before = self.totals
        left = {name: self._published.get(name, before[name]) for name in before if name not in {*timed, OTHER}}
        self.totals = {name: before.get(name, self._left.pop(name, empty())) for name in (*timed, OTHER)}
        self._left = newest({**self._left, **left}, LEFT)
        for name, seen in left.items():
            unseen = [new - old for new, old in zip(before[name].cumulative, seen.cumulative, strict=True)]
            count, total = before[name].observations - seen.observations, before[name].total - seen.total
            self.totals[OTHER] = add(self.totals[OTHER], unseen, count, total)
        self._published = {name: seen for name, seen in self._published.items() if name in self.totals}

    def draft(self) -> dict[str, Distribution]:
        """The histograms by label, for a page that may not come to be."""
        self._draft = dict(self.totals)
        return self._draft

    def published(self) -> None:
        """Take that the last draft, if there is one, stands on a page now."""
        self._published, self._draft = self._published if self._draft is None else self._draft, None


@dataclass(slots=True)
class Outcomes:
    """Finished jobs, retries, runs and waits by the labels that tenants have when they are added."""

    #: Who is shown: its own, or that of another memory of the same queue.
    membership: Membership = field(default_factory=Membership)
    retried: Steps = field(default_factory=Steps)
    wait: Timings = field(default_factory=Timings)
    _finished: dict[str, Steps] = field(default_factory=dict)
    _run: dict[str, Timings] = field(default_factory=dict)
    _followed: tuple[int, int] = (0, 0)

    def follow(self) -> None:
        """Take who is shown from now on: newcomers start at 0, who comes back goes on, who left is gone."""
        choice = (id(self.membership), self.membership.choices)
        if choice == self._followed:
            return
        self._followed = choice
        for steps in (*self._finished.values(), self.retried):
            steps.show(self.membership.shown)
        for timings in (*self._run.values(), self.wait):
            timings.show(self.membership.timed)

    def published(self) -> None:
        """Take that what was last made of it stands on a page now."""
        for steps in (*self._finished.values(), self.retried):
            steps.published()
        for timings in (*self._run.values(), self.wait):
            timings.published()

    def bound(self, most: int | None) -> None:
        """Show at most so many tenants from now on; None: as many as are configured."""
        self.membership.cut(most)
        self.follow()

    def add(self, finished: Mapping[str, Mapping[str, int]], retried: Mapping[str, int], now: float) -> None:
        """Add jobs of one slice of time: finished ones by outcome and label, retries by label.

        All at once: whose jobs ended is a reason to be shown. ``now`` is the monotonic clock.
        """
        work: dict[str, int] = {}
        for steps in (*finished.values(), retried):
            for name, step in steps.items():
                work[name] = work.get(name, 0) + step
        self.membership.work(work, now)
        for outcome, steps in finished.items():
            self.finished(outcome).add(steps, self.membership.shown)
        self.retried.add(retried, self.membership.shown)

    def finished(self, outcome: str) -> Steps:
        """Finished jobs of an outcome."""
        if outcome not in self._finished:
            self._finished[outcome] = Steps()
            self._finished[outcome].show(self.membership.shown)
        return self._finished[outcome]

    def run(self, outcome: str) -> Timings:
        """Run times of an outcome."""
        if outcome not in self._run:
            self._run[outcome] = Timings()
            self._run[outcome].show(self.membership.timed)
        return self._run[outcome]

    def time(self, outcome: str, name: str, buckets: list[int], count: int, total: float) -> None:
        """Add run times of a tenant's jobs: cumulative buckets, their number, their sum in seconds."""
        self.run(outcome).add(name, self.membership.timed, buckets, count, total)

    def time_wait(self, name: str, buckets: list[int], count: int, total: float) -> None:
        """Add waits of a tenant's jobs."""
        self.wait.add(name, self.membership.timed, buckets, count, total)
