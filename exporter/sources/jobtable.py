"""A job table: a table or view of the product's own that records jobs, as the configuration describes it.

Rows are read once each, by the time at which they finished, window by window behind the fence, and only aggregates
cross the wire. What it shows carries the source and the queue that the table describes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import names
from ..errors import SourceError
from ..model import Fault
from .fence import SLACK, Settling, Transactions
from .jobtable_definition import Definition, define, told
from .jobtable_examine import examine, indexes
from .jobtable_queue import Recorded
from .jobtable_samples import samples
from .jobtable_selects import (
    MOST_GROUPS,
    MOST_QUEUES,
    OUTCOMES,
    EnqueuedRow,
    FinishedRow,
    Window,
    enqueued_select,
    seen_select,
)
from .jobtable_tenants import Whose
from .locks import look
from .postgres import statement
from .relations import oids
from .slices import Slice
from .source import Part

if TYPE_CHECKING:
    from ..config import Database
    from ..config import JobTable as Described
    from ..model import Sample
    from .findings import Finding, Found, Index
    from .outcomes import Outcomes
    from .postgres import Session
    from .source import Moment

#: The table is compared with the configuration again after so many seconds; one that failed is not asked before.
_REDEFINE: Final = 60.0

#: A window is read at least this often, in seconds, whatever the statistics say: they come late, or a view hides them.
_LEAST_OFTEN: Final = 60.0

#: A queue without a row for so long is forgotten, in seconds.
_REMEMBERED: Final = 86_400.0

#: What was odd in the rows is told for so long, in seconds.
_TOLD: Final = 600.0

_TOO_MANY: Final = f"more than {MOST_QUEUES:,} queues: those beyond are not counted"


class _Statistics(NamedTuple):
    """A row of ``jobtable_statistics.sql``."""

    now: float
    tables: int
    changes: int


class JobTable:
    """One job table of the configuration, by its name."""

    def __init__(self, name: str, label: str) -> None:
        self.name = name
        #: The value of the label ``source`` of its collections.
        self.label = label
        #: It keeps its memory by its name, whatever else of its description changes.
        self.identity = label
        self.queues: dict[str, Recorded] = {}
        #: What was found of it, None before the first look and when it cannot be read.
        self.definition: Definition | None = None
        self.read_at: float | None = None
        #: Whether row-level security hides rows, of the table or of what it is joined with; and when that was seen.
        self.hides: tuple[bool, float] | None = None
        self._failed: SourceError | None = None
        self._defined_at = float("-inf")
        self._described: Described | None = None
        self._unseen = True
        self._unseen_fault: Fault | None = None
        self._transactions = Transactions()
        self._settling: Settling[float] = Settling()
        #: Rows up to this time (the server's clock) are read, or older than the exporter.
        self._until: float | None = None
        self._signature: object = None
        self._changed: float | None = None
        self._window_at = float("-inf")
        self._slice = Slice()
        self._odd: dict[str, float] = {}
        self.whose = Whose()

    @property
    def parts(self) -> tuple[Part, ...]:
        """One part: what finished."""
        return (Part(names.FINISHED, self.read_finished, lambda database: database.interval, feeds_rates=True),)

    def reconnected(self) -> None:
        """Fences and statistics were another server's."""
        self._transactions, self._settling = Transactions(), Settling()
        self._signature = None
        self._defined_at = float("-inf")

    def recount(self) -> None:
        """Look at the table again, and read at once."""
        self._defined_at = self._window_at = float("-inf")

    def examine(self, _session: Session, database: Database) -> tuple[Found, list[Finding]]:
        """For `check`."""
        return examine(self, self._table(database))

    def indexes(self, session: Session, database: Database) -> list[Index]:
        """For `sql indexes`."""
        return indexes(self._table(database), session)

    def tenancies(self) -> Iterator[Outcomes]:
        """For the ceiling on the page."""
        return (queue.by_tenant for queue in self.queues.values() if queue.by_tenant is not None)

    def samples(self, database: Database, moment: Moment) -> Iterator[Sample]:
        """Everything known and fresh."""
        return samples(self, self._table(database), database, moment)

    # --- finished: each row once, by the time at which it finished ----------------------------------------------

    def read_finished(self, session: Session, database: Database) -> list[Fault]:
        """Jobs that finished since the last run, up to what is settled."""
        try:
            faults = self._read(session, database)
        except SourceError as error:
            if error.reason == "hidden":
                self.hides, self.read_at = (True, time.monotonic()), None
            raise
        found = self.definition.faults if self.definition is not None else ()
        self.hides = any(fault.reason == "hidden" for fault in found), time.monotonic()
        self.whose.choose(self.queues.values(), database)
        # One that says all: the log has one line a part.
        return [Fault("", faults[0].reason, "; ".join(fault.detail for fault in faults))] if faults else []

    def _read(self, session: Session, database: Database) -> list[Fault]:
        table = self._table(database)
        if self._until is None:
            self._until = session.now - SLACK - table.lag
        definition = self._define(session, database, table)
        faults = self._standing_faults(definition)
        self._see_changes(session, definition)
        at = time.monotonic()
        if self._changed is None and at - self._window_at < _LEAST_OFTEN:
            self.read_at = at
            return faults
        settled = self._settled(session, database)
        if settled is None or settled - table.lag <= self._until:
            self.read_at = at
            return faults
        window = Window(self._until, min(settled - table.lag, self._until + self._slice.seconds))
        try:
            self._read_window(session, database, definition, window)
        except SourceError as error:
            if error.reason == "timeout":
                # The next window is half as long.
                self._slice.learn(slow=True, whole=False)
                return [Fault("", error.reason, told(table, error.detail)), *faults]
            raise self._fails(table, error) from None
        self._slice.learn(slow=False, whole=window.until < settled - table.lag)
        self._until, self.read_at = window.until, at
        if window.until >= settled - table.lag:
            self._window_at = at
        if self._changed is not None and self._until >= self._changed:
            self._changed = None
        return self._standing_faults(definition)

    def _table(self, database: Database) -> Described:
        return next(table for table in database.job_tables if table.name == self.name)

    def _define(self, session: Session, database: Database, table: Described) -> Definition:
        """What is known of the table, asked anew when that is old or the configuration changed. Raises SourceError."""
        at = time.monotonic()
        if table == self._described and at - self._defined_at < _REDEFINE:
            if self._failed is not None:
                raise self._failed
            if self.definition is not None:
                return self.definition
        if table != self._described or self.definition is None:
            self._unseen = True
        self._described, self._defined_at = table, at
        try:
            self.definition = define(session, table)
        except SourceError as error:
            if error.reason == "connection":
                self._defined_at = float("-inf")
            elif error.reason not in ("lock", "timeout") or self._unseen:
                self.definition, self._failed = None, error
            raise
        self._failed = None
        if self._unseen:
            self._see_queues(session, database, self.definition)
        self._forget(at, database, table)
        return self.definition

    def _fails(self, table: Described, error: SourceError) -> SourceError:
        """A read failed: why, unless it passes by itself, the next look at the table says better."""
        if error.reason == "connection":
            return error
        known = SourceError(error.reason, told(table, f"{table.table}: {error.detail}"), sqlstate=error.sqlstate)
        if error.reason == "missing":
            self._defined_at, self.definition = float("-inf"), None
        elif error.reason != "lock":
            self._failed, self._defined_at = known, time.monotonic()
        return known

    def _see_queues(self, session: Session, database: Database, definition: Definition) -> None:
        """Learn queues from rows that are there, so that their counters start at 0, and that rows can be read."""
        table, at = definition.table, time.monotonic()
        self._unseen_fault = None
        try:
            rows = session.read(seen_select(table, definition.types, session.now), FinishedRow, by_index=True)
        except SourceError as error:
            if error.reason == "connection":
                raise
            self._unseen_fault = Fault("", error.reason, told(table, f"{table.table}: {error.detail}"))
            rows = []
        self._unseen = self._unseen_fault is not None
        for queue in (*table.named_queues, *sorted({row.queue for row in rows})):
            self._queue(database, table, queue, at)

    def _standing_faults(self, definition: Definition) -> list[Fault]:
        at = time.monotonic()
        self._odd = {detail: since for detail, since in self._odd.items() if at - since < _TOLD}
        odd = [Fault("", "other", told(definition.table, detail)) for detail in self._odd]
        return [*([self._unseen_fault] if self._unseen_fault else ()), *definition.faults, *odd]

    def _see_changes(self, session: Session, definition: Definition) -> None:
        """Ask the statistics whether rows came; without statistics they may have."""
        if definition.counted is None:
            self._changed = session.now
            return
        row = session.read(statement("jobtable_statistics", relids=oids(list(definition.counted))), _Statistics)[0]
        session.set_clock(row.now)
        if row[1:] != self._signature:
            self._signature, self._changed = row[1:], row.now

    def _settled(self, session: Session, database: Database) -> float | None:
        """Until when everything that was stamped is visible (the server's clock)."""
        if session.server.standby:
            # A standby does not know the primary's transactions: what is old enough counts as settled.
            return session.now - database.settle_seconds
        clock = look(session, database, self._transactions, [])
        self._settling.offer(clock - SLACK, self._transactions.waited_for())
        return self._settling.settled

    def _read_window(self, session: Session, database: Database, definition: Definition, window: Window) -> None:
        table, types, at = definition.table, definition.types, time.monotonic()
        arrived: list[EnqueuedRow] = []
        if table.alone and table.enqueued is not None and not definition.no_arrivals:
            arrived = session.read(enqueued_select(table, types, window), EnqueuedRow, by_index=True)
        rows, why = self.whose.read(session, database, definition, window, self.queues)
        by_queue: dict[str, list[FinishedRow]] = {}
        for row in rows:
            by_queue.setdefault(row.queue, []).append(row)
            if row.outcome not in OUTCOMES:
                self._odd[f"outcome: expected one of {', '.join(OUTCOMES)}; found {row.outcome[:40]!r}"] = at
        if why:
            self._odd[why] = at
        if (len(rows) >= MOST_GROUPS and len(by_queue) >= MOST_QUEUES) or len(arrived) >= MOST_QUEUES:
            self._odd[_TOO_MANY] = at
        for arrival in arrived:
            recorded = self._queue(database, table, arrival.queue, at)
            if recorded is not None:
                recorded.enqueued += arrival.jobs
        for queue, found in by_queue.items():
            recorded = self._queue(database, table, queue, at)
            if recorded is not None:
                recorded.take(found)

    def _queue(self, database: Database, table: Described, name: str, at: float) -> Recorded | None:
        """The memory of a queue; None of one that the table does not describe, or that is one too many."""
        if database.job_table_of(table.queue_source, name) != table or not database.queues.selects(name):
            return None
        recorded = self.queues.get(name)
        if recorded is None:
            if len(self.queues) >= MOST_QUEUES:
                self._odd[_TOO_MANY] = at
                return None
            recorded = self.queues[name] = Recorded(at)
        recorded.seen_at = at
        self.whose.take(recorded, database, table, name)
        return recorded

    def know(self, database: Database, name: str) -> None:
        """A queue is there, by its own source: what the table describes of it is at least 0."""
        self._queue(database, self._table(database), name, time.monotonic())

    def _forget(self, at: float, database: Database, table: Described) -> None:
        for name, recorded in list(self.queues.items()):
            described = database.job_table_of(table.queue_source, name) == table and database.queues.selects(name)
            if not described or (at - recorded.seen_at > _REMEMBERED and name not in table.named_queues):
                del self.queues[name]
