"""Which queues may be asked now, and why the others may not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from ..model import Fault
from .batches import LeftOut

if TYPE_CHECKING:
    from ..errors import SourceError
    from .pgmq_queue import Queue
    from .pgmq_tables import Table


class Access:
    """The queues' tables (or their archives): which may be read, and which failed lately."""

    def __init__(self, *, archives: bool = False) -> None:
        self._archives = archives
        self._left_out = LeftOut()

    def _table(self, queue: Queue) -> Table | None:
        return queue.tables.archive if self._archives else queue.tables.queue

    def readable(self, queues: Iterable[Queue], read_at: Callable[[Queue], float | None]) -> list[Queue]:
        """Those that may be asked, in the order in which their turn comes when there is no time for all.

        Who was read longest ago comes first, who failed when asked last at the end.
        """
        found = []
        for queue in queues:
            table = self._table(queue)
            if table is None or not table.root.readable or table.root.hidden:
                continue
            if self._left_out.fault(table.root.relid) is None:
                failed = self._left_out.last(table.root.relid) is not None
                found.append((failed, read_at(queue) or float("-inf"), queue))
        return [queue for *_, queue in sorted(found, key=lambda entry: entry[:2])]

    def denied(self, queues: Iterable[Queue]) -> list[Fault]:
        """Why the others are not asked."""
        faults = []
        for queue in queues:
            table = self._table(queue)
            if table is None:
                continue
            name = queue.tables.listed.queue
            if table.root.hidden:
                faults.append(Fault(name, "hidden", f"row-level security hides rows of {table.root.name}"))
            elif not table.root.readable:
                faults.append(Fault(name, "privilege", f"the role may not SELECT from {table.root.name}"))
            elif fault := self._left_out.fault(table.root.relid):
                faults.append(fault)
        return faults

    def failing(self, faults: list[Fault]) -> Callable[[Queue, SourceError], None]:
        """What to do with a queue that fails: leave it out for a while, and note why."""

        def failed(queue: Queue, error: SourceError) -> None:
            table = self._table(queue)
            fault = fault_of(queue, error)
            if table is not None and self._left_out.add(table.root.relid, fault):
                faults.append(fault)

        return failed

    def not_reached(self, asked: Iterable[Queue]) -> list[Fault]:
        """After asking: those that failed before and for which there was no time; nothing says that they are well."""
        faults = []
        for queue in asked:
            table = self._table(queue)
            if table is None or self._left_out.fault(table.root.relid):
                continue
            if fault := self._left_out.last(table.root.relid):
                faults.append(fault)
        return faults

    def answered(self, queue: Queue) -> None:
        """Take that a queue can be read."""
        table = self._table(queue)
        if table is not None:
            self._left_out.answered(table.root.relid)

    def keep(self, relids: Collection[int]) -> None:
        """Take a look at the catalogue: what is gone is forgotten."""
        self._left_out.keep(relids)

    @property
    def doubtful(self) -> bool:
        """Whether the last look found a table that had just been missing."""
        return self._left_out.doubtful

    def clear(self) -> None:
        """Ask everything again."""
        self._left_out.clear()


def fault_of(queue: Queue, error: SourceError) -> Fault:
    """A failed read of one queue."""
    return Fault(queue.tables.listed.queue, error.reason, error.detail)
