"""How much of the past is read at once."""

from __future__ import annotations

from typing import Final

#: A slice of time, in seconds: at the start, at least, at most.
START: Final = 300.0
_LEAST: Final = 1.0
_MOST: Final = 3600.0

#: Halved by one that took too long, a slice is doubled only after so many that did not: else every other one would.
_GOOD: Final = 5


class Slice:
    """The length of the next slice of time, in seconds."""

    def __init__(self) -> None:
        self.seconds = START
        self._good = 0

    def learn(self, *, slow: bool, whole: bool) -> None:
        """Take how the last one went; one that ended where all is read (not ``whole``) tells nothing."""
        if slow:
            self.seconds, self._good = max(_LEAST, self.seconds / 2), 0
        elif whole:
            self._good += 1
            if self._good >= _GOOD:
                self.seconds, self._good = min(_MOST, self.seconds * 2), 0
