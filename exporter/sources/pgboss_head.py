"""The longest-ready job of every pg-boss queue, by index probes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .batches import allowance, read_batches
from .pgboss_queue import Probe, access
from .pgboss_selects import Group, groups, head_select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Database
    from ..errors import SourceError
    from ..model import Fault
    from .pgboss_queue import Queue
    from .postgres import Session


class Head:
    """The probes from their edges, and now and then without."""

    def __init__(self) -> None:
        self.access = access()

    def read(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """The longest-ready job of every queue whose table has an index that leads to it."""
        found = groups(queues)
        faults = self.access.denied(found)
        asked = self.access.readable(
            (group for group in found if group.table.probed), lambda group: group.oldest(lambda queue: queue.probed_at)
        )
        by_name = {queue.listed.queue: (group, queue) for group in asked for queue in group.queues}
        failed = self.access.failing(faults)
        for row in read_batches(session, asked, head_select, Probe, failed, allowance(database)):
            group, queue = by_name[row.queue]
            self.access.answered(group)
            queue.take_probe(row)
            queue.probed_at = time.monotonic()
        return faults + self.access.not_reached(asked)

    def full_look(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """The probes without edges: finds jobs that were moved back before an edge."""
        faults: list[Fault] = []
        edged = [queue for queue in queues if queue.table.probed and queue.ready_from is not None]
        asked = self.access.readable(groups(edged), lambda _group: None)

        def failed(group: Group, error: SourceError) -> None:
            if error.reason != "missing":
                faults.append(self.access.fault_of(group, error))  # the probes from their edges may well answer

        by_name = {queue.listed.queue: queue for group in asked for queue in group.queues}
        until = allowance(database)
        for row in read_batches(session, asked, lambda group: head_select(group, edges=False), Probe, failed, until):
            by_name[row.queue].take_probe(row)
        return faults
