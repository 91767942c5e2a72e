"""How often each part may run, so that all together stay under a share of one database core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What dear parts may always share, of the whole budget.
_LEAST_SHARE: Final = 0.25

#: A part that feeds rates is stretched to this at most, in seconds: rates need points.
LONGEST_FOR_RATES: Final = 60.0

#: Weight of the newest run in a part's cost.
_NEWEST: Final = 0.3


@dataclass(slots=True)
class Spending:
    """What one part costs, in seconds of database time a run (a moving mean), and how often it should run."""

    every: float
    cheap: bool
    feeds_rates: bool
    cost: float = 0.0
    #: The interval in force, in seconds.
    interval: float = 0.0

    def ran(self, seconds: float) -> None:
        """Take the database time of one run. A dearer one counts at once, cheaper ones bit by bit."""
        self.cost = seconds if seconds > self.cost else self.cost + _NEWEST * (seconds - self.cost)

    @property
    def over(self) -> bool:
        """Whether even the longest interval allowed to a part that feeds rates was too short."""
        return self.feeds_rates and self.interval > LONGEST_FOR_RATES


def share_out(budget: float, parts: Sequence[Spending]) -> None:
    """Set each part's ``interval`` in force. ``budget`` is the share of one core, such as 0.01.

    Cheap parts keep their own. The others share what is left, at least a quarter of the budget: those that need less
    than an equal share run as often as they should, the others are stretched to theirs. ``over`` tells which of them
    cannot be held by stretching.
    """
    dear = []
    left = budget
    for part in parts:
        part.interval = part.every
        if part.cheap:
            left -= part.cost / part.every
        else:
            dear.append(part)
    left = max(left, budget * _LEAST_SHARE)
    dear.sort(key=lambda part: part.cost / part.every)
    for place, part in enumerate(dear):
        equal = left / (len(dear) - place)
        wanted = part.cost / part.every
        if wanted > equal:
            part.interval = part.cost / equal
        left -= min(wanted, equal)
