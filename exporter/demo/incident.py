"""When the workers stop and when they come back: a schedule that repeats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Turn = Literal["stop", "back"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Seconds of calm before the first incident, without workers in each, and with them until the next."""

    calm: float = 15.0
    stopped: float = 35.0
    between: float = 180.0

    def turn(self, number: int) -> tuple[float, Turn]:
        """The turn of that number, from 0: when it comes, in seconds from the start, and what happens."""
        incident, back = divmod(number, 2)
        begins = self.calm + incident * (self.stopped + self.between)
        return (begins + self.stopped, "back") if back else (begins, "stop")
