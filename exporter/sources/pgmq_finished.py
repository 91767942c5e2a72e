"""pgmq's archived jobs, each read once: how long they ran, and waited."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from .. import names
from ..tenants import OTHER, label
from .batches import allowance, read_batches
from .distributions import add
from .fence import SLACK, Settling, Transactions
from .locks import look
from .pgmq_queue import Mark, archive_access
from .pgmq_selects import FinishedRow, finished_select
from .slices import Slice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Database
    from ..errors import SourceError
    from ..model import Fault
    from .pgmq_queue import Queue
    from .postgres import Session
    from .tenancy import Tenancy

#: The server's times come back in microseconds.
_ROUNDING: Final = 0.001


class Finished:
    """Reads the archives behind the fence, slice by slice."""

    def __init__(self) -> None:
        self.access = archive_access()
        #: Until when all that was archived is visible, on the server's clock.
        self.fence: Settling[float] = Settling()
        self.slice = Slice()
        self._transactions = Transactions()

    def reconnected(self) -> None:
        """The fence was held for the former server's transactions."""
        self._transactions, self.fence = Transactions(), Settling()
        self.access.clear()

    def look(self, session: Session, database: Database, queues: Sequence[Queue]) -> None:
        """See who is open, and with it what is settled."""
        if session.server.standby:
            # A standby does not know the primary's transactions: what is old enough counts as settled.
            self.fence.settled = session.now - database.settle_seconds
            return
        relids = [relid for queue in queues for relid in queue.tables.queue.relids]
        clock = look(session, database, self._transactions, relids)
        self.fence.offer(clock - SLACK, self._transactions.waited_for())
        for queue in queues:
            writers = self._transactions.writers_to(queue.tables.queue.relids, database.settle_max)
            # A visibility time is drawn a moment before its transaction asks for the table's lock.
            queue.settling.offer(Mark(clock - SLACK, queue.last_id), writers)

    def read(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """Run (and wait) times of jobs archived since the last run, up to what is settled."""
        faults = self.access.denied(queues)
        settled = self.fence.settled
        if settled is None:
            return faults
        at = time.monotonic()
        due = self._due(queues, settled, at)
        slow = False
        leave_out = self.access.failing(faults)

        def failed(queue: Queue, error: SourceError) -> None:
            nonlocal slow
            if error.reason == "timeout":
                slow = True
                faults.append(self.access.fault_of(queue, error))  # the next slice is half as long
            else:
                leave_out(queue, error)

        rows = read_batches(
            session,
            due,
            lambda queue: finished_select(queue, database, settled, self.slice.seconds),
            FinishedRow,
            failed,
            allowance(database),
        )
        by_name = {queue.tables.listed.queue: queue for queue in due}
        for row in rows:
            queue = by_name[row.queue]
            self.access.answered(queue)
            if queue.tenancy is None:
                queue.run = add(queue.run, row.run_buckets, row.runs, row.run_seconds)
                queue.wait = add(queue.wait, row.wait_buckets, row.waits, row.wait_seconds)
            queue.finished_until, queue.finished_at = row.until, at
            if queue.archive_changed is not None and queue.finished_until >= queue.archive_changed:
                queue.archive_changed = None
        for queue in due:
            if queue.tenancy is not None:
                _add_by_tenant(queue, queue.tenancy, [row for row in rows if row.queue == queue.tables.listed.queue])
        self.slice.learn(slow=slow, whole=any(row.until < settled - _ROUNDING for row in rows))
        return faults + self.access.not_reached(due)

    def _due(self, queues: Sequence[Queue], settled: float, at: float) -> list[Queue]:
        """The queues whose archives moved; the others are as fresh as if they had been read."""
        due = []
        for queue in self.access.readable(queues, lambda queue: queue.finished_at):
            archive = queue.tables.archive
            if archive is None or not archive.timed:
                continue
            if queue.archive_changed is None or settled <= queue.finished_until:
                queue.finished_at = at
            else:
                due.append(queue)
        return due


def _add_by_tenant(queue: Queue, tenancy: Tenancy, rows: Sequence[FinishedRow]) -> None:
    """Add archived jobs to the labels that their tenants have now; all of one slice at once."""
    in_name = tenancy.rule.queue_name is not None
    steps: Counter[str] = Counter()
    for row in rows:
        name = label(tenancy.rule.in_name(queue.tables.listed.queue) if in_name else row.tenant)
        name = name if row.named else OTHER
        steps[name] += row.jobs
        tenancy.time(names.ARCHIVED, name, row.run_buckets, row.runs, row.run_seconds)
        tenancy.time_wait(name, row.wait_buckets, row.waits, row.wait_seconds)
    if rows:
        tenancy.add({names.ARCHIVED: steps}, {}, time.monotonic())
