"""Counters as sums of non-negative steps, so that nothing Postgres does to its statistics makes them fall."""

from __future__ import annotations

from collections.abc import Mapping


class Steps:
    """One counter fed by readings of several relations, each with a memory of its own by relation id.

    Starts at 0. A relation that goes (a dropped partition, a re-created queue) leaves its steps in ``total``.
    """

    def __init__(self, *, restarts: bool) -> None:
        """``restarts``: a reading that fell began anew from 0 (statistics), rather than was set back (a sequence)."""
        self.total = 0
        self._restarts = restarts
        self._last: dict[int, int] = {}

    def advance(self, readings: Mapping[int, int], born: frozenset[int]) -> int:
        """Take one reading a relation id; those in ``born`` came to be since the last, so all they show is a step."""
        step = 0
        for relation, value in readings.items():
            last = self._last.get(relation)
            if last is None:
                step += value if relation in born else 0
            elif value >= last:
                step += value - last
            elif self._restarts:
                step += value
        self._last = dict(readings)
        self.total += step
        return step

    def knows(self, relation: int) -> bool:
        """Whether the next reading of a relation gives a step."""
        return relation in self._last

    def forget(self) -> None:
        """The next readings are where counting goes on: there is no step to them."""
        self._last = {}
