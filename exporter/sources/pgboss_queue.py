"""What is remembered of one pg-boss queue between collections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import names
from ..model import Distribution
from .access import Access
from .distributions import add, cumulative, empty
from .pgboss_ended import Ended, Unfinished, least, unfinished
from .pgboss_reads import Read
from .pgboss_tables import JobTable, Listed
from .tenancy import Tenancy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .pgboss_selects import Group

#: A table that is locked is asked again after so many seconds at first: it holds many queues, and pg-boss locks it
#: itself, briefly, to make a queue with a table of its own.
_LOCKED: Final = 5.0

#: A found time is a rounded float: an edge is kept this far before it, in seconds.
_ROUNDING: Final = 0.001


class Probe(NamedTuple):
    """A row of ``pgboss_head_*.sql``; times are epoch seconds of the server."""

    queue: str
    oldest_ready: float | None


class Counted(NamedTuple):
    """A row of ``pgboss_counts_*.sql``; what the index does not tell is None and comes from a scan."""

    queue: str
    ready: int
    scheduled: int
    oldest_ready: float | None
    next_ready: float | None
    oldest_queued: float | None
    blocked: int | None
    failed: int | None
    active: int | None
    oldest_started: float | None
    newest_started: float | None
    oldest_active: float | None
    expired: int | None
    next_expiry: float | None
    newest_ended: float | None


@dataclass(slots=True)
class Queue:
    """One queue's memory. Times named ``*_at`` are the exporter's monotonic clock, others the server's."""

    listed: Listed
    table: JobTable
    read: Read
    enqueued: int = 0
    finished: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((names.COMPLETED, names.FAILED, names.DEAD_LETTERED, names.CANCELLED), 0)
    )
    retried: int = 0
    run: dict[str, Distribution] = field(default_factory=lambda: {names.COMPLETED: empty(), names.FAILED: empty()})
    wait: Distribution = field(default_factory=empty)
    #: Where probes start; None from the beginning.
    ready_from: float | None = None
    probe: Probe | None = None
    counted: Counted | None = None
    counted_signature: object = None
    count_due: bool = False
    #: Counted by the last scan: from there come the states that no index tells.
    scanned: Unfinished | None = None
    #: When a dequeue or an end was last seen, and until when it would have been.
    progress: float = 0.0
    watched: float | None = None
    listed_at: float | None = None
    probed_at: float | None = None
    counted_at: float | None = None
    scanned_at: float | None = None
    finished_at: float | None = None
    #: None where no tenants are configured.
    tenancy: Tenancy | None = None
    #: Whether a job table tells what became of its jobs.
    described: bool = False
    #: Wall clock of the last time it was counted or found unchanged.
    collected: float | None = None
    dropped_at: float | None = None

    @property
    def divided(self) -> bool:
        """Whether jobs that ended are read by tenant: where these stand in the jobs, and the numbers are shown."""
        return self.tenancy is not None and self.tenancy.rule.queue_name is None and not self.described

    def signature(self) -> tuple[object, ...]:
        """Changes when a job may have: what statistics and the probe show."""
        return (self.table.statistics(), self.probe)

    def take_probe(self, probe: Probe) -> None:
        """Remember the probe and move the edge up to what is known to be settled (the server's clock)."""
        self.probe = probe
        settled = self.read.settling.settled
        if settled is not None:
            found = float("inf") if probe.oldest_ready is None else probe.oldest_ready
            self.ready_from = min(settled, found) - _ROUNDING

    def take_counted(self, counted: Counted, now: float) -> None:
        """Remember the counts."""
        before, self.counted, self.counted_signature = self.counted, counted, self.signature()
        if counted.active is not None:
            moved = before is not None and _moved(before, counted)
            self._watch(now, moved=moved)

    def seen_quiet(self, now: float, *, leases: bool) -> None:
        """Take that nothing has changed; ``leases``: by a look that would have seen a dequeue."""
        if leases:
            self._watch(now, moved=False)

    def _watch(self, now: float, *, moved: bool) -> None:
        self.watched = now
        if moved:
            self.progress = now

    def take_ended(self, ended: Sequence[Ended], now: float, at: float, *, scanned: bool) -> None:
        """Add what was created and ended in a slice, and remember the states that a scan counted."""
        for row in ended:
            self.enqueued += row.enqueued
            if row.outcome is not None:
                self._take_outcome(row.outcome, row)
        moved = any(row.outcome is not None for row in ended)
        if scanned:
            before, self.scanned, self.scanned_at = self.scanned, unfinished(ended), at
            moved = moved or (before is not None and _moved(before, self.scanned))
        self._watch(now, moved=moved)
        self.finished_at = at

    def _take_outcome(self, outcome: str, row: Ended) -> None:
        self.finished[outcome] += row.jobs
        self.retried += row.retried
        if outcome == names.CANCELLED:
            return  # whether it ever ran, and when it stopped, is not known
        if row.run_within is not None:
            run, buckets = ran_as(outcome), cumulative(row.run_within, row.jobs)
            self.run[run] = add(self.run[run], buckets, row.jobs, row.run_seconds)
        if row.wait_within is not None:
            self.wait = add(self.wait, cumulative(row.wait_within, row.jobs), row.jobs, row.wait_seconds)

    def oldest_ready(self) -> float | None:
        """When the longest-ready job became ready; found by counting where no index leads to it."""
        if not self.table.probed:
            return self.counted.oldest_ready if self.counted is not None else None
        probe = self.probe.oldest_ready if self.probe is not None else None
        if self.counted is not None and self.counted_signature == self.signature():
            return least(probe, self.counted.oldest_ready)
        return probe

    def has_jobs(self) -> bool:
        """Whether a job is known to be ready or in flight."""
        active = self.counted.active if self.counted is not None else None
        if active is None and self.scanned is not None:
            active = self.scanned.active
        ready = self.counted.ready if self.counted is not None else 0
        return bool(ready or active)

    def start_over(self) -> None:
        """Its table is another one: nothing but the totals stays."""
        self.forget_edges()
        self.probe = self.counted = self.scanned = None

    def forget_edges(self) -> None:
        """Start probes from the beginning again."""
        self.ready_from = None
        self.counted_signature = None

    def recount(self) -> None:
        """Count from the beginning, and look at the tenants, also where nothing changed."""
        self.forget_edges()
        if self.tenancy is not None:
            self.tenancy.signature = None


def ran_as(outcome: str) -> str:
    """Under which outcome a run time shows."""
    return names.COMPLETED if outcome == names.COMPLETED else names.FAILED


def access() -> Access[Group]:
    """What is asked of the tables of jobs."""
    return Access(lambda group: group.table.relation, lambda group: group.about, locked=_LOCKED)


def _moved(before: Counted | Unfinished, after: Counted | Unfinished) -> bool:
    """Whether a job was dequeued or ended in between."""
    pairs = ((before.newest_started, after.newest_started), (before.newest_ended, after.newest_ended))
    return any(new is not None and (old is None or new > old) for old, new in pairs)
