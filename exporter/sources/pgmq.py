"""pgmq: queues as tables ``q_<name>``, archives as ``a_<name>``.

A cycle reads the statistics of all tables (no locks), the sequences, and two index probes a queue; only queues in
which something changed, whose next job became ready, or whose turn it is are counted, with bounded passes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .. import names
from ..errors import SourceError
from .batches import allowance
from .fence import SLACK
from .pgmq_counters import count, read_sequences
from .pgmq_counting import Counting
from .pgmq_examine import examine, indexes
from .pgmq_finished import Finished
from .pgmq_head import Head
from .pgmq_queue import Queue, queue_access
from .pgmq_samples import samples
from .pgmq_selects import TABLES
from .pgmq_tables import Listed, Shape, Tables, assemble
from .pgmq_tenants import Reading
from .postgres import identifier, statement
from .relations import Relation, oids, read_relations
from .source import Part
from .tenancy import Tenancy
from .tenant_rules import tenants_outdated
from .vouching import vouch

if TYPE_CHECKING:
    from ..config import Database
    from ..model import Fault, Sample
    from .findings import Finding, Found, Index
    from .outcomes import Outcomes
    from .postgres import Session
    from .source import Moment
    from .tenancy import Tenancy

#: Catalogue facts that no statistic shows the change of (indexes, columns) are read again after so many seconds.
_REDISCOVER: Final = 60.0

#: The counters of a dropped queue are remembered for so long, in seconds: made again, it continues from them.
_REMEMBERED: Final = 3600.0


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
        #: Which database and schema the memories are of.
        self._identity: object = None
        #: The tables there at the last look, and its clock (the server's); None before the first.
        self._known: set[int] | None = None
        self._looked = 0.0
        self._started = 0.0
        self._access = queue_access()
        self._head = Head(self._access)
        self._counting = Counting(self._access)
        self._finished = Finished()
        self._tenants = Reading(self._access)

    @property
    def parts(self) -> tuple[Part, ...]:
        """Statistics first: the other parts ask only where something changed."""
        return (
            Part(names.COUNTERS, self.read_counters, _interval, cheap=True, feeds_rates=True),
            Part(names.HEAD, self.read_head, _interval, cheap=True),
            Part(names.COUNTS, self.read_counts, _interval),
            Part(names.FINISHED, self.read_finished, _interval, feeds_rates=True),
            Part(names.TENANTS, self.read_tenants, lambda database: 2 * database.interval, wanted=self._has_tenants),
            Part(names.FULL_LOOK, self.read_full_look, lambda database: database.full_look_every),
        )

    def recount(self) -> None:
        """Count every queue in the next collection, from the beginning."""
        self._counting.recount()
        self._access.clear()
        self._finished.access.clear()
        for queue in self.queues.values():
            queue.recount()

    def tenancies(self) -> Iterator[Outcomes]:
        """For the ceiling on the page."""
        return (queue.tenancy for queue in self.queues.values() if queue.tenancy is not None)

    def examine(self, session: Session, database: Database) -> tuple[Found, list[Finding]]:
        """For `check`."""
        return examine(self, session, database)

    def indexes(self, session: Session, _database: Database) -> list[Index]:
        """For `sql indexes`."""
        return indexes(self, session)

    def reconnected(self) -> None:
        """Edges and fences held for the former server's transactions."""
        self._access.clear()
        self._finished.reconnected()
        for queue in self.queues.values():
            queue.forget_edges()

    def samples(self, database: Database, moment: Moment) -> Iterator[Sample]:
        """Everything known and fresh."""
        return samples(self, database, moment)

    # --- counters: what Postgres counts by itself ------------------------------------------------------------

    def read_counters(self, session: Session, database: Database) -> list[Fault]:
        """Statistics of all tables, which queues there are, and the sequences."""
        until = allowance(database)
        relations = read_relations(session, database.pgmq.schema_name, TABLES, "pgmq_relations")
        now = session.now
        self._recognise((session.identity, database.pgmq.schema_name), now)
        relids = {relation.relid for relation in relations}
        self._access.keep(relids)
        self._finished.access.keep(relids)
        if self._access.doubtful or self._finished.access.doubtful:
            self._layout = frozenset()
        self._discover(session, database, relations)
        tables, shared = assemble(
            database.pgmq.schema_name,
            (entry for entry in self._listed if database.queues.selects(entry.queue)),
            relations,
            self._shapes,
        )
        self.shared = tuple(shared)
        born = frozenset(relids - self._known) if self._known is not None else frozenset()
        if self._known is None:
            self._started = now - SLACK
        self._take_tables(tables, born, now, database)
        self._known, self._looked = relids, now
        last_ids, faults = read_sequences(session, self._present(), self._access, until)
        at = time.monotonic()
        for queue in self._present():
            count(queue, born, last_ids, now)
            queue.counters_at = at
        return faults

    def _recognise(self, identity: object, now: float) -> None:
        """Start over, but for the totals, when these tables are another database's or schema's."""
        if self._identity not in (None, identity):
            self._known, self._layout = None, frozenset()
            for queue in self.queues.values():
                queue.start_over(now)
        self._identity = identity

    def _discover(self, session: Session, database: Database, relations: list[Relation]) -> None:
        """Read pgmq's own list again when tables came or went, and now and then."""
        layout = frozenset((relation.relid, relation.name) for relation in relations)
        if layout == self._layout and time.monotonic() - self._discovered_at < _REDISCOVER:
            return
        schema, enabled = database.pgmq.schema_name, database.pgmq.enabled
        self.present = None
        try:
            self.present = vouch(session, schema, "pgmq", enabled, "pgmq_queues")
            queues = statement("pgmq_queues", meta=identifier(schema, "meta"))
            self._listed = session.read(queues, Listed) if self.present else []
        except SourceError as error:
            if error.reason != "missing":
                raise
            self._listed, self.present = [], False
            if enabled is True:
                raise
        roots = [relation.relid for relation in relations if relation.parent is None]
        self._shapes = {
            shape.relid: shape for shape in session.read(statement("pgmq_shapes", relids=oids(roots)), Shape)
        }
        self._layout, self._discovered_at = layout, time.monotonic()

    def _take_tables(self, found: dict[str, Tables], born: frozenset[int], now: float, database: Database) -> None:
        at = time.monotonic()
        for name, tables in found.items():
            queue = self.queues.get(name)
            if queue is None:
                since = now - SLACK
                if tables.queue.root.relid in born:
                    # What was archived since it was made, by transactions that began before that.
                    since = max(self._started, self._looked - database.settle_max_writing)
                queue = self.queues[name] = Queue(tables, finished_until=since, progress=now)
            elif queue.tables.queue.root.relid != tables.queue.root.relid:
                queue.forget_edges()
                queue.probe = queue.counted = None
                queue.last_id = None
            elif tables.queue.rewritten(queue.tables.queue):
                queue.forget_edges()
            queue.tables, queue.dropped_at = tables, None
            queue.tenancy = Tenancy.of(database.tenants.of(self.label, name), queue.tenancy)
        excluded = {entry.queue for entry in self._listed if not database.queues.selects(entry.queue)}
        for name, queue in list(self.queues.items()):
            if name in found:
                continue
            queue.dropped_at = queue.dropped_at or at
            if at - queue.dropped_at > _REMEMBERED or name in excluded:
                del self.queues[name]

    def _present(self) -> list[Queue]:
        return [queue for queue in self.queues.values() if queue.dropped_at is None and self.present is not None]

    # --- head: the oldest jobs, by index probes --------------------------------------------------------------

    def read_head(self, session: Session, database: Database) -> list[Fault]:
        """The longest-ready job and the lowest id of every queue."""
        queues = self._present()
        changed = any(queue.signature() != queue.counted_signature for queue in queues)
        waiting = any(queue.settling.waiting or queue.archive_changed is not None for queue in queues)
        if changed or waiting:
            self._finished.look(session, database, queues)
        return self._head.read(session, database, queues)

    # --- counts, full look, finished ---------------------------------------------------------------------------

    def read_counts(self, session: Session, database: Database) -> list[Fault]:
        """Jobs by state, leases, and the first by id, of the queues that changed or whose turn it is."""
        return self._counting.read(session, database, self._present())

    def read_full_look(self, session: Session, database: Database) -> list[Fault]:
        """The probes without edges: finds jobs that were moved back before an edge."""
        return self._head.full_look(session, database, self._present())

    def read_finished(self, session: Session, database: Database) -> list[Fault]:
        """Run (and wait) times of jobs archived since the last run, up to what is settled."""
        queues = []
        for queue in self._present():
            if not database.described_by_job_table(self.label, queue.tables.listed.queue):
                queues.append(queue)
            elif self._finished.fence.settled is not None:
                # A job table tells what became of its jobs; should it cease to, reading goes on from there.
                queue.finished_until, queue.archive_changed = self._finished.fence.settled, None
        outdated = tenants_outdated(session, database, "pgmq_finished_tenants", self.label)
        return outdated or self._finished.read(session, database, queues)

    def read_tenants(self, session: Session, database: Database) -> list[Fault]:
        """Shares and ages of the tenants of queues that changed."""
        outdated = tenants_outdated(session, database, "pgmq_tenants_all", self.label)
        return outdated or self._tenants.read(session, database, self._present())

    def tenancy(self, queue: str) -> Tenancy | None:
        """What is remembered of a queue's tenants."""
        return self.queues[queue].tenancy if queue in self.queues else None

    def _has_tenants(self, database: Database) -> bool:
        return database.tenants.concern(self.label)


def _interval(database: Database) -> float:
    return database.interval
