"""pg-boss: jobs of all queues in one partitioned table ``job``, queues in ``queue``.

A cycle reads the statistics of the job tables and pg-boss's own list of queues, then one index probe a queue; live
jobs are counted, within bounds, where something may have changed. What was created and what ended is read once, by a
window of time behind the fence: by index where this version has one, else in one scan under the budget.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .. import names
from ..errors import SourceError
from .fence import SLACK
from .pgboss_counting import Counting
from .pgboss_examine import examine, indexes
from .pgboss_finished import Finished
from .pgboss_head import Head
from .pgboss_listing import queues_select
from .pgboss_maintenance import Maintenance
from .pgboss_queue import Queue
from .pgboss_reads import Read, Reads
from .pgboss_samples import samples
from .pgboss_selects import function_of, groups
from .pgboss_tables import SEND_IT, JobTable, Listed, Schema, Shape
from .pgboss_tenants import Reading
from .postgres import statement
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
        #: The table that holds pg-boss's own jobs, which forward recurring ones; None before there is any.
        self.forwards: JobTable | None = None
        self._reads = Reads()
        self._layout: frozenset[tuple[int, str]] = frozenset()
        self._discovered_at = float("-inf")
        #: Which database the memories are of.
        self._identity: object = None
        #: The tables there at the last look, and its clock (the server's); None before the first.
        self._known: set[int] | None = None
        self._looked = 0.0
        self._started = 0.0
        #: When pg-boss's list of queues was read last (the server's clock).
        self._listed = 0.0
        #: Each with its own record of what failed: a scan that takes too long says nothing about the probes.
        self._head = Head()
        self._counting = Counting()
        self._finished = Finished()
        self._tenants = Reading()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Statistics first: the other parts ask only where something changed."""
        return (
            Part(names.COUNTERS, self.read_counters, _interval, cheap=True),
            Part(names.HEAD, self.read_head, _interval, cheap=True),
            Part(names.FINISHED, self.read_finished, _interval, feeds_rates=True),
            Part(names.COUNTS, self.read_counts, _interval),
            Part(names.TENANTS, self.read_tenants, lambda database: 2 * database.interval, wanted=self._has_tenants),
            Part(names.FULL_LOOK, self.read_full_look, lambda database: database.full_look_every),
            Part(names.MAINTENANCE, self.read_maintenance, lambda database: 2 * database.interval),
        )

    def recount(self) -> None:
        """Count every queue in the next collection, from the beginning."""
        self._head.access.clear()
        self._counting.recount()
        self._finished.recount()
        for queue in self.queues.values():
            queue.recount()

    def reconnected(self) -> None:
        """Edges and fences held for the former server's transactions."""
        self._head.access.clear()
        self._counting.access.clear()
        self._finished.reconnected()
        self._discovered_at = float("-inf")
        for read in self._reads.values():
            read.start_over()
        for queue in self.queues.values():
            queue.forget_edges()

    def samples(self, database: Database, moment: Moment) -> Iterator[Sample]:
        """Everything known and fresh."""
        return samples(self, database, moment)

    def tenancies(self) -> Iterator[Outcomes]:
        """For the ceiling on the page."""
        return (queue.tenancy for queue in self.queues.values() if queue.tenancy is not None)

    def examine(self, session: Session, database: Database) -> tuple[Found, list[Finding]]:
        """For `check`."""
        return examine(self, session, database)

    def indexes(self, session: Session, _database: Database) -> list[Index]:
        """For `sql indexes`."""
        return indexes(self, session)

    @property
    def present_queues(self) -> list[Queue]:
        """Those that pg-boss lists now."""
        return [queue for queue in self.queues.values() if queue.dropped_at is None]

    @property
    def settled(self) -> float | None:
        """Up to when everything that happened is visible (the server's clock); None while that is not known."""
        return self._finished.fence.settled

    # --- counters: what Postgres counts, and what pg-boss lists ------------------------------------------------

    def read_counters(self, session: Session, database: Database) -> list[Fault]:
        """Statistics of the job tables, and the queues with pg-boss's own cached counters."""
        self._recognise(session)
        # A database without pg-boss is asked for it once a minute.
        if self.present is not False or time.monotonic() - self._discovered_at >= _REDISCOVER:
            relids = {relation.relid for relation in self._read_schema(session, database.pgboss.enabled)}
            known, self._known = self._known, relids
            born = relids - known if known is not None else set()
            looked, self._looked = self._looked, session.now
            since = max(self._started, looked - database.settle_max_writing)
        if not self.present:
            self._take_queues({}, set(), 0.0, database)
            self._reads.clear()
            if database.pgboss.enabled is True:
                raise SourceError("missing", f"no pg-boss in schema {self.schema_name!r}")
            return []
        try:
            listed = session.read(queues_select(self.schema), Listed)
        except SourceError as error:
            if error.reason == "missing":  # an upgrade under way: what is there is looked up again
                self._discovered_at = float("-inf")
            self._known = known  # those born are so at the next look as well
            self._looked = looked
            raise
        self._listed = session.now
        forwards = next((entry for entry in listed if entry.queue == SEND_IT), None)
        self.forwards = self.schema.job_table(forwards) if forwards is not None else None
        found = {
            entry.queue: (entry, table)
            for entry in listed
            if entry.queue != SEND_IT
            and database.queues.selects(entry.queue)
            and (table := self.schema.job_table(entry)) is not None
        }
        self._take_queues(found, born, since, database)
        for access in (self._head.access, self._counting.access, self._finished.access):
            access.keep(relids)
            if access.doubtful:
                self._discovered_at = float("-inf")
        tables = {queue.table.relid: queue.table for queue in self.present_queues}
        self._reads.take_statistics(tables, relids, self._listed, standby=session.server.standby)
        return []

    def _recognise(self, session: Session) -> None:
        """Another database has another history: what happened there before we came is not ours to count."""
        if self._identity != session.identity:
            self._started = session.now - SLACK
            self._known, self._layout = None, frozenset()
            self._reads.clear()
            self.maintenance = Maintenance()
            for queue in self.queues.values():
                queue.start_over()
                queue.progress = session.now
        self._identity = session.identity

    def _read_schema(self, session: Session, enabled: object) -> list[Relation]:
        """The schema's tables; their columns and indexes again when tables came or went, and now and then."""
        which = statement("pgboss_tables", schema=self.schema_name)
        relations = read_relations(session, self.schema_name, which, function_of(self.schema_name, "relations"))
        layout = frozenset((relation.relid, relation.name) for relation in relations)
        shapes = self.schema.shapes
        if layout != self._layout or time.monotonic() - self._discovered_at > _REDISCOVER:
            relids = oids([relation.relid for relation in relations])
            present, self.present = self.present, None
            vouch(session, self.schema_name, "pgboss", enabled, function_of(self.schema_name, "queues"))
            self.present = present  # what fails from here on, a lock for one, leaves what is known as it is
            rows = session.read(statement("pgboss_shapes", relids=relids), Shape) if relations else []
            shapes = {shape.relid: shape for shape in rows}
            self._layout, self._discovered_at = layout, time.monotonic()
        self.schema = Schema(self.schema_name, {relation.name: relation for relation in relations}, shapes)
        self.present = {"version", "queue", "job"} <= self.schema.relations.keys()
        return relations

    def _take_queues(
        self, found: dict[str, tuple[Listed, JobTable]], born: set[int], since: float, database: Database
    ) -> None:
        """Take the queues; tables in ``born`` came to be since the last look, all that they hold came ``since``."""
        at = time.monotonic()
        for name, (listed, table) in found.items():
            read = self._reads.get(table.relid)
            if read is None:
                until = since if table.relid in born else self._listed - SLACK
                read = self._reads[table.relid] = Read(until=until)
            queue = self.queues.get(name)
            if queue is None:
                queue = self.queues[name] = Queue(listed, table, read, progress=self._listed)
            elif queue.table.relid != table.relid:
                queue.start_over()
            elif queue.table.relation.filenode != table.relation.filenode:
                queue.forget_edges()
            if table.windowed:
                queue.scanned = queue.scanned_at = None  # nothing scans it any more
            queue.listed, queue.table, queue.read, queue.dropped_at, queue.listed_at = listed, table, read, None, at
            queue.tenancy = Tenancy.of(database.tenants.of(self.label, name), queue.tenancy)
            queue.described = database.described_by_job_table(self.label, name)
        for name, queue in list(self.queues.items()):
            if name in found:
                continue
            queue.dropped_at = queue.dropped_at or at
            if at - queue.dropped_at > _REMEMBERED or not database.queues.selects(name):
                del self.queues[name]

    # --- the parts that look at jobs -------------------------------------------------------------------------------

    def read_head(self, session: Session, database: Database) -> list[Fault]:
        """See who is open; the longest-ready job of every queue."""
        if not self._knows(session):
            return []
        self._finished.look(session, database, self.schema.relations["job"].relid, self._reads)
        return self._head.read(session, database, self.present_queues)

    def read_full_look(self, session: Session, database: Database) -> list[Fault]:
        """The probes without edges: finds jobs that were moved back before an edge."""
        return self._head.full_look(session, database, self.present_queues) if self._knows(session) else []

    def read_finished(self, session: Session, database: Database) -> list[Fault]:
        """Arrivals, outcomes, waits and runs since the last run, up to what is settled."""
        if not self._knows(session):
            return []
        outdated = tenants_outdated(session, database, function_of(self.schema_name, "window_tenants"), "pgboss")
        return outdated or self._finished.read(session, database, self.present_queues, self._listed)

    def read_counts(self, session: Session, database: Database) -> list[Fault]:
        """Jobs by state, as far as an index tells."""
        return self._counting.read(session, database, self.present_queues) if self._knows(session) else []

    def read_tenants(self, session: Session, database: Database) -> list[Fault]:
        """Shares and ages of the tenants of queues that changed."""
        if not self._knows(session):
            return []
        function = function_of(self.schema_name, "tenants_all")
        if outdated := tenants_outdated(session, database, function, "pgboss"):
            return outdated
        readable = self._counting.access.readable(groups(self.present_queues), lambda _group: None)
        queues = [queue for group in readable for queue in group.queues]
        return self._tenants.read(session, database, queues)

    def tenancy(self, queue: str) -> Tenancy | None:
        """What is remembered of a queue's tenants."""
        return self.queues[queue].tenancy if queue in self.queues else None

    def _has_tenants(self, database: Database) -> bool:
        return database.tenants.concern(self.label)

    def read_maintenance(self, session: Session, _database: Database) -> list[Fault]:
        """Housekeeping's times, schedules, warnings and workers."""
        return self.maintenance.read(session, self) if self._knows(session) else []

    def _knows(self, session: Session) -> bool:
        """Whether pg-boss is there, in the database that this session is connected to."""
        return bool(self.present) and self._identity == session.identity


def _interval(database: Database) -> float:
    return database.interval
