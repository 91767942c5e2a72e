"""What is remembered of one queue of a job table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .. import names
from ..model import Distribution
from .distributions import add, empty
from .jobtable_selects import FINISHED, OUTCOMES, TIMED, FinishedRow


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

    def take(self, row: FinishedRow) -> bool:
        """Add jobs that ended in one way; False when nobody knows that way."""
        if row.outcome not in OUTCOMES:
            return False
        self.retried += row.retries
        if row.outcome in FINISHED:
            self.finished[row.outcome] += row.jobs
        if row.outcome in TIMED:
            # A dead letter is a job that failed.
            outcome = names.FAILED if row.outcome == names.DEAD_LETTERED else row.outcome
            so_far = self.run.get(outcome, empty())
            self.run[outcome] = add(so_far, row.run_buckets, row.runs, row.run_seconds)
            self.wait = add(self.wait, row.wait_buckets, row.waits, row.wait_seconds)
        return True
