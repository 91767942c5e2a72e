"""The longest-ready job and the lowest id of every pgmq queue, by index probes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .batches import allowance, read_batches
from .pgmq_queue import Probe
from .pgmq_selects import head_select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Database
    from ..errors import SourceError
    from ..model import Fault
    from .access import Access
    from .pgmq_queue import Queue
    from .postgres import Session


class Head:
    """The probes from their edges, and now and then without. Shares with the counts what may be asked."""

    def __init__(self, access: Access[Queue]) -> None:
        self._access = access

    def read(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """The longest-ready job and the lowest id of every queue."""
        faults = self._access.denied(queues)
        asked = self._access.readable(queues, lambda queue: queue.probed_at)
        by_name = {queue.tables.listed.queue: queue for queue in asked}
        failed = self._access.failing(faults)
        for row in read_batches(session, asked, head_select, Probe, failed, allowance(database)):
            queue = by_name[row.queue]
            self._access.answered(queue)
            queue.take_probe(row)
            queue.probed_at = time.monotonic()
        return faults + self._access.not_reached(asked)

    def full_look(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """The probes without edges: finds jobs that were moved back before an edge."""
        faults: list[Fault] = []
        asked = {
            queue.tables.listed.queue: queue
            for queue in self._access.readable(queues, lambda queue: queue.full_look_at)
            if queue.ready_from is not None or queue.id_from is not None
        }

        def failed(queue: Queue, error: SourceError) -> None:
            if error.reason != "missing":  # the probes from their edges tell whether it is still there
                faults.append(self._access.fault_of(queue, error))

        beginning = {name: replace(queue, ready_from=None, id_from=None) for name, queue in asked.items()}
        rows = read_batches(
            session,
            list(asked.values()),
            lambda queue: head_select(beginning[queue.tables.listed.queue]),
            Probe,
            failed,
            allowance(database),
        )
        for row in rows:
            asked[row.queue].take_probe(row)
            asked[row.queue].full_look_at = time.monotonic()
        return faults
