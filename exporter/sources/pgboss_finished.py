"""What was created and what ended in pg-boss's queues, each job read once.

A window of time behind the fence, by index, where this version has one. Elsewhere one scan of the table, which also
counts the unfinished jobs by state on its way.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .batches import allowance, read_batches
from .fence import SLACK, Settling, Transactions
from .locks import look
from .pgboss_ended import Ended
from .pgboss_ended_selects import ended_select
from .pgboss_outcomes import add_by_tenant
from .pgboss_queue import access
from .pgboss_selects import Group, groups
from .slices import Slice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config import Database
    from ..errors import SourceError
    from ..model import Fault
    from .pgboss_queue import Queue
    from .pgboss_reads import Read
    from .postgres import Session

#: A table is read at least this often, in seconds, whatever its statistics say: an idle session's come late, or never.
_LEAST_OFTEN: Final = 60.0


class Finished:
    """Reads the tables of jobs behind the fence, slice by slice."""

    def __init__(self) -> None:
        self.access = access()
        #: Until when all that was stamped is visible, on the server's clock.
        self.fence: Settling[float] = Settling()
        self.slice = Slice()
        self._transactions = Transactions()
        self._everything = False

    def recount(self) -> None:
        """Read every table in the next run."""
        self._everything = True
        self.access.clear()

    def reconnected(self) -> None:
        """The fence was held for the former server's transactions."""
        self._transactions, self.fence = Transactions(), Settling()
        self.access.clear()

    def look(self, session: Session, database: Database, parent: int, reads: Mapping[int, Read]) -> None:
        """See who is open, and with it what is settled. ``reads`` by relation id, ``parent``: that of ``job``."""
        if session.server.standby:
            # A standby does not know the primary's transactions: what is old enough counts as settled.
            self.fence.settled = session.now - database.settle_seconds
            return
        clock = look(session, database, self._transactions, [parent, *reads])
        self.fence.offer(clock - SLACK, self._transactions.waited_for())
        for relid, read in reads.items():
            read.settling.offer(clock - SLACK, self._transactions.writers_to((relid, parent), database.settle_max))

    def read(self, session: Session, database: Database, queues: Sequence[Queue], listed: float) -> list[Fault]:
        """Arrivals, outcomes, waits and runs since the last run, up to what is settled.

        ``listed``: when pg-boss's list of queues was read (the server's clock). What came later may be of a queue
        that is not known yet.
        """
        everything, self._everything = self._everything, False
        # A table's queues stay together: how far it has been read is one time for all of them.
        found = groups(queues, together=None)
        faults = self.access.denied(found)
        settled = min(self.fence.settled, listed) if self.fence.settled is not None else float("-inf")
        at, now = time.monotonic(), session.now
        due: list[Group] = []
        until: dict[int, float] = {}
        for group in self.access.readable(found, lambda group: group.read.read_at):
            read = group.read
            behind = everything or read.changed is not None or at - read.read_at >= _LEAST_OFTEN
            if _due(group, settled, now, behind=behind):
                reach = min(settled, read.until + self.slice.seconds) if group.table.windowed else settled
                until[group.table.relid] = max(read.until, reach)
                due.append(group)
            else:
                _unchanged(group, at, now, waiting=behind)
        slow = False
        leave_out = self.access.failing(faults)

        def failed(group: Group, error: SourceError) -> None:
            nonlocal slow
            if error.reason == "timeout" and group.table.windowed:
                slow = True
                faults.append(self.access.fault_of(group, error))  # the next slice is half as long
            else:
                leave_out(group, error)

        allowed = allowance(database)
        rows: list[Ended] = []
        for windowed in (True, False):
            rows += read_batches(
                session,
                [group for group in due if group.table.windowed is windowed],
                lambda group: ended_select(group, group.read.until, until[group.table.relid]),
                Ended,
                failed,
                allowed,
                by_index=windowed,
            )
        by_name: dict[str, list[Ended]] = {}
        for row in rows:
            by_name.setdefault(row.queue, []).append(row)
        whole = False
        for group in due:
            if all(queue.listed.queue in by_name for queue in group.queues):
                self.access.answered(group)
                _take(group, by_name, until[group.table.relid], now, at)
                whole = whole or (group.table.windowed and group.read.until < settled)
        self.slice.learn(slow=slow, whole=whole)
        return faults + self.access.not_reached(due)


def _due(group: Group, settled: float, now: float, *, behind: bool) -> bool:
    read = group.read
    if group.table.windowed:
        return behind and settled > read.until
    # The states that it counts are those of now, however long a transaction keeps the fence back.
    return behind or (read.next_expiry is not None and read.next_expiry <= now)


def _unchanged(group: Group, at: float, now: float, *, waiting: bool) -> None:
    for queue in group.queues:
        queue.finished_at = at
        queue.scanned_at = at if queue.scanned is not None else None
        if not waiting:
            queue.seen_quiet(now, leases=True)


def _take(group: Group, rows: dict[str, list[Ended]], until: float, now: float, at: float) -> None:
    """Take a table's rows; one that failed or was not reached is not taken, and the same slice is read again."""
    read: Read = group.read
    expiries: list[float] = []
    for queue in group.queues:
        found = rows[queue.listed.queue]
        add_by_tenant(queue, found)
        queue.take_ended(found, now, at, scanned=not group.table.windowed)
        expiries += [row.next_expiry for row in found if row.next_expiry is not None]
    read.until, read.read_at = until, at
    read.next_expiry = min(expiries, default=None)
    if read.changed is not None and read.until >= read.changed:
        read.changed = None
