"""One queue system behind one set of verbs, and what plain SQL says of its queues."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple

import psycopg

from exporter import names
from exporter.model import Distribution
from exporter.names import Metric
from tests.servers import Database
from tests.sources.knows import KNOWS, STATISTICS, Kind, Knows

#: A series of one queue: its metric, and its label values behind database, source and queue.
Key = tuple[Metric, tuple[str, ...]]

FAR: Final = 3600


class Since(NamedTuple):
    """An age: the server's time (epoch seconds) since when; None: of nothing, so 0."""

    at: float | None


class AtMost(NamedTuple):
    """An age that may be shorter."""

    at: float | None


class Anything(NamedTuple):
    """A series whose value is checked elsewhere, or is not SQL's to say."""


class Truth(NamedTuple):
    """What plain SQL says of a queue."""

    states: Mapping[str, int]
    oldest_ready: float | None
    finished: Mapping[str, int]
    runs: Mapping[str, Sequence[float]]
    waits: Sequence[float]
    retried: int
    info: tuple[str, str, str, str, str, str]
    metrics: Mapping[Metric, object]
    """Those with no label but the queue's."""


def distribution(seconds: Sequence[float]) -> Distribution:
    """The histogram of such durations; those below 0 count as 0."""
    seconds = [max(0.0, each) for each in seconds]
    return Distribution(
        tuple(sum(each <= bound for each in seconds) for bound in names.BUCKETS), len(seconds), sum(seconds)
    )


