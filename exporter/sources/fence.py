"""Until when everything that happened is visible: waiting for transactions that were open at a look.

A row carries a time or an id that was drawn before its transaction committed. What was drawn before a look is
complete once the transactions open at that look are gone; it must then be read in a later snapshot.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Generic, NamedTuple, TypeVar

_Mark = TypeVar("_Mark")

#: A transaction takes its start time a moment before it shows among the locks.
SLACK: Final = 0.1


class Open(NamedTuple):
    """One open transaction: whether it has written, and which of the tables asked about it may have written to."""

    writing: bool
    relations: frozenset[int]


class Transactions:
    """The transactions open at the last look, and for how long each has been seen (on the server's clock)."""

    def __init__(self) -> None:
        self.clock = 0.0
        self._open: dict[str, Open] = {}
        self._seen: dict[str, float] = {}
        self._given_up: set[str] = set()

    def look(self, clock: float, found: dict[str, Open], *, patience: float, patience_writing: float) -> None:
        """Take what a look found. Who has been open for longer than the patience is not waited for any more."""
        self.clock = clock
        self._open = found
        self._seen = {name: self._seen.get(name, clock) for name in found}
        self._given_up &= found.keys()
        for name, transaction in found.items():
            if clock - self._seen[name] >= (patience_writing if transaction.writing else patience):
                self._given_up.add(name)

    def waited_for(self) -> frozenset[str]:
        """Who may still commit something stamped before the look."""
        return frozenset(self._open.keys() - self._given_up)

    def writers_to(self, relations: Collection[int], patience: float) -> frozenset[str]:
        """Who may still commit a row with an id drawn from one of these tables, if open for less than ``patience``."""
        return frozenset(
            name
            for name, transaction in self._open.items()
            if not transaction.relations.isdisjoint(relations) and self.clock - self._seen[name] < patience
        )


class Settling(Generic[_Mark]):
    """The newest mark below which everything is visible, once its witnesses are gone; None until one is."""

    def __init__(self) -> None:
        self.settled: _Mark | None = None
        self._pending: tuple[_Mark, frozenset[str]] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a mark still waits for a witness."""
        return self._pending is not None

    def offer(self, mark: _Mark, witnesses: frozenset[str]) -> None:
        """Take a mark made at a look, and who was open then (given-up transactions left out)."""
        if self._pending is not None and self._pending[1].isdisjoint(witnesses):
            self.settled, self._pending = self._pending[0], None
        if not witnesses:
            self.settled, self._pending = mark, None
        elif self._pending is None:
            self._pending = (mark, witnesses)
