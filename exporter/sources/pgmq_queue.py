"""What is remembered of one queue between collections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..model import Distribution
from .access import Access
from .distributions import empty
from .fence import SLACK, Settling
from .pgmq_counts import Counted
from .pgmq_tables import Tables
from .steps import Steps
from .tenancy import Tenancy

#: A found time is a rounded float: an edge is kept this far before it, in seconds.
_ROUNDING = 0.001


class Mark(NamedTuple):
    """What had been drawn at a look: the server's clock, and the last id of the sequence (None where unreadable)."""

    clock: float
    last_id: int | None


class Probe(NamedTuple):
    """A row of ``pgmq_head_by_vt.sql`` or ``pgmq_head_by_key.sql``; times are epoch seconds of the server."""

    queue: str
    oldest_ready: float | None
    head_id: int | None
    head_enqueued: float | None


@dataclass(slots=True)
class Queue:
    """One queue's memory. Times named ``*_at`` are the exporter's monotonic clock, others the server's."""

    tables: Tables
    #: Older archived rows are never read.
    finished_until: float
    enqueued: int = 0
    #: Ids drawn from the sequence, and inserts: `enqueued` grows by the steps of the one in charge.
    drawn: Steps = field(default_factory=lambda: Steps(restarts=False))
    inserted: Steps = field(default_factory=lambda: Steps(restarts=True))
    dequeued: Steps = field(default_factory=lambda: Steps(restarts=True))
    removed: Steps = field(default_factory=lambda: Steps(restarts=True))
    archived: Steps = field(default_factory=lambda: Steps(restarts=True))
    completed: int = 0
    run: Distribution = field(default_factory=empty)
    wait: Distribution = field(default_factory=empty)
    #: Where probes start; None from the beginning.
    ready_from: float | None = None
    id_from: int | None = None
    settling: Settling[Mark] = field(default_factory=Settling)
    last_id: int | None = None
    probe: Probe | None = None
    counted: Counted | None = None
    counted_signature: object = None
    count_due: bool = False
    archive_changed: float | None = None
    archive_signature: object = None
    progress: float = 0.0
    counters_at: float | None = None
    probed_at: float | None = None
    counted_at: float | None = None
    finished_at: float | None = None
    full_look_at: float | None = None
    #: None where no tenants are configured.
    tenancy: Tenancy | None = None
    #: Wall clock of the last time it was counted or found unchanged.
    collected: float | None = None
    dropped_at: float | None = None

    def signature(self) -> tuple[object, ...]:
        """Changes when a job may have: what statistics, the sequence and the probes show."""
        table = self.tables.queue
        return (
            tuple((leaf.relid, leaf.filenode, leaf.inserted, leaf.updated, leaf.deleted) for leaf in table.leaves),
            self.last_id,
            self.probe and self.probe[1:],
        )

    def oldest_ready(self) -> float | None:
        """When the longest-ready job became ready: by the probe, or by a count that saw one further back."""
        by_vt = self.probe is not None and self.tables.queue.probed_by_vt
        found = [self.probe.oldest_ready] if self.probe is not None and by_vt else []
        if self.counted is not None and (not by_vt or self.counted_signature == self.signature()):
            found.append(self.counted.oldest_ready)
        oldest = min((time for time in found if time is not None), default=None)
        # Sent with '-infinity' as its time, it is ready since it was sent: not longer than the oldest job is there.
        return self.oldest_enqueued() if oldest == float("-inf") else oldest

    def oldest_enqueued(self) -> float | None:
        """When the oldest unfinished job was enqueued: the lowest id's, or an older one among the first by id."""
        if self.probe is None or self.probe.head_id is None:
            return None
        first = self.probe.head_enqueued
        if self.counted is not None and self.counted_signature == self.signature():
            first = self.counted.oldest_enqueued
        return first

    def take_probe(self, probe: Probe) -> None:
        """Remember the probe and move the edges up to what is known to be settled."""
        self.probe = probe
        mark = self.settling.settled
        if mark is None:
            return
        self.ready_from = min(mark.clock, _or_inf(probe.oldest_ready)) - _ROUNDING
        if mark.last_id is not None:
            self.id_from = min(mark.last_id + 1, _or_max(probe.head_id))

    def take_count(self, counted: Counted) -> None:
        """Remember the numbers; a ready job that a pass by id saw before the probes' edge moves it back."""
        self.counted, self.counted_signature = counted, self.signature()
        if self.ready_from is not None and counted.oldest_ready is not None:
            self.ready_from = min(self.ready_from, counted.oldest_ready - _ROUNDING)

    def start_over(self, now: float) -> None:
        """The tables are another database's: nothing but the totals stays. ``now`` is that server's clock."""
        for steps in (self.drawn, self.inserted, self.dequeued, self.removed, self.archived):
            steps.forget()
        self.forget_edges()
        self.probe = self.counted = self.last_id = self.archive_changed = self.archive_signature = None
        self.finished_until, self.progress = now - SLACK, now

    def forget_edges(self) -> None:
        """Start probes from the beginning again."""
        self.ready_from = self.id_from = None
        self.settling = Settling()
        self.counted_signature = None

    def recount(self) -> None:
        """Count from the beginning, and look at the tenants, also where nothing changed."""
        self.forget_edges()
        if self.tenancy is not None:
            self.tenancy.signature = None


def _or_inf(value: float | None) -> float:
    return float("inf") if value is None else value


def _or_max(value: int | None) -> int:
    return 2**63 - 1 if value is None else value


def queue_access() -> Access[Queue]:
    """What is asked of the queues' own tables."""
    return Access(lambda queue: queue.tables.queue.root, _name)


def archive_access() -> Access[Queue]:
    """What is asked of their archives."""
    return Access(lambda queue: queue.tables.archive.root if queue.tables.archive is not None else None, _name)


def _name(queue: Queue) -> str:
    return queue.tables.listed.queue
