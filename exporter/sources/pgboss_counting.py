"""Counting pg-boss's jobs by state: bounded passes over the queues that may have changed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .batches import allowance, read_batches
from .pgboss_queue import Counted, access
from .pgboss_selects import counts_select, groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Database
    from ..model import Fault
    from .pgboss_queue import Queue
    from .postgres import Session

#: Every queue is counted at least once in so many runs, changed or not.
_TURNS: Final = 10


class Counting:
    """Which queues to count, and their numbers."""

    def __init__(self) -> None:
        self.access = access()
        self._runs = 0
        self._everything = False

    def recount(self) -> None:
        """Count every queue in the next run."""
        self._everything = True
        self.access.clear()

    def read(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """Jobs by state, as far as an index tells; the other states come from a scan or from pg-boss's counters."""
        self._runs += 1
        now, wall, at = session.now, time.time(), time.monotonic()
        beginning = self._call_up(queues, now)
        found = groups(queues)
        faults = self.access.denied(found)
        due: list[Queue] = []
        for group in self.access.readable(found, lambda _group: None):
            for queue in group.queues:
                if not queue.table.counted:
                    continue
                if queue.count_due:
                    due.append(queue)
                else:
                    queue.counted_at, queue.collected = at, wall
                    queue.seen_quiet(now, leases=queue.table.live is not None)
        # Together with those whose turn comes at about the same time.
        due.sort(key=lambda queue: queue.counted_at or float("-inf"))
        asked = self.access.readable(groups(due), lambda group: group.oldest(lambda queue: queue.counted_at))
        by_name = {queue.listed.queue: (group, queue) for group in asked for queue in group.queues}
        rows = read_batches(
            session,
            asked,
            lambda group: counts_select(group, database.count_limit, beginning),
            Counted,
            self.access.failing(faults),
            allowance(database),
        )
        for row in rows:
            group, queue = by_name[row.queue]
            self.access.answered(group)
            queue.take_counted(row, now)
            queue.counted_at, queue.collected, queue.count_due = at, wall, False
        return faults + self.access.not_reached(asked)

    def _call_up(self, queues: Sequence[Queue], now: float) -> set[str]:
        """Mark who is to be counted; who cannot be now stays marked. Gives those whose turn it is.

        These are counted from the beginning: also jobs that came to stand before the probes' edge.
        """
        everything, self._everything = self._everything, False
        beginning: set[str] = set()
        for place, queue in enumerate(queues):
            counted = queue.counted
            if everything or (place + self._runs) % _TURNS == 0:
                beginning.add(queue.listed.queue)
            if (
                queue.listed.queue in beginning
                or counted is None
                or queue.signature() != queue.counted_signature
                or any(when is not None and when <= now for when in (counted.next_ready, counted.next_expiry))
            ):
                queue.count_due = True
        return beginning
