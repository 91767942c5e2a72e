"""Counting pgmq's jobs by state: bounded passes over the queues that changed, and over each when its turn comes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ..errors import SourceError
from .batches import allowance, read_batches
from .pgmq_counts import Seen, derive
from .pgmq_selects import HeadRow, counted_by_key, counts_select, first_id, table_of
from .postgres import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Database
    from ..model import Fault
    from .access import Access
    from .pgmq_queue import Queue
    from .postgres import Session

#: Every queue is counted at least once in so many runs, changed or not.
_TURNS: Final = 10


class Counting:
    """Which queues to count, and their numbers. Shares with the probes what may be asked."""

    def __init__(self, access: Access[Queue]) -> None:
        self._access = access
        self._runs = 0
        self._everything = False

    def recount(self) -> None:
        """Count every queue in the next run."""
        self._everything = True

    def read(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """Jobs by state, leases, and the first by id."""
        self._runs += 1
        self._call_up(queues, session.now)
        wall, at = time.time(), time.monotonic()
        faults = self._access.denied(queues)
        due: list[Queue] = []
        for queue in self._access.readable(queues, lambda queue: queue.counted_at):
            if queue.count_due:
                due.append(queue)
            else:
                queue.counted_at, queue.collected = at, wall
        by_key = {queue.tables.listed.queue: counted_by_key(queue, database.count_limit) for queue in due}
        until = allowance(database)
        rows = read_batches(
            session,
            due,
            lambda queue: counts_select(queue, database, by_key=by_key[queue.tables.listed.queue]),
            Seen,
            self._access.failing(faults),
            until,
        )
        by_name = {queue.tables.listed.queue: queue for queue in due}
        for row in rows:
            queue = by_name[row.queue]
            self._access.answered(queue)
            believed = queue.tables.queue.rows()
            counted = derive(row, limit=database.count_limit, rows=believed, by_key=by_key[row.queue])
            head_known = counted.unready_head is not None
            if not head_known and time.monotonic() < until:
                head = self._head(session, database, queue, faults)
                counted, head_known = counted._replace(unready_head=head), head is not None
            queue.take_count(counted)
            queue.counted_at, queue.collected, queue.count_due = at, wall, not head_known
        return faults + self._access.not_reached(due)

    def _call_up(self, queues: Sequence[Queue], now: float) -> None:
        """Mark who is to be counted; who cannot be now stays marked."""
        everything, self._everything = self._everything, False
        for place, queue in enumerate(queues):
            next_ready = queue.counted.next_ready if queue.counted else None
            if (
                everything
                or (place + self._runs) % _TURNS == 0
                or queue.counted is None
                or queue.signature() != queue.counted_signature
                or (next_ready is not None and next_ready <= now)
            ):
                queue.count_due = True

    def _head(self, session: Session, database: Database, queue: Queue, faults: list[Fault]) -> int | None:
        """The unready head, longer than the first look: up to the counting limit, ending at the first ready job."""
        limit = database.count_limit
        of = queue.tables.listed.queue
        select = statement("pgmq_head_length", queue=of, table=table_of(queue), id_from=first_id(queue), cap=limit + 1)
        try:
            found = session.read(select, HeadRow)
        except SourceError as error:
            if error.reason == "connection":
                raise
            self._access.failing(faults)(queue, error)
            return None
        return min(limit, found[0].jobs) if found else limit
