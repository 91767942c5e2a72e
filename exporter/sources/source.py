"""What every source offers to the collector: parts to run, and samples to show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..config import Database
    from ..model import Fault, Sample
    from .findings import Finding, Found, Index
    from .outcomes import Outcomes
    from .postgres import Session


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a collection, with an interval of its own.

    ``run`` reads and remembers; it returns what some queues could not be asked, and raises SourceError when the
    whole part failed. ``every`` is its interval in seconds before the budget stretches it. A ``cheap`` part keeps
    it; a part that ``feeds_rates`` is stretched to 60 s at most. One that is not ``wanted`` does not exist.
    """

    name: str
    run: Callable[[Session, Database], list[Fault]]
    every: Callable[[Database], float]
    cheap: bool = False
    feeds_rates: bool = False
    wanted: Callable[[Database], bool] = lambda _database: True


@dataclass(frozen=True, slots=True)
class Moment:
    """When samples are made, and how old what they show may be."""

    monotonic: float
    #: How far the server's clock (epoch seconds) is ahead of our monotonic one.
    ahead: float
    #: How far the server's clock is ahead of our wall clock.
    skew: float
    #: By part: the monotonic time before which what it read is stale.
    oldest: Callable[[str], float]
    #: Source and queue of those that the sources before this one have shown with an info of their own.
    shown: Collection[tuple[str, str]] = ()

    def wall(self, server_time: float) -> float:
        """A time of the server's clock, on the exporter's."""
        return server_time - self.skew


class Source(Protocol):
    """One queue system in one database. Only the database's own loop calls it."""

    @property
    def label(self) -> str:
        """The value of the label ``source``."""

    @property
    def identity(self) -> str:
        """What is watched: after a reload, a source of the same identity goes on with what it remembers."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts in the order in which they run."""

    def samples(self, database: Database, moment: Moment) -> Iterator[Sample]:
        """Everything known and fresh, without touching the server."""

    def tenancies(self) -> Iterable[Outcomes]:
        """The tenants of its queues, of those that have any."""

    def reconnected(self) -> None:
        """A new connection, perhaps to another server: forget what only held for the former one."""

    def recount(self) -> None:
        """Count every queue in the next collection, from the beginning."""

    def examine(self, session: Session, database: Database) -> tuple[Found | None, list[Finding]]:
        """What was found of the queue system (None: this is none), and what to know about it. After a collection."""

    def indexes(self, session: Session, database: Database) -> list[Index]:
        """Indexes that would make it cheaper to watch, those missing. After a collection."""
