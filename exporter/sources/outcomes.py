"""What became of one queue's jobs by tenant, whatever its source: counters and histograms that never fall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..model import Distribution
from ..tenants import OTHER, Membership, Steps
from .distributions import add, empty


@dataclass(slots=True)
class Outcomes:
    """Finished jobs, retries, runs and waits by the labels that tenants have when they are added."""

    #: Who is shown: its own, or that of another memory of the same queue.
    membership: Membership = field(default_factory=Membership)
    #: Finished jobs by outcome.
    finished: dict[str, Steps] = field(default_factory=dict)
    retried: Steps = field(default_factory=Steps)
    run: dict[str, dict[str, Distribution]] = field(default_factory=dict)
    wait: dict[str, Distribution] = field(default_factory=lambda: {OTHER: empty()})
    _followed: tuple[int, int] = (0, 0)

    def follow(self) -> None:
        """Take who is shown from now on: newcomers start at 0, who left is gone."""
        choice = (id(self.membership), self.membership.choices)
        if choice == self._followed:
            return
        self._followed = choice
        for steps in (*self.finished.values(), self.retried):
            steps.show(self.membership.shown)
        for outcome, run in self.run.items():
            self.run[outcome] = self._timed(run)
        self.wait = self._timed(self.wait)

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
            self._finished(outcome).add(steps, self.membership.shown)
        self.retried.add(retried, self.membership.shown)

    def steps(self, outcome: str) -> dict[str, int]:
        """Finished jobs of an outcome by label."""
        return self._finished(outcome).totals

    def runs(self, outcome: str) -> dict[str, Distribution]:
        """Run times of an outcome by label, of those that have histograms."""
        if outcome not in self.run:
            self.run[outcome] = self._timed({})
        return self.run[outcome]

    def time(self, outcome: str, name: str, buckets: list[int], count: int, total: float) -> None:
        """Add run times of a tenant's jobs: cumulative buckets, their number, their sum in seconds."""
        run = self.runs(outcome)
        where = name if name in run else OTHER
        run[where] = add(run[where], buckets, count, total)

    def time_wait(self, name: str, buckets: list[int], count: int, total: float) -> None:
        """Add waits of a tenant's jobs."""
        where = name if name in self.wait else OTHER
        self.wait[where] = add(self.wait[where], buckets, count, total)

    def _finished(self, outcome: str) -> Steps:
        if outcome not in self.finished:
            self.finished[outcome] = Steps()
            self.finished[outcome].show(self.membership.shown)
        return self.finished[outcome]

    def _timed(self, so_far: Mapping[str, Distribution]) -> dict[str, Distribution]:
        return {name: so_far.get(name, empty()) for name in (*self.membership.timed, OTHER)}
