"""Which tables may be asked now, and why the others may not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ..model import Fault
from .batches import PAUSE, LeftOut

if TYPE_CHECKING:
    from ..errors import SourceError
    from .relations import Relation

_Item = TypeVar("_Item")

#: What helps against hidden rows.
HIDDEN_HELP: Final = "read it through the functions of `sql role`, made by its owner, or by a role with bypassrls"


class Access(Generic[_Item]):
    """What is asked of tables, each of one queue or of several: which may be read, and which failed lately."""

    def __init__(
        self,
        relation: Callable[[_Item], Relation | None],
        about: Callable[[_Item], str],
        *,
        locked: float = PAUSE,
    ) -> None:
        """``relation``: the table of an item; ``about``: its queue; ``locked``: seconds, as of ``LeftOut``."""
        self._relation = relation
        self._about = about
        self._left_out = LeftOut(locked)

    def readable(self, items: Iterable[_Item], read_at: Callable[[_Item], float | None]) -> list[_Item]:
        """Those that may be asked, in the order in which their turn comes when there is no time for all.

        Who was read longest ago comes first, who failed when asked last at the end.
        """
        found = []
        for item in items:
            relation = self._relation(item)
            if relation is None or not relation.readable or relation.hidden:
                continue
            if self._left_out.fault(relation.relid) is None:
                failed = self._left_out.last(relation.relid) is not None
                found.append((failed, read_at(item) or float("-inf"), item))
        return [item for *_, item in sorted(found, key=lambda entry: entry[:2])]

    def denied(self, items: Iterable[_Item]) -> list[Fault]:
        """Why the others are not asked."""
        faults = []
        for item in items:
            relation = self._relation(item)
            if relation is None:
                continue
            about = self._about(item)
            if relation.hidden:
                faults.append(
                    Fault(about, "hidden", f"row-level security hides rows of {relation.name}: {HIDDEN_HELP}")
                )
            elif not relation.readable:
                faults.append(Fault(about, "privilege", f"the role may not SELECT from {relation.name}"))
            elif fault := self._left_out.fault(relation.relid):
                faults.append(fault)
        return faults

    def failing(self, faults: list[Fault]) -> Callable[[_Item, SourceError], None]:
        """What to do with an item that fails: leave its table out for a while, and note why."""

        def failed(item: _Item, error: SourceError) -> None:
            relation = self._relation(item)
            fault = self.fault_of(item, error)
            if relation is not None and self._left_out.add(relation.relid, fault):
                faults.append(fault)

        return failed

    def fault_of(self, item: _Item, error: SourceError) -> Fault:
        """A failed read of one item."""
        return Fault(self._about(item), error.reason, error.detail)

    def not_reached(self, asked: Iterable[_Item]) -> list[Fault]:
        """After asking: those that failed before and for which there was no time; nothing says that they are well."""
        faults = []
        for item in asked:
            relation = self._relation(item)
            if relation is None or self._left_out.fault(relation.relid):
                continue
            if fault := self._left_out.last(relation.relid):
                faults.append(fault)
        return faults

    def answered(self, item: _Item) -> None:
        """Take that a table can be read."""
        relation = self._relation(item)
        if relation is not None:
            self._left_out.answered(relation.relid)

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
