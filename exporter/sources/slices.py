"""How much time is read at once: catching up goes in slices, and one that took too long makes the next ones shorter."""

from __future__ import annotations

from typing import Final

#: In seconds: at the start, at least, at most.
_START: Final = 300.0
_LEAST: Final = 1.0
_MOST: Final = 3600.0

#: Halved by one that took too long, a slice is doubled only after so many that did not: else every other one would.
_GOOD: Final = 5


class Slice:
    """The length of the next slice, in seconds."""

    def __init__(self) -> None:
        self.length = _START
        self._good = 0

    def learn(self, *, slow: bool, whole: bool) -> None:
        """Take how the last one went: ``slow``, it took too long; ``whole``, it did not end where all was read."""
        if slow:
            self.length, self._good = max(_LEAST, self.length / 2), 0
        elif whole:
            self._good += 1
            if self._good >= _GOOD:
                self.length, self._good = min(_MOST, self.length * 2), 0
