"""How often each part may run, so that all together stay under a share of one database core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What dear parts may always share, of the whole budget.
_LEAST_SHARE: Final = 0.25

#: A part that feeds rates is stretched to this at most, in seconds: rates need points. Any other part as well, as long
#: as it has not shown again and again that it needs more: one dear run is no reason to be silent for an hour.
_LONGEST: Final = 60.0

#: So many overruns say that a part cannot be held within the longest interval; a run in time takes half of one back.
_OVERRUNS: Final = 3.0
_TAKEN_BACK: Final = 0.5

#: Weight of the newest run in a part's cost.
_NEWEST: Final = 0.3


@dataclass(slots=True)
class Spending:
    """What one part costs, in seconds of database time a run (a moving mean), and how often it should run."""

    every: float
    cheap: bool
    feeds_rates: bool
    cost: float = 0.0
    #: What the last run alone cost.
    last: float = 0.0
    #: The interval that would hold the cost under the part's share, in seconds.
    needed: float = 0.0
    overruns: float = 0.0

    @property
    def longest(self) -> float:
        """The interval that a part is stretched to at first, and one that feeds rates at most."""
        return max(_LONGEST, self.every)

    @property
    def interval(self) -> float:
        """The interval in force, in seconds."""
        held = self.feeds_rates or self.overruns < _OVERRUNS
        return min(self.needed, self.longest) if held else self.needed

    @property
    def over(self) -> bool:
        """Whether a part that feeds rates cannot be held by stretching."""
        return self.feeds_rates and self.overruns >= _OVERRUNS

    def ran(self, seconds: float) -> None:
        """Take the database time of one run. A dearer one counts at once, cheaper ones bit by bit."""
        self.last = seconds
        self.cost = seconds if seconds > self.cost else self.cost + _NEWEST * (seconds - self.cost)

    def judge(self) -> None:
        """After ``share_out``: note whether the last run, taken alone, was an overrun."""
        alone = self.needed * self.last / self.cost if self.cost else 0.0
        if alone > self.longest:
            self.overruns = min(_OVERRUNS, self.overruns + 1)
        else:
            self.overruns = max(0.0, self.overruns - _TAKEN_BACK)

    def forgive(self) -> None:
        """Start anew, after a time switched off."""
        self.cost = self.last = self.overruns = 0.0


def share_out(budget: float, parts: Sequence[Spending]) -> None:
    """Set the interval that each part needs. ``budget`` is the share of one core, such as 0.01.

    Cheap parts keep their own. The others share what is left, at least a quarter of the budget: those that need less
    than an equal share run as often as they should, the others are stretched to theirs.
    """
    dear = []
    left = budget
    for part in parts:
        part.needed = part.every
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
            part.needed = part.cost / equal
        left -= min(wanted, equal)
