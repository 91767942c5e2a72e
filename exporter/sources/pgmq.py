"""pgmq: queues as tables ``q_<name>``, archives as ``a_<name>``.

A cycle reads the statistics of all tables (no locks), the sequences, and two index probes a queue; only queues in
which something changed, whose next job became ready, or whose turn it is are counted, with bounded passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .. import names
from ..errors import SourceError
from ..model import Fault
from .batches import LeftOut, read_batches
from .distributions import add
from .fence import SLACK, Settling, Transactions
from .locks import look
from .pgmq_counts import FIRST, Counted, Seen, derive
from .pgmq_examine import examine, indexes
from .pgmq_queue import Mark, Probe, Queue
from .pgmq_samples import samples
from .pgmq_selects import (
    FinishedRow,
    HeadRow,
    SequenceRow,
    counted_by_key,
    counts_select,
    finished_select,
    first_id,
    head_select,
    sequences_select,
    table_of,
)
from .pgmq_tables import Listed, Shape, Tables, assemble
from .postgres import identifier, raw, statement
from .relations import Relation, oids, read_relations
from .source import Part

if TYPE_CHECKING:
    from ..config import Database
    from ..model import Sample
    from .findings import Finding, Found, Index
    from .postgres import Session
    from .source import Moment

#: What may be a queue, an archive or a partition of one.
_TABLES: Final = raw(r"c.relname like 'q\_%' or c.relname like 'a\_%'")

#: Every queue is counted at least once in so many cycles, changed or not.
_TURNS: Final = 10

#: Catalogue facts that no statistic shows the change of (indexes, columns) are read again after so many seconds.
_REDISCOVER: Final = 60.0

#: The counters of a dropped queue are remembered for so long, in seconds: made again, it continues from them.
_REMEMBERED: Final = 3600.0

#: A slice of archive read at once, in seconds: at the start, at least, at most.
_SLICE: Final = 300.0
_SLICE_LEAST: Final = 1.0
_SLICE_MOST: Final = 3600.0


class Pgmq:
    """The queues of one pgmq schema."""

    label = "pgmq"
    identity = "pgmq"

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        #: Queues that share another one's tables (names that differ in capitals only), by name.
        self.shared: tuple[str, ...] = ()
        #: Whether pgmq was found in the database; None before the first look.
        self.present: bool | None = None
        self._listed: list[Listed] = []
        self._shapes: dict[int, Shape] = {}
        self._layout: frozenset[tuple[int, str]] = frozenset()
        self._discovered_at = float("-inf")
        self._known: set[int] | None = None
        self._transactions = Transactions()
        self._finished: Settling[float] = Settling()
        self._started: float | None = None
        self._left_out = LeftOut()
        self._left_out_archives = LeftOut()
        self._slice = _SLICE
        self._cycle = 0
        self._everything = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """Statistics first: the other parts ask only where something changed."""
        return (
            Part(names.COUNTERS, self.read_counters, _interval, cheap=True, feeds_rates=True),
            Part(names.HEAD, self.read_head, _interval, cheap=True),
            Part(names.COUNTS, self.read_counts, _interval),
            Part(names.FINISHED, self.read_finished, _interval, feeds_rates=True),
            Part(names.FULL_LOOK, self.read_full_look, lambda database: database.full_look_every),
        )

    def recount(self) -> None:
        """Count every queue in the next collection, from the beginning."""
        self._everything = True
        self._left_out.clear()
        self._left_out_archives.clear()
        for queue in self.queues.values():
            queue.forget_edges()

    def examine(self, session: Session, database: Database) -> tuple[Found, list[Finding]]:
        """For `check`."""
        return examine(self, session, database)

    def indexes(self, session: Session, _database: Database) -> list[Index]:
        """For `sql indexes`."""
        return indexes(self, session)

    def reconnected(self) -> None:
        """Edges and fences held for the former server's transactions."""
        self._transactions = Transactions()
        self._finished = Settling()
        self._left_out.clear()
        self._left_out_archives.clear()
        for queue in self.queues.values():
            queue.forget_edges()

    def samples(self, database: Database, moment: Moment) -> Iterator[Sample]:
        """Everything known and fresh."""
        return samples(self, database, moment)

    # --- counters: what Postgres counts by itself ------------------------------------------------------------

    def read_counters(self, session: Session, database: Database) -> list[Fault]:
        """Statistics of all tables, which queues there are, and the sequences."""
        relations = read_relations(session, database.pgmq.schema_name, _TABLES)
        self._discover(session, database, relations)
        tables, shared = assemble(
            database.pgmq.schema_name,
            (entry for entry in self._listed if database.queues.selects(entry.queue)),
            relations,
            self._shapes,
        )
        self.shared = tuple(shared)
        relids = {relation.relid for relation in relations}
        born = frozenset(relids - self._known) if self._known is not None else frozenset()
        self._known = relids
        now = session.now
        if self._started is None:
            self._started = now - SLACK
        self._take_tables(tables, now)
        self._left_out.keep(relids)
        self._left_out_archives.keep(relids)
        faults = self._read_sequences(session, born)
        at = time.monotonic()
        for queue in self._present():
            self._count_statistics(queue, born, now)
            queue.counters_at = at
        return faults

    def _discover(self, session: Session, database: Database, relations: list[Relation]) -> None:
        """Read pgmq's own list again when tables came or went, and now and then."""
        layout = frozenset((relation.relid, relation.name) for relation in relations)
        if layout == self._layout and time.monotonic() - self._discovered_at < _REDISCOVER:
            return
        schema = database.pgmq.schema_name
        try:
            self._listed = session.read(statement("pgmq_queues", meta=identifier(schema, "meta")), Listed)
            self.present = True
        except SourceError as error:
            if error.reason != "missing":
                raise
            self._listed, self.present = [], False
            if database.pgmq.enabled is True:
                raise
        roots = [relation.relid for relation in relations if relation.parent is None]
        self._shapes = {
            shape.relid: shape for shape in session.read(statement("pgmq_shapes", relids=oids(roots)), Shape)
        }
        self._layout, self._discovered_at = layout, time.monotonic()

    def _take_tables(self, found: dict[str, Tables], now: float) -> None:
        at = time.monotonic()
        for name, tables in found.items():
            queue = self.queues.get(name)
            if queue is None:
                queue = self.queues[name] = Queue(tables, finished_until=self._started or now, progress=now)
            elif queue.tables.queue.root.relid != tables.queue.root.relid:
                queue.forget_edges()
                queue.probe = queue.counted = None
                queue.last_id = None
            elif queue.tables.queue.filenodes != tables.queue.filenodes:
                queue.forget_edges()
                queue.progress = now  # purged: what was there is gone
            queue.tables, queue.dropped_at = tables, None
        for name, queue in list(self.queues.items()):
            if name in found:
                continue
            queue.dropped_at = queue.dropped_at or at
            if at - queue.dropped_at > _REMEMBERED:
                del self.queues[name]

    def _present(self) -> list[Queue]:
        return [queue for queue in self.queues.values() if queue.dropped_at is None]

    def _read_sequences(self, session: Session, born: frozenset[int]) -> list[Fault]:
        """The last id of every queue; a sequence that fails alone (locked, dropped) is asked alone."""
        owners = {queue.tables.queue.shape.sequence: queue for queue in self._present()}
        owners.pop(None, None)
        sequences = [sequence for sequence in owners if sequence is not None]
        if not sequences:
            return []
        faults: list[Fault] = []
        rows: list[SequenceRow] = []
        try:
            rows = session.read(sequences_select(sequences), SequenceRow)
        except SourceError as error:
            if error.reason == "connection":
                raise
            for sequence in sequences:
                try:
                    rows += session.read(sequences_select([sequence]), SequenceRow)
                except SourceError as alone:
                    if alone.reason == "connection":
                        raise
                    if alone.reason != "missing":
                        faults.append(_fault(owners[sequence], alone))
        for sequence, last_value in rows:
            queue = owners[sequence]
            queue.last_id = last_value
            if last_value is not None:
                new = queue.tables.queue.root.relid in born
                queue.enqueued.advance({sequence: last_value}, frozenset((sequence,)) if new else frozenset())
        return faults

    def _count_statistics(self, queue: Queue, born: frozenset[int], now: float) -> None:
        leaves = queue.tables.queue.leaves
        if queue.last_id is None:
            # Without the right to the sequence, arrivals are the inserts that statistics know of.
            step = queue.enqueued_by_statistics.advance({leaf.relid: leaf.inserted for leaf in leaves}, born)
            queue.enqueued.total += step
        moved = queue.dequeued.advance({leaf.relid: leaf.updated for leaf in leaves}, born)
        moved += queue.removed.advance({leaf.relid: leaf.deleted for leaf in leaves}, born)
        archive = queue.tables.archive
        if archive is not None:
            moved += queue.archived.advance({leaf.relid: leaf.inserted for leaf in archive.leaves}, born)
            signature = tuple((leaf.relid, leaf.inserted) for leaf in archive.leaves)
            if archive.timed and signature != queue.archive_signature:
                queue.archive_signature, queue.archive_changed = signature, now
        # Both statistics are flushed separately: their difference is right in the end, and only steps upwards.
        queue.completed = max(queue.completed, queue.removed.total - queue.archived.total)
        if moved:
            queue.progress = now

    # --- head: the oldest jobs, by index probes --------------------------------------------------------------

    def read_head(self, session: Session, database: Database) -> list[Fault]:
        """The longest-ready job and the lowest id of every queue."""
        self._cycle += 1
        changed = any(queue.signature() != queue.counted_signature for queue in self._present())
        waiting = any(queue.settling.waiting for queue in self._present())
        if changed or waiting or any(queue.archive_changed is not None for queue in self._present()):
            self._look(session, database)
        faults = self._deny(self._left_out)
        queues = self._readable(self._left_out)
        for row in read_batches(session, queues, head_select, Probe, self._failing(self._left_out, faults)):
            queue = self.queues[row.queue]
            queue.take_probe(row)
            queue.probed_at = time.monotonic()
        return faults

    def _look(self, session: Session, database: Database) -> None:
        """See who is open, and with it what is settled."""
        queues = self._present()
        if session.server.standby:
            # A standby does not know the primary's transactions: what is old enough counts as settled.
            self._finished.settled = session.now - database.settle_seconds
            return
        relids = [relid for queue in queues for relid in queue.tables.queue.relids]
        clock = look(session, database, self._transactions, relids)
        self._finished.offer(clock - SLACK, self._transactions.waited_for())
        for queue in queues:
            writers = self._transactions.writers_to(queue.tables.queue.relids, database.settle_max)
            queue.settling.offer(Mark(clock, queue.last_id), writers)

    # --- counts: bounded passes over the queues that changed ---------------------------------------------------

    def read_counts(self, session: Session, database: Database) -> list[Fault]:
        """Jobs by state, leases, and the first by id."""
        everything, self._everything = self._everything, False
        now = session.now
        wall, at = time.time(), time.monotonic()
        due: list[Queue] = []
        for place, queue in enumerate(self._readable(self._left_out)):
            unchanged = queue.counted is not None and queue.signature() == queue.counted_signature
            next_ready = queue.counted.next_ready if queue.counted else None
            turn = (place + self._cycle) % _TURNS == 0
            if everything or turn or not unchanged or (next_ready is not None and next_ready <= now):
                due.append(queue)
            else:
                queue.counted_at, queue.collected = at, wall
        faults = self._deny(self._left_out)
        by_key = {queue.tables.listed.queue: counted_by_key(queue, database.count_limit) for queue in due}
        rows = read_batches(
            session,
            due,
            lambda queue: counts_select(queue, database, by_key=by_key[queue.tables.listed.queue]),
            Seen,
            self._failing(self._left_out, faults),
        )
        for row in rows:
            queue = self.queues[row.queue]
            rows_believed = queue.tables.queue.rows()
            counted = derive(row, limit=database.count_limit, rows=rows_believed, by_key=by_key[row.queue])
            if counted.unready_head is None:
                counted = self._count_head(session, database, queue, counted, faults)
            queue.counted, queue.counted_signature = counted, queue.signature()
            queue.counted_at, queue.collected = at, wall
        return faults

    def _count_head(
        self, session: Session, database: Database, queue: Queue, counted: Counted, faults: list[Fault]
    ) -> Counted:
        """The unready head, longer than the first look: up to the counting limit, ending at the first ready job."""
        limit = database.count_limit
        try:
            found = session.read(
                statement("pgmq_head_length", table=table_of(queue), id_from=first_id(queue), cap=limit + 1), HeadRow
            )
        except SourceError as error:
            if error.reason == "connection":
                raise
            self._failing(self._left_out, faults)(queue, error)
            return counted._replace(unready_head=FIRST)
        return counted._replace(unready_head=min(limit, found[0].jobs) if found else limit)

    # --- full look: from the beginning, so that no edge is trusted for long ------------------------------------

    def read_full_look(self, session: Session, _database: Database) -> list[Fault]:
        """The probes without edges: finds jobs that were moved back before an edge."""
        faults: list[Fault] = []
        queues = [
            queue
            for queue in self._readable(self._left_out)
            if queue.ready_from is not None or queue.id_from is not None
        ]

        def failed(queue: Queue, error: SourceError) -> None:
            if error.reason != "missing":  # dropped a moment ago: the next look at the catalogue knows
                faults.append(_fault(queue, error))

        beginning = {queue.tables.listed.queue: replace(queue, ready_from=None, id_from=None) for queue in queues}
        rows = read_batches(
            session,
            queues,
            lambda queue: head_select(beginning[queue.tables.listed.queue]),
            Probe,
            failed,
        )
        for row in rows:
            self.queues[row.queue].take_probe(row)
        return faults

    # --- finished: archived jobs, each read once ---------------------------------------------------------------

    def read_finished(self, session: Session, database: Database) -> list[Fault]:
        """Run (and wait) times of jobs archived since the last run, up to what is settled."""
        described = {name for name in self.queues if database.described_by_job_table(self.label, name)}
        faults = [fault for fault in self._deny(self._left_out_archives, archives=True) if fault.queue not in described]
        settled = self._finished.settled
        if settled is None:
            return faults
        until: dict[str, float] = {}
        due = []
        at = time.monotonic()
        for queue in self._readable(self._left_out_archives, archives=True):
            archive, name = queue.tables.archive, queue.tables.listed.queue
            if archive is None or not archive.timed:
                continue
            if name in described:
                queue.finished_until, queue.archive_changed = settled, None
                continue
            if queue.archive_changed is None or settled <= queue.finished_until:
                queue.finished_at = at
                continue
            until[name] = min(settled, queue.finished_until + self._slice)
            due.append(queue)
        slow = False

        def failed(queue: Queue, error: SourceError) -> None:
            nonlocal slow
            slow = slow or error.reason == "timeout"
            if error.reason == "timeout":
                faults.append(_fault(queue, error))  # the next slice is half as long
            else:
                self._failing(self._left_out_archives, faults, archives=True)(queue, error)

        rows = read_batches(
            session,
            due,
            lambda queue: finished_select(queue, database, until[queue.tables.listed.queue]),
            FinishedRow,
            failed,
        )
        for row in rows:
            queue = self.queues[row.queue]
            queue.run = add(queue.run, row.run_buckets, row.runs, row.run_seconds)
            queue.wait = add(queue.wait, row.wait_buckets, row.waits, row.wait_seconds)
            queue.finished_until, queue.finished_at = until[row.queue], at
            if queue.archive_changed is not None and queue.finished_until >= queue.archive_changed:
                queue.archive_changed = None
        self._slice = max(_SLICE_LEAST, self._slice / 2) if slow else min(_SLICE_MOST, self._slice * 2)
        return faults

    # --- what may be asked ---------------------------------------------------------------------------------------

    def _readable(self, left_out: LeftOut, *, archives: bool = False) -> list[Queue]:
        return [
            queue
            for queue in self._present()
            if (table := queue.tables.archive if archives else queue.tables.queue)
            and table.root.readable
            and not table.root.hidden
            and left_out.fault(table.root.relid) is None
        ]

    def _deny(self, left_out: LeftOut, *, archives: bool = False) -> list[Fault]:
        """Queues that are not asked now, and why."""
        faults = []
        for queue in self._present():
            table = queue.tables.archive if archives else queue.tables.queue
            if table is None:
                continue
            name = queue.tables.listed.queue
            if table.root.hidden:
                faults.append(Fault(name, "hidden", f"row-level security hides rows of {table.root.name}"))
            elif not table.root.readable:
                faults.append(Fault(name, "privilege", f"the role may not SELECT from {table.root.name}"))
            elif fault := left_out.fault(table.root.relid):
                faults.append(fault)
        return faults

    @staticmethod
    def _failing(
        left_out: LeftOut, faults: list[Fault], *, archives: bool = False
    ) -> Callable[[Queue, SourceError], None]:
        def failed(queue: Queue, error: SourceError) -> None:
            table = queue.tables.archive if archives else queue.tables.queue
            if error.reason == "missing" or table is None:
                return  # dropped a moment ago: the next look at the catalogue knows
            fault = _fault(queue, error)
            left_out.add(table.root.relid, fault)
            faults.append(fault)

        return failed


def _interval(database: Database) -> float:
    return database.interval


def _fault(queue: Queue, error: SourceError) -> Fault:
    return Fault(queue.tables.listed.queue, error.reason, error.detail)
