"""What is remembered of one queue of a job table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .. import names
from ..model import Distribution
from ..tenants import OTHER, label
from .distributions import add, empty
from .jobtable_selects import FINISHED, OUTCOMES, TIMED, FinishedRow
from .outcomes import Outcomes


@dataclass(slots=True)
class Recorded:
    """One queue's counters and histograms since the exporter's start."""

    #: When a row of it was last read (monotonic).
    seen_at: float
    enqueued: int = 0
    retried: int = 0
    finished: Counter[str] = field(default_factory=Counter)
    run: dict[str, Distribution] = field(default_factory=dict)
    wait: Distribution = field(default_factory=empty)
    #: Whether the source that the queue belongs to has shown it.
    shown: bool = False
    #: The same by tenant; None where the queue has no tenants.
    by_tenant: Outcomes | None = None
    #: The tenant of all its jobs as a label, where it is in the queue's name.
    in_name: str | None = None
    #: Whether who is shown is decided here; else by the queue's own source.
    decides: bool = True

    def take(self, rows: Sequence[FinishedRow]) -> None:
        """Add jobs that ended; all of one window at once. Those of which nobody knows how they ended are left out."""
        known = [row for row in rows if row.outcome in OUTCOMES]
        for row in known:
            self._add(row)
        if self.by_tenant is not None:
            self._add_by_tenant(self.by_tenant, known)

    def _add(self, row: FinishedRow) -> None:
        self.retried += row.retries
        if row.outcome in FINISHED:
            self.finished[row.outcome] += row.jobs
        if row.outcome in TIMED:
            outcome = _timed_as(row.outcome)
            so_far = self.run.get(outcome, empty())
            self.run[outcome] = add(so_far, row.run_buckets, row.runs, row.run_seconds)
            self.wait = add(self.wait, row.wait_buckets, row.waits, row.wait_seconds)

    def _add_by_tenant(self, outcomes: Outcomes, rows: Sequence[FinishedRow]) -> None:
        """Add them to the labels that their tenants have now."""
        finished: dict[str, Counter[str]] = {}
        retried: Counter[str] = Counter()
        for row in rows:
            name = self.in_name or (label(row.tenant) if row.named else OTHER)
            retried[name] += row.retries
            if row.outcome in FINISHED:
                finished.setdefault(row.outcome, Counter())[name] += row.jobs
            if row.outcome in TIMED:
                outcomes.time(_timed_as(row.outcome), name, row.run_buckets, row.runs, row.run_seconds)
                outcomes.time_wait(name, row.wait_buckets, row.waits, row.wait_seconds)
        outcomes.add(finished, retried, time.monotonic())


def _timed_as(outcome: str) -> str:
    """A dead letter is a job that failed."""
    return names.FAILED if outcome == names.DEAD_LETTERED else outcome
