"""Reading many tables in few messages, so that one that is locked, gone or forbidden costs only itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..errors import SourceError
from ..model import Fault
from .postgres import Query, Session, union

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..config import Database

_Item = TypeVar("_Item")
_Row = TypeVar("_Row", bound=tuple[Any, ...])

#: Tables a message: as measured, more costs more planning, fewer more messages.
SIZE: Final = 10

#: For how long a table that failed is left out, in seconds; one that the role may not read, for longer.
PAUSE: Final = 60.0
_PAUSE_FORBIDDEN: Final = 600.0


class LeftOut:
    """Tables that failed lately, by relation id, each with what was wrong with it.

    ``missing`` is most often a table dropped a moment ago, which the next look at the catalogue (``keep``) will know:
    it is a fault only when the table fails so again after a look that still found it.
    """

    def __init__(self, locked: float = PAUSE) -> None:
        """``locked``: how long one that was locked is left out at first, in seconds; doubled while it stays so."""
        self._locked = locked
        self._pauses: dict[int, float] = {}
        self._until: dict[int, tuple[float, Fault]] = {}
        self._missing: set[int] = set()
        self._still_there: set[int] = set()

    def add(self, relid: int, fault: Fault) -> bool:
        """Leave a table out for a while. Gives whether it is a fault; else it is asked again after the next look."""
        if fault.reason == "missing" and relid not in self._still_there and relid not in self._until:
            self._missing.add(relid)
            return False
        pause = _PAUSE_FORBIDDEN if fault.reason == "privilege" else PAUSE
        if fault.reason == "lock":
            pause = min(PAUSE, 2 * self._pauses.get(relid, self._locked / 2))
            self._pauses[relid] = pause
        self._until[relid] = (time.monotonic() + pause, fault)
        return True

    def fault(self, relid: int) -> Fault | None:
        """What is wrong with a table that is left out now, else None."""
        until, fault = self._until.get(relid, (0.0, None))
        return fault if until > time.monotonic() else None

    def last(self, relid: int) -> Fault | None:
        """What was wrong with a table when it was asked last, else None."""
        return self._until.get(relid, (0.0, None))[1]

    def answered(self, relid: int) -> None:
        """Take that a table can be read."""
        self._until.pop(relid, None)
        self._pauses.pop(relid, None)

    @property
    def doubtful(self) -> bool:
        """Whether the last look found a table that had just been missing: it may have changed its columns."""
        return bool(self._still_there)

    def keep(self, relids: Collection[int]) -> None:
        """Forget tables that are gone, as a look at the catalogue knows."""
        self._until = {relid: entry for relid, entry in self._until.items() if relid in relids}
        self._pauses = {relid: pause for relid, pause in self._pauses.items() if relid in relids}
        self._still_there = self._missing.intersection(relids)
        self._missing.clear()

    def clear(self) -> None:
        """Ask everything again."""
        self._until.clear()
        self._pauses.clear()


def allowance(database: Database) -> float:
    """Until when (monotonic) a part that starts now may send messages: failing tables cost it one interval at most."""
    return time.monotonic() + database.interval


def read_batches(
    session: Session,
    items: Sequence[_Item],
    select: Callable[[_Item], Query],
    into: type[_Row],
    failed: Callable[[_Item, SourceError], None],
    until: float = float("inf"),
) -> list[_Row]:
    """One row an item, ten items a message; a batch that fails is repeated once item by item.

    An item that fails by itself is handed to ``failed``. After ``until`` (monotonic) no message is sent any more: the
    items that are left have no row. Raises SourceError only when the connection is lost.
    """
    rows: list[_Row] = []
    for start in range(0, len(items), SIZE):
        batch = items[start : start + SIZE]
        if time.monotonic() >= until:
            break
        try:
            rows += session.read(union([select(item) for item in batch]), into)
            continue
        except SourceError as error:
            if error.reason == "connection":
                raise
            if len(batch) == 1:
                failed(batch[0], error)
                continue
        for item in batch:
            if time.monotonic() >= until:
                break
            try:
                rows += session.read(select(item), into)
            except SourceError as alone:  # each item stands alone: that is the point
                if alone.reason == "connection":
                    raise
                failed(item, alone)
    return rows
