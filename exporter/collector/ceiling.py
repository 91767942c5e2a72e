"""The ceiling on the page's series: where it would be passed, fewer tenants have series of their own.

Only tenants are cut, never queues, and by membership, not on the finished page: a counter's steps go to ``_other`` from
then on, so that nothing that is shown falls or jumps.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .. import names
from ..model import Sample
from ..tenants import NONE, OTHER
from .exposition import series as series_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ..sources.outcomes import Outcomes

log = logging.getLogger(__name__)

#: Series that the page adds itself.
_OWN: Final = 4

#: More tenants are tried so long after the last change, in seconds, and only if twice as many as expected would fit in
#: this part of the room: else the page would swing.
_PATIENCE: Final = 60.0
_SPARE: Final = 0.95

_UNNAMED: Final = ("", OTHER, NONE)

#: By metric: which of its labels is the tenant.
_PLACES: Final = {
    metric.name: metric.labels.index(names.TENANT) for metric in names.CATALOGUE if names.TENANT in metric.labels
}


@dataclass(slots=True)
class _Room:
    """One database's place on the page."""

    series: int = 0
    #: Series that cannot be cut, and how many it would have if it could.
    least: float = 0
    wanted: float = 0
    #: So many tenants of a queue may be shown; None: as many as are configured.
    most: int | None = None
    changed_at: float = float("-inf")
    #: Whether it has less than its share until others have given way.
    waiting: bool = False
    told_full: bool = False


class Ceiling:
    """Shares the page among databases: equal shares, and what one does not need is the others'.

    Who has more than its share gives way with its next samples, and only then is there more for the others; the page is
    over the limit meanwhile only by what cannot be cut. Any thread may call every method.
    """

    def __init__(self, limit: float = float("inf")) -> None:
        self.limit = limit
        self._rooms: dict[str, _Room] = {}
        self._lock = threading.Lock()

    def forget(self, database: str) -> None:
        """Take that a database is watched no more."""
        with self._lock:
            self._rooms.pop(database, None)

    def admit(
        self, database: str, produce: Callable[[], Iterable[Sample]], tenancies: Collection[Outcomes]
    ) -> tuple[Sample, ...]:
        """A database's samples, made again with fewer tenants until they fit."""
        # One after the other: what is left for one is what the others have not taken.
        with self._lock:
            return self._admit(database, produce, tenancies)

    def _admit(
        self, database: str, produce: Callable[[], Iterable[Sample]], tenancies: Collection[Outcomes]
    ) -> tuple[Sample, ...]:
        room = self._rooms.setdefault(database, _Room())
        whole = room.most is None
        samples, series, named = _made(database, produce, tenancies, room.most)
        room.least, room.wanted = series - named, _wanted(series, tenancies)
        limit = self.limit - _OWN
        share = max(room.least, _level(limit, self._rooms.values()))
        left = min(share, limit - sum(other.series for other in self._rooms.values() if other is not room))
        while series > left and named > 0 and room.most != 0:
            widest = max((len(tenancy.membership.shown) for tenancy in tenancies), default=0)
            most = widest if room.most is None else min(widest, room.most)
            room.most = max(0, min(most - 1, int(most * (left - series + named) / named)))
            room.changed_at, room.waiting = time.monotonic(), left < share
            samples, series, named = _made(database, produce, tenancies, room.most)
        room.series, room.wanted = series, _wanted(series, tenancies)
        if room.most == 0:
            room.least = series  # the pinned name tenants too
        self._tell(database, room, bites=whole and room.most is not None)
        if room.most is not None:
            if room.waiting and left >= share:
                room.waiting = False
                room.most += max(1, int(max(1, room.most) * (_SPARE * left - series) / max(1, named)))
            elif time.monotonic() - room.changed_at >= _PATIENCE:
                _try_more(database, room, named, left, tenancies)
        for tenancy in tenancies:
            tenancy.published()
        return samples

    def _tell(self, database: str, room: _Room, *, bites: bool) -> None:
        """One line when it bites, however long it takes to settle."""
        context = {"database": database, "series": room.series, "series_limit": self.limit}
        full = sum(other.least for other in self._rooms.values()) > self.limit - _OWN
        if full and not room.told_full:
            message = "more series than series_limit even without tenants: raise it or exclude queues"
            log.warning(message, extra=context)
        room.told_full = full or (room.told_full and room.most is not None)
        if bites:
            message = "the page is at its ceiling: fewer tenants have series than configured, the others are in _other"
            log.warning(message, extra=context)


def _wanted(series: int, tenancies: Iterable[Outcomes]) -> float:
    return float("inf") if any(tenancy.membership.held for tenancy in tenancies) else series


def _level(limit: float, rooms: Collection[_Room]) -> float:
    """The most series that each may have, so that all together keep to the limit: as water stands, one level."""
    if sum(room.wanted for room in rooms) <= limit:
        return float("inf")
    low, high = 0, int(limit)
    while low < high:
        level = (low + high + 1) // 2
        if sum(max(room.least, min(level, room.wanted)) for room in rooms) <= limit:
            low = level
        else:
            high = level - 1
    return low


def _made(
    database: str, produce: Callable[[], Iterable[Sample]], tenancies: Iterable[Outcomes], most: int | None
) -> tuple[tuple[Sample, ...], int, int]:
    """The samples with at most so many tenants a queue, how many series they make, and how many name a tenant."""
    for tenancy in tenancies:
        tenancy.bound(most)
    samples = (*produce(), Sample(names.SERIES_LIMITED, (database,), int(most is not None)))
    named = [sample for sample in samples if sample.metric.name in _PLACES and _names(sample)]
    return samples, series_of(samples), series_of(named)


def _names(sample: Sample) -> bool:
    return sample.labels[_PLACES[sample.metric.name]] not in _UNNAMED


def _try_more(database: str, room: _Room, named: int, left: float, tenancies: Iterable[Outcomes]) -> None:
    """Allow more tenants from the next cycle on, where they surely fit."""
    most = room.most or 0
    step = max(1, most // 10)
    if room.series + 2 * step * named / max(1, most) > _SPARE * left:
        return
    room.changed_at = time.monotonic()
    if any(tenancy.membership.held for tenancy in tenancies):
        room.most = most + step
    else:
        room.most = None
        log.info("the page is below its ceiling again: as many tenants as configured", extra={"database": database})
