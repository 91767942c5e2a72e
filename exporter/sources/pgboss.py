"""pg-boss: jobs of all queues in one partitioned table ``job``, queues in ``queue``.

A cycle reads the statistics of the job tables and pg-boss's own list of queues, then one index probe a queue; live
jobs are counted, within bounds, where something may have changed. What was created and what ended is read once, by a
window of time behind the fence: by index where this version has one, else in one scan under the budget.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from .. import names
from ..errors import SourceError
from ..model import Fault
from .batches import LeftOut, allowance, read_batches
from .fence import SLACK, Settling, Transactions
from .locks import look
from .pgboss_examine import examine, indexes
from .pgboss_maintenance import Maintenance
from .pgboss_queue import Counted, Ended, Probe, Queue, Read
from .pgboss_samples import samples
from .pgboss_selects import Group, counts_select, ended_select, groups, head_select, queues_select
from .pgboss_tables import SEND_IT, JobTable, Listed, Schema, Shape
from .pgboss_tenants import Reading
from .postgres import statement
from .relations import Relation, oids, read_relations
from .slices import Slice
from .source import Part

if TYPE_CHECKING:
    from ..config import Database
    from ..model import Sample
    from .findings import Finding, Found, Index
    from .postgres import Session
    from .source import Moment

#: Every queue is counted at least once in so many runs, changed or not.
_TURNS: Final = 10

#: Catalogue facts that no statistic shows the change of (indexes, columns) are read again after so many seconds.
_REDISCOVER: Final = 60.0

#: The counters of a deleted queue are remembered for so long, in seconds: made again, it continues from them.
_REMEMBERED: Final = 3600.0


class PgBoss:
    """The queues of one pg-boss schema."""

    def __init__(self, schema: str, label: str) -> None:
        self.schema_name = schema
        self.label = label
        self.identity = f"pgboss {schema} {label}"
        self.schema = Schema(schema, {}, {})
        self.queues: dict[str, Queue] = {}
        #: Whether pg-boss was found in the schema; None before the first look.
        self.present: bool | None = None
        self.maintenance = Maintenance()
        self._tenants = Reading()
        #: The table that holds pg-boss's own jobs, which forward recurring ones; None before there is any.
        self.forwards: JobTable | None = None
        self._reads: dict[int, Read] = {}
        self._layout: frozenset[tuple[int, str]] = frozenset()
        self._discovered_at = float("-inf")
        self._transactions = Transactions()
        self._finished: Settling[float] = Settling()
        self._started = 0.0
        self._identity: object = None
        #: By part: a scan that takes too long says nothing about the probes.
        self._left_out = {part: LeftOut() for part in (names.HEAD, names.COUNTS, names.FINISHED)}
        self._slice = Slice()
        self._counts = 0
        self._everything = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """Statistics first: the other parts ask only where something changed."""
        return (
            Part(names.COUNTERS, self.read_counters, _interval, cheap=True),
            Part(names.HEAD, self.read_head, _interval, cheap=True),
            Part(names.FINISHED, self.read_finished, _interval, feeds_rates=True),
            Part(names.COUNTS, self.read_counts, _interval),
            Part(names.TENANTS, self.read_tenants, lambda database: 2 * database.interval),
            Part(names.FULL_LOOK, self.read_full_look, lambda database: database.full_look_every),
            Part(names.MAINTENANCE, self.read_maintenance, lambda database: 2 * database.interval),
        )

    def recount(self) -> None:
        """Count every queue in the next collection, from the beginning."""
        self._everything = True
        for left_out in self._left_out.values():
            left_out.clear()
        for queue in self.queues.values():
            queue.forget_edges()

    def reconnected(self) -> None:
        """Edges and fences held for the former server's transactions."""
        self._transactions = Transactions()
        self._finished = Settling()
        for left_out in self._left_out.values():
            left_out.clear()
        self._discovered_at = float("-inf")
        for read in self._reads.values():
            read.settling = Settling()
        for queue in self.queues.values():
            queue.forget_edges()

    def samples(self, database: Database, moment: Moment) -> Iterator[Sample]:
        """Everything known and fresh."""
        return samples(self, database, moment)

    def examine(self, session: Session, database: Database) -> tuple[Found, list[Finding]]:
        """For `check`."""
        return examine(self, session, database)

    def indexes(self, session: Session, _database: Database) -> list[Index]:
        """For `sql indexes`."""
        return indexes(self, session)

    # --- counters: what Postgres counts, and what pg-boss lists ------------------------------------------------

    def read_counters(self, session: Session, database: Database) -> list[Fault]:
        """Statistics of the job tables, and the queues with pg-boss's own cached counters."""
        # A database without pg-boss is asked for it once a minute.
        looked = self.present is False and time.monotonic() - self._discovered_at < _REDISCOVER
        relations = [] if looked else self._read_schema(session)
        if not self.present:
            self._take_queues({})
            if database.pgboss.enabled is True:
                raise SourceError("missing", f"no pg-boss in schema {self.schema_name!r}")
            return []
        try:
            listed = session.read(queues_select(self.schema), Listed)
        except SourceError as error:
            if error.reason == "missing":  # an upgrade under way: what is there is looked up again
                self._discovered_at = float("-inf")
            raise
        now = session.now
        self._recognise(session.identity, now)
        forwards = next((entry for entry in listed if entry.queue == SEND_IT), None)
        self.forwards = self.schema.job_table(forwards) if forwards is not None else None
        found = {
            entry.queue: (entry, table)
            for entry in listed
            if entry.queue != SEND_IT
            and database.queues.selects(entry.queue)
            and (table := self.schema.job_table(entry)) is not None
        }
        self._take_queues(found)
        for left_out in self._left_out.values():
            left_out.keep({relation.relid for relation in relations})
        self._take_statistics(now, {relation.relid for relation in relations}, standby=session.server.standby)
        return []

    def _recognise(self, identity: object, now: float) -> None:
        """Another database has another history: what happened there before we came is not ours to count."""
        if self._identity != identity:
            self._started = now - SLACK
            self._reads.clear()
            for queue in self.queues.values():
                queue.forget_edges()
                queue.probe = queue.counted = queue.scanned = None
        self._identity = identity

    def _read_schema(self, session: Session) -> list[Relation]:
        """The schema's tables; their columns and indexes again when tables came or went, and now and then."""
        which = statement("pgboss_tables", schema=self.schema_name)
        relations = read_relations(session, self.schema_name, which)
        layout = frozenset((relation.relid, relation.name) for relation in relations)
        shapes = self.schema.shapes
        if layout != self._layout or time.monotonic() - self._discovered_at > _REDISCOVER:
            relids = oids([relation.relid for relation in relations])
            rows = session.read(statement("pgboss_shapes", relids=relids), Shape) if relations else []
            shapes = {shape.relid: shape for shape in rows}
            self._layout, self._discovered_at = layout, time.monotonic()
        self.schema = Schema(self.schema_name, {relation.name: relation for relation in relations}, shapes)
        self.present = {"version", "queue", "job"} <= self.schema.relations.keys()
        return relations

    def _take_queues(self, found: dict[str, tuple[Listed, JobTable]]) -> None:
        at = time.monotonic()
        for name, (listed, table) in found.items():
            queue = self.queues.get(name)
            if queue is None:
                queue = self.queues[name] = Queue(listed, table, progress=self._started)
            elif queue.table.relid != table.relid:
                queue.forget_edges()
                queue.probe = queue.counted = queue.scanned = None
            elif queue.table.relation.filenode != table.relation.filenode:
                queue.forget_edges()
            if table.windowed:
                queue.scanned = queue.scanned_at = None  # nothing scans it any more
            queue.listed, queue.table, queue.dropped_at, queue.listed_at = listed, table, None, at
        for name, queue in list(self.queues.items()):
            if name in found:
                continue
            queue.dropped_at = queue.dropped_at or at
            if at - queue.dropped_at > _REMEMBERED:
                del self.queues[name]

    def _present(self) -> list[Queue]:
        return [queue for queue in self.queues.values() if queue.dropped_at is None]

    def _take_statistics(self, now: float, there: set[int], *, standby: bool) -> None:
        """Note which tables moved: only those are read. A standby has no statistics: there, all of them always may."""
        tables = {queue.table.relid: queue.table for queue in self._present()}
        for relid, table in tables.items():
            read = self._reads.get(relid)
            if read is None:
                # A table found later is new, so all that it holds came after the start.
                read = self._reads[relid] = Read(until=self._started, quiet=now)
            archived = table.archive.inserted if table.archive is not None else 0
            signature = (table.statistics(), archived)
            if signature != read.signature or standby:
                read.signature, read.changed = signature, now
            elif read.changed is None:
                read.quiet = now
        # Kept for a queue that is not watched for a while: started over, its jobs would count twice.
        for relid in self._reads.keys() - there:
            del self._reads[relid]

    # --- head: the longest-ready job, by index probes ------------------------------------------------------------

    def read_head(self, session: Session, database: Database) -> list[Fault]:
        """The longest-ready job of every queue."""
        if not self.queues:
            return []
        moving = any(read.changed is not None or read.settling.waiting for read in self._reads.values())
        if moving or self._everything:
            self._look(session, database)
        faults = self._deny(names.HEAD)
        probed = [queue for queue in self._readable(names.HEAD) if queue.table.probed]
        failed = self._failing(names.HEAD, faults)
        for row in read_batches(session, groups(probed), head_select, Probe, failed, allowance(database)):
            queue = self.queues[row.queue]
            self._left_out[names.HEAD].answered(queue.table.relid)
            queue.take_probe(row, self._reads[queue.table.relid].settling.settled)
            queue.probed_at = time.monotonic()
        return faults

    def _look(self, session: Session, database: Database) -> None:
        """See who is open, and with it what is settled."""
        if session.server.standby:
            # A standby does not know the primary's transactions: what is old enough counts as settled.
            self._finished.settled = session.now - database.settle_seconds
            return
        parent = self.schema.relations["job"].relid
        relids = [parent, *self._reads]
        clock = look(session, database, self._transactions, relids)
        self._finished.offer(clock - SLACK, self._transactions.waited_for())
        for relid, read in self._reads.items():
            read.settling.offer(clock - SLACK, self._transactions.writers_to((relid, parent), database.settle_max))

    def read_full_look(self, session: Session, database: Database) -> list[Fault]:
        """The probes without edges: finds jobs that were moved back before an edge."""
        faults: list[Fault] = []
        until = allowance(database)
        readable = self._readable(names.HEAD)
        probed = [queue for queue in readable if queue.table.probed and queue.ready_from is not None]

        def failed(group: Group, error: SourceError) -> None:
            if error.reason != "missing":
                faults.append(_fault(group, error))  # the probes from their edges may well answer

        rows = read_batches(
            session, groups(probed), lambda group: head_select(group, edges=False), Probe, failed, until
        )
        for row in rows:
            queue = self.queues[row.queue]
            queue.take_probe(row, self._reads[queue.table.relid].settling.settled)
        return faults

    # --- finished: what was created and what ended, each job read once -------------------------------------------

    def read_finished(self, session: Session, database: Database) -> list[Fault]:
        """Arrivals, outcomes, waits and runs since the last run, up to what is settled."""
        faults = self._deny(names.FINISHED)
        settled = self._finished.settled
        at, now = time.monotonic(), session.now
        due: list[Group] = []
        until: dict[int, float] = {}
        for group in groups(self._readable(names.FINISHED)):
            relid = group.table.relid
            read = self._reads[relid]
            behind = read.changed is not None or self._everything
            expired = not group.table.windowed and read.next_expiry is not None and read.next_expiry <= now
            fenced = settled is None or settled <= read.until
            if (fenced and group.table.windowed) or not (behind or expired):
                for queue in group.queues:
                    queue.finished_at = at
                    queue.scanned_at = at if queue.scanned is not None else None
                continue
            # The states that a scan counts wait for no fence: then its window is empty.
            end = max(read.until, settled) if settled is not None else read.until
            until[relid] = min(end, read.reach(self._slice.length)) if group.table.windowed else end
            due.append(group)
        slow = False

        def failed(group: Group, error: SourceError) -> None:
            nonlocal slow
            slow = slow or error.reason == "timeout"
            if error.reason == "timeout" and group.table.windowed:
                self._reads[group.table.relid].quiet = float("-inf")
                faults.append(_fault(group, error))  # the next slice is half as long
            else:
                self._failing(names.FINISHED, faults)(group, error)

        rows = read_batches(
            session,
            due,
            lambda group: ended_select(group, self._reads[group.table.relid].until, until[group.table.relid]),
            Ended,
            failed,
            allowance(database),
        )
        expected = Counter(dict.fromkeys(until, 0))
        for group in due:
            expected[group.table.relid] += len(group.queues)
        found = Counter(self.queues[row.queue].table.relid for row in rows)
        # A table of many queues is read in several SELECTs: taken whole or not at all, or its window would move on.
        whole = {relid for relid, queues in expected.items() if found[relid] == queues}
        self._take_ended([row for row in rows if self.queues[row.queue].table.relid in whole], until, now, at)
        self._slice.learn(slow=slow, whole=any(settled is not None and end < settled for end in until.values()))
        return faults

    def _take_ended(self, rows: list[Ended], until: dict[int, float], now: float, at: float) -> None:
        """Take the rows; a table without one has failed or was not reached, and the same slice is read again."""
        expiries: dict[int, list[float]] = {}
        for row in rows:
            queue = self.queues[row.queue]
            relid = queue.table.relid
            queue.take_ended(row, now, at, scanned=not queue.table.windowed)
            expiries.setdefault(relid, [])
            if row.next_expiry is not None:
                expiries[relid].append(row.next_expiry)
        for relid, next_expiries in expiries.items():
            self._left_out[names.FINISHED].answered(relid)
            read = self._reads[relid]
            read.until = until[relid]
            read.next_expiry = min(next_expiries, default=None)
            if read.changed is not None and read.until >= read.changed:
                read.changed = None

    # --- counts: bounded passes over the queues that may have changed ---------------------------------------------

    def read_counts(self, session: Session, database: Database) -> list[Fault]:
        """Jobs by state, as far as an index tells; the other states come from a scan or from pg-boss's counters."""
        everything, self._everything = self._everything, False
        everything = everything or session.server.standby
        self._counts += 1
        beginning: set[str] = set()
        now, wall, at = session.now, time.time(), time.monotonic()
        due: list[Queue] = []
        for place, queue in enumerate(self._readable(names.COUNTS)):
            if queue.table.live is None and queue.table.fetch is None and queue.table.order is None:
                continue
            counted = queue.counted
            unchanged = counted is not None and queue.signature() == queue.counted_signature
            passed = counted is not None and any(
                when is not None and when <= now for when in (counted.next_ready, counted.next_expiry)
            )
            turn = (place + self._counts) % _TURNS == 0
            if everything or turn:
                # Also jobs that came to stand before the probes' edge.
                beginning.add(queue.listed.queue)
            if everything or turn or passed or not unchanged:
                due.append(queue)
            else:
                queue.counted_at, queue.collected = at, wall
        faults = self._deny(names.COUNTS)
        rows = read_batches(
            session,
            groups(due),
            lambda group: counts_select(group, database.count_limit, beginning),
            Counted,
            self._failing(names.COUNTS, faults),
            allowance(database),
        )
        for row in rows:
            queue = self.queues[row.queue]
            self._left_out[names.COUNTS].answered(queue.table.relid)
            queue.take_counted(row, now)
            queue.counted_signature = queue.signature()
            queue.counted_at, queue.collected = at, wall
        return faults

    def read_tenants(self, session: Session, database: Database) -> list[Fault]:
        """Shares and ages of the tenants of queues that changed."""
        if not self.present or not database.tenants.from_:
            return []
        return self._tenants.read(session, database, self.label, self._readable(names.COUNTS))

    # --- maintenance: pg-boss's own housekeeping ------------------------------------------------------------------

    def read_maintenance(self, session: Session, database: Database) -> list[Fault]:
        """Housekeeping's times, schedules, warnings and workers."""
        if not self.present:
            return []
        if "warning" in self.schema.relations:
            self._look(session, database)  # warnings come also where no job moves
        return self.maintenance.read(session, database, self)

    @property
    def settled(self) -> float | None:
        """Up to when everything that happened is visible (the server's clock); None while that is not known."""
        return self._finished.settled

    # --- what may be asked ----------------------------------------------------------------------------------------

    def _readable(self, part: str) -> list[Queue]:
        return [
            queue
            for queue in self._present()
            if queue.table.relation.readable
            and not queue.table.relation.hidden
            and self._left_out[part].fault(queue.table.relid) is None
        ]

    def _deny(self, part: str) -> list[Fault]:
        """Tables that are not asked now, and why."""
        faults = []
        for group in groups(self._present()):
            relation, about = group.table.relation, _about(group)
            if relation.hidden:
                faults.append(Fault(about, "hidden", f"row-level security hides rows of {relation.name}"))
            elif not relation.readable:
                faults.append(Fault(about, "privilege", f"the role may not SELECT from {relation.name} itself"))
            elif fault := self._left_out[part].fault(relation.relid):
                faults.append(fault)
        return faults

    def _failing(self, part: str, faults: list[Fault]) -> Callable[[Group, SourceError], None]:
        def failed(group: Group, error: SourceError) -> None:
            if error.reason == "missing":
                # Dropped or upgraded a moment ago: what is there is looked up again.
                self._discovered_at = float("-inf")
            fault = _fault(group, error)
            if self._left_out[part].add(group.table.relid, fault):
                faults.append(fault)

        return failed


def _interval(database: Database) -> float:
    return database.interval


def _about(group: Group) -> str:
    """The queue, where a table holds only one; a shared table is no single queue's fault."""
    return group.queues[0].listed.queue if len(group.queues) == 1 else ""


def _fault(group: Group, error: SourceError) -> Fault:
    return Fault(_about(group), error.reason, error.detail)
