"""What keeps VACUUM from removing dead rows, and for how long: the usual cause of a queue that slows down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import names
from ..model import Sample
from .findings import WARNING, Finding
from .postgres import statement
from .source import Part

if TYPE_CHECKING:
    from ..config import Database
    from ..model import Fault
    from .findings import Found, Index
    from .outcomes import Outcomes
    from .postgres import Session
    from .source import Moment


_ASK: Final = (
    "a function of `pgqueue-exporter sql role` tells; so does pg_read_all_stats, which shows the role others' queries"
)


class Holder(NamedTuple):
    """A row of ``vacuum.sql``."""

    holder: str
    held: float | None
    xmin: str | None


class Vacuum:
    """The vacuum horizon of one database."""

    label = ""
    identity = "vacuum"

    def __init__(self) -> None:
        self._ages: dict[str, float] = {}
        self._at: float | None = None
        #: Whether a transaction was seen, and not since when.
        self._untimed = False
        #: For holders without a time of their own, or with one that the role may not see: the horizon, and when it was
        #: first seen (monotonic).
        self._first_seen: dict[str, tuple[str, float]] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """One part, four times as seldom as the base interval: horizons are minutes, not seconds."""
        return (Part(names.VACUUM, self.read, lambda database: 4 * database.interval),)

    def reconnected(self) -> None:
        """Horizons belong to a server."""
        self._first_seen.clear()

    def recount(self) -> None:
        """Nothing is counted here."""

    def examine(self, session: Session, database: Database) -> tuple[Found | None, list[Finding]]:
        """No queue system; without the right to see when others' transactions began, ages are lower bounds."""
        function = session.functions.get("vacuum")
        through = function is not None and function.fits
        if not database.vacuum or (not self._untimed if through else session.server.sees_all_activity):
            return None, []
        message = (
            "when others' transactions began is hidden: what keeps VACUUM back is timed from when it was first seen; "
            + ("grant pg_read_all_stats to the owner of the functions" if through else _ASK)
        )
        return None, [Finding(WARNING, "vacuum", message)]

    def indexes(self, _session: Session, _database: Database) -> list[Index]:
        """None."""
        return []

    def read(self, session: Session, database: Database) -> list[Fault]:
        """Ask for the oldest horizon of each kind of holder."""
        if not database.vacuum:
            self._at = None
            return []
        rows = session.read(statement("vacuum"), Holder)
        self._untimed = any(row.holder == "transaction" and row.xmin and row.held is None for row in rows)
        at = session.sent
        ages: dict[str, float] = {}
        for row in rows:
            if row.xmin is None:
                self._first_seen.pop(row.holder, None)
                ages[row.holder] = 0.0
            elif row.held is not None:
                ages[row.holder] = max(0.0, row.held)
            else:
                seen, since = self._first_seen.get(row.holder, ("", at))
                since = since if seen == row.xmin else at
                self._first_seen[row.holder] = (row.xmin, since)
                ages[row.holder] = at - since
        self._ages, self._at = ages, at
        return []

    def tenancies(self) -> Iterator[Outcomes]:
        """None."""
        return iter(())

    def samples(self, database: Database, moment: Moment) -> Iterator[Sample]:
        """One sample a kind of holder, 0 when nothing is held back."""
        if self._at is not None and self._at >= moment.oldest(names.VACUUM):
            for holder, age in self._ages.items():
                yield Sample(names.VACUUM_HORIZON_AGE, (database.name, holder), age)
