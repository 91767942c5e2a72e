"""What is known of each part of a collection: when it runs, how it went, what it cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .. import names
from ..model import Fault, Sample
from .budget import Spending

if TYPE_CHECKING:
    from ..config import Database
    from ..sources.source import Part, Source

#: A part that feeds rates and cannot be held under the budget, or any that timed out so often in a row, is off for so
#: long, in seconds.
_TIMEOUTS: Final = 3
_OFF: Final = 600.0

#: A part refused for lack of a right is asked again after so many seconds, not every cycle.
_REFUSED: Final = 60.0


@dataclass(slots=True)
class Tracked:
    """One part of one source, and its record since the exporter's start. Times are monotonic unless said."""

    source: Source
    part: Part
    spending: Spending
    due: float = float("-inf")
    runs: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    success: bool | None = None
    #: What the last run could not be told.
    faults: list[Fault] = field(default_factory=list)
    #: Wall clock of the end of the last success.
    succeeded: float | None = None
    timeouts: int = 0
    off_until: float = float("-inf")
    #: When the last run ended, and until when none may begin whatever the interval says.
    last: float | None = None
    not_before: float = float("-inf")

    def ended(self, now: float, wall: float, cost: float, faults: list[Fault], *, whole: bool) -> None:
        """Take one run: what it cost, and why it (``whole``), or some of its queues, failed."""
        reasons = {fault.reason for fault in faults}
        self.faults = faults
        self.runs += 1
        self.seconds += cost
        self.spending.ran(cost)
        self.errors.update(reasons)
        self.success = not reasons
        if self.success:
            self.succeeded = wall
        self.timeouts = self.timeouts + 1 if whole and "timeout" in reasons else 0
        self.last = now
        if self.timeouts >= _TIMEOUTS:
            self._off(now)
        elif whole and "privilege" in reasons:
            self.not_before = now + _REFUSED

    def plan(self) -> None:
        """Set the next run from the interval in force, after one that ended."""
        self.spending.judge()
        if self.spending.over and self.last is not None:
            self.errors["budget"] += 1
            self.success = False
            self._off(self.last)
        self.due = self._next()

    def draw_near(self) -> None:
        """Run sooner where the interval in force has become shorter since."""
        self.due = min(self.due, self._next())

    def _next(self) -> float:
        return self.due if self.last is None else max(self.not_before, self.last + self.spending.interval)

    def _off(self, now: float) -> None:
        self.timeouts = 0
        self.spending.forgive()
        self.off_until = self.not_before = now + _OFF

    @property
    def labels(self) -> tuple[str, str]:
        """Source and part."""
        return (self.source.label, self.part.name)

    def oldest(self, database: Database, now: float) -> float:
        """The time before which what the part read is stale: three intervals in force, at least ``stale_after``."""
        if now < self.off_until:
            return float("inf")
        interval = self.spending.interval or self.spending.every
        return now - max(3 * interval, database.stale_after)

    def samples(self, database: Database) -> Iterator[Sample]:
        """The part's own series; these never go stale."""
        if self.success is None:
            return
        labels = (database.name, *self.labels)
        yield Sample(names.COLLECTION_SUCCESS, labels, int(self.success))
        if self.succeeded is not None:
            yield Sample(names.COLLECTION_TIMESTAMP, labels, self.succeeded)
        yield Sample(names.COLLECTION_INTERVAL, labels, self.spending.interval)
        yield Sample(names.COLLECTION_SECONDS, labels, self.seconds)
        yield Sample(names.COLLECTIONS, labels, self.runs)
        for reason, count in sorted(self.errors.items()):
            yield Sample(names.COLLECTION_ERRORS, (*labels, reason), count)


def track(source: Source, database: Database, known: Iterable[Tracked] = ()) -> list[Tracked]:
    """The wanted parts of a source: those known go on with their records, the others have none as yet."""
    kept = {tracked.part.name: tracked for tracked in known if tracked.source is source}
    return [
        kept.get(part.name) or Tracked(source, part, Spending(part.every(database), part.cheap, part.feeds_rates))
        for part in source.parts
        if part.wanted(database)
    ]


def backoff(failures: int, longest: float) -> float:
    """Seconds to wait after so many failures in a row: doubling from one second, with jitter, up to ``longest``."""
    return float(min(longest, 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0))  # noqa: S311  # not a secret