class Source(ABC):
    """A queue system in a database. What is done goes through its own interface; `sql` is a session of ours."""

    label: str
    #: Names that the system takes and that are hard to write down.
    odd_names: tuple[str, ...]

    def __init__(self, kind: Kind, database: Database) -> None:
        self.kind: Kind = kind
        self.database = database
        self.sql = database.connect()
        #: The queues that are there, in the order in which they were made, and which dead letters go where.
        self.queues: dict[str, str | None] = {}

    @property
    def knows(self) -> Knows:
        """What it promises."""
        return KNOWS[self.kind]

    @property
    def keys(self) -> dict[str, Any]:
        """What the configuration of its database says."""
        return {}

    @property
    def part_label(self) -> str:
        """The value of the label `source` of the collections that read what `lock` locks."""
        return self.label

    @property
    def apart(self) -> bool:
        """Whether each queue has a table of its own."""
        return bool(self.knows.tables)

    def close(self) -> None:
        """End what was started."""
        self.sql.close()

    # --- verbs ------------------------------------------------------------------------------------------------

    def create(self, *queues: str, dead_letter: str | None = None, retries: int = 0) -> None:
        """Make queues, whose jobs are tried again so often where the system does that itself."""
        for queue in queues:
            self._create(queue, dead_letter, retries)
            self.queues[queue] = dead_letter

    def drop(self, *queues: str) -> None:
        """Drop queues with their jobs, and anything else that is known of them."""
        for queue in queues:
            self._drop(queue)
            del self.queues[queue]

    def clear(self) -> None:
        """Drop every queue."""
        self.drop(*[queue for queue, owned in self.queues.items() if owned is not None])  # owners first
        self.drop(*list(self.queues))

    @abstractmethod
    def _create(self, queue: str, dead_letter: str | None, retries: int) -> None: ...

    @abstractmethod
    def _drop(self, queue: str) -> None: ...

    @abstractmethod
    def send(self, queue: str, jobs: int = 1, *, at: float | None = None) -> None:
        """Enqueue jobs, not to be taken before a time of the server (epoch seconds)."""

    @abstractmethod
    def take(self, queue: str, jobs: int = 1) -> list[Any]:
        """Dequeue jobs; what identifies them."""

    @property
    @abstractmethod
    def ends(self) -> Mapping[str, Callable[[str, list[Any]], None]]:
        """How jobs that were taken end, by outcome."""

    @abstractmethod
    def retry(self, queue: str, jobs: list[Any]) -> None:
        """The attempts failed, and others are to follow at once."""

    @abstractmethod
    def shift(self, queue: str, seconds: float) -> None:
        """As if what is in flight had been enqueued and taken so much earlier."""

    @abstractmethod
    def work(self, queue: str, fates: Sequence[str]) -> AbstractContextManager[Callable[[], bool]]:
        """Enqueue jobs, and have workers do with them what they say: `succeed`, `fail`, or `again` (then succeed).

        Gives a question: whether the workers are done.
        """

    @abstractmethod
    def late(self, queue: str, *, commit: bool = True) -> AbstractContextManager[None]:
        """A transaction that enqueues a job, and ends another, and commits when the block ends."""

    @abstractmethod
    def crash(self, queue: str) -> float:
        """A worker takes a job for a second and is not heard of again; when its time is up."""

    def clean_up(self) -> None:  # noqa: B027  # most systems do nothing
        """What the system does by itself, in time, with jobs whose worker is gone."""

    @abstractmethod
    def lock(self, queue: str) -> AbstractContextManager[None]:
        """Nobody else reads the queue meanwhile."""

    @abstractmethod
    def flush(self) -> None:
        """Have the sessions report their statistics, as they do by themselves within ten seconds."""

    # --- what SQL says ------------------------------------------------------------------------------------------

    @abstractmethod
    def truth(self, queue: str) -> Truth:
        """What the tables say now."""

    def now(self) -> float:
        """The server's clock."""
        row = self.sql.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
        assert row is not None
        return float(row[0])

    def wait_until(self, moment: float) -> None:
        """Until the server's clock is past a time."""
        self.sql.execute(
            "select pg_sleep_until(to_timestamp(%s) + interval '1 ms') where to_timestamp(%s) >= clock_timestamp()",
            [moment, moment],
        )

    def expected(self, queue: str) -> dict[Key, object]:
        """Every series that the page must have of a queue, and no other."""
        knows, truth = self.knows, self.truth(queue)
        found: dict[Key, object] = {(names.QUEUE_INFO, truth.info): 1}
        for state in knows.states:
            found[names.JOBS, ("", state)] = truth.states.get(state, 0)
        if knows.states:
            found[names.OLDEST_READY_AGE, ("",)] = Since(truth.oldest_ready)
        for outcome in knows.outcomes:
            found[names.FINISHED_JOBS, ("", outcome)] = truth.finished.get(outcome, 0)
        for outcome in knows.runs:
            found[names.RUN, ("", outcome)] = distribution(truth.runs.get(outcome, ()))
        if knows.wait:
            found[names.WAIT, ("",)] = distribution(truth.waits)
        if knows.retried:
            found[names.RETRIED, ("",)] = truth.retried
        for table in knows.tables:
            found |= {(metric, (table,)): Anything() for metric in STATISTICS}
        usual: dict[Metric, object] = {
            names.ROWS_HIDDEN: 0,
            names.JOBS_ESTIMATED: 0,
            names.QUEUE_COLLECTION_TIMESTAMP: Anything(),
            names.STALLED: AtMost(truth.oldest_ready),
        }
        for metric in knows.metrics:
            value = truth.metrics.get(metric, usual.get(metric))
            if value is not None:
                found[metric, ()] = value
        return found

    def role(self, queue: str) -> tuple[str, str, str]:
        """Role, dead letter queue and owners, as the info shows them."""
        owners = sorted(owner for owner, owned in self.queues.items() if owned == queue)
        return (names.DEAD_LETTER if owners else names.WORK, self.queues[queue] or "", ",".join(owners))


@contextmanager
def transaction(database: Database, *, commit: bool) -> Iterator[psycopg.Connection[Any]]:
    """A session whose transaction ends with the block; its statistics are reported then."""
    with database.connect() as connection:
        with connection.transaction(force_rollback=not commit):
            yield connection
        connection.execute("select pg_stat_force_next_flush()")
