"""A job table, alone and beside a pgmq queue that it describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from exporter import names
from tests.jobtables import create, described
from tests.servers import Database, flush
from tests.sources.base import FAR, Source, Truth, transaction
from tests.sources.knows import Kind
from tests.sources.pgmq import PgmqSource

_ENDED = "least(completed, failed, cancelled)"
_OUTCOME = """case when dead is not null then 'dead_lettered' when cancelled is not null then 'cancelled'
                   when completed is not null then 'completed' when attempt < max_attempts then 'retried'
                   else 'failed' end"""


class JobTableSource(Source):
    """A row an attempt; a product's own statements."""

    label = "jobtable:tracking"
    source = "none"
    odd_names = ("Mail.Out", "it's", 'say "hi"', "a b%s\\", "ünï_✓", "{x}", "q" * 255)

    def __init__(self, kind: Kind, database: Database) -> None:
        super().__init__(kind, database)
        create(self.sql)

    @property
    def keys(self) -> dict[str, Any]:
        """A queue that is named is known before it has a row."""
        return {"job_tables": described(source=self.source, queues=[*self.queues, "*"])}

    def _create(self, queue: str, dead_letter: str | None, retries: int) -> None:
        """There is nothing to make."""

    def _drop(self, queue: str) -> None:
        self.sql.execute("delete from public.jobs where queue = %s", [queue])

    def send(self, queue: str, jobs: int = 1, *, at: float | None = None) -> None:  # noqa: ARG002  # see below
        """Rows; of what is planned, the table knows nothing."""
        self.sql.execute(
            "insert into public.jobs (queue, enqueued) select %s, clock_timestamp() from generate_series(1, %s)",
            [queue, jobs],
        )

    def take(self, queue: str, jobs: int = 1) -> list[int]:
        """They start; their ids."""
        found = self.sql.execute(
            "update public.jobs set started = clock_timestamp() where id in (select id from public.jobs"
            " where queue = %s and started is null order by id limit %s) returning id",
            [queue, jobs],
        )
        return [row[0] for row in found]

    @property
    def ends(self) -> Mapping[str, Callable[[str, list[Any]], None]]:
        """By the time that is set."""
        return {
            names.COMPLETED: lambda _, jobs: self._end(jobs, "completed"),
            names.FAILED: lambda _, jobs: self._end(jobs, "failed", last=True),
            names.DEAD_LETTERED: lambda _, jobs: self._end(jobs, "failed", "dead"),
            names.CANCELLED: lambda _, jobs: self._end(jobs, "cancelled"),
        }

    def _end(self, jobs: list[Any], *columns: str, last: bool = False) -> None:
        ends = ", ".join(f"{column} = clock_timestamp()" for column in columns)
        attempt = ", attempt = max_attempts" if last else ""
        self.sql.execute(f"update public.jobs set {ends}{attempt} where id = any(%s)", [jobs])

    def retry(self, queue: str, jobs: list[Any]) -> None:  # noqa: ARG002  # a row knows its queue
        """The attempt's row ends, and the next one begins."""
        self._end(jobs, "failed")
        self.sql.execute(
            "insert into public.jobs (queue, attempt, enqueued)"
            " select queue, attempt + 1, clock_timestamp() from public.jobs where id = any(%s)",
            [jobs],
        )

    def shift(self, queue: str, seconds: float) -> None:
        """Moves the times of started rows back."""
        self.sql.execute(
            f"update public.jobs set enqueued = enqueued - make_interval(secs => %s),"
            f" started = started - make_interval(secs => %s)"
            f" where queue = %s and started is not null and {_ENDED} is null",
            [seconds, seconds, queue],
        )

    @contextmanager
    def work(self, queue: str, fates: Sequence[str]) -> Iterator[Callable[[], bool]]:
        """A worker of our own, who ends one job each time it is asked."""
        self.send(queue, len(fates))
        fate = dict(zip(self._waiting(queue), fates, strict=True))

        def done() -> bool:
            jobs = self.take(queue)
            if not jobs:
                return True
            if fate.get(jobs[0]) == "again":
                self.retry(queue, jobs)
            else:
                self.ends[names.FAILED if fate.get(jobs[0]) == "fail" else names.COMPLETED](queue, jobs)
            return False

        yield done

    def _waiting(self, queue: str) -> list[int]:
        found = self.sql.execute("select id from public.jobs where queue = %s and started is null order by id", [queue])
        return [row[0] for row in found]

    @contextmanager
    def late(self, queue: str, *, commit: bool = True) -> Iterator[None]:
        """One begins and another ends, stamped with the transaction's start."""
        with transaction(self.database, commit=commit) as connection:
            connection.execute("insert into public.jobs (queue, enqueued) values (%s, now())", [queue])
            connection.execute(
                "insert into public.jobs (queue, enqueued, started, completed)"
                " values (%s, now(), now() - interval '1 s', now())",
                [queue],
            )
            yield

    def crash(self, queue: str) -> float:
        """A row that begins and does not end."""
        self.send(queue)
        self.take(queue)
        return self.now()

    @contextmanager
    def lock(self, queue: str) -> Iterator[None]:  # noqa: ARG002  # all in one table
        """As while a table is altered."""
        with self.database.connect() as connection, connection.transaction():
            connection.execute("lock table public.jobs in access exclusive mode")
            yield

    def flush(self) -> None:
        """All that is done is done in our own session."""
        flush(self.sql)

    def truth(self, queue: str) -> Truth:
        """Of rows that ended."""
        finished: dict[str, int] = {}
        runs: dict[str, list[float]] = {outcome: [] for outcome in self.knows.runs}
        waits: list[float] = []
        for outcome, attempt, run, wait in self.sql.execute(
            f"""select {_OUTCOME}, attempt, extract(epoch from {_ENDED} - started)::float8,
                       extract(epoch from started - enqueued)::float8
                  from public.jobs where queue = %s and {_ENDED} is not null""",
            [queue],
        ):
            finished[outcome] = finished.get(outcome, 0) + 1
            if outcome in (names.COMPLETED, names.FAILED, names.DEAD_LETTERED):
                runs[names.COMPLETED if outcome == names.COMPLETED else names.FAILED].append(run)
                waits += [wait] if attempt == 1 else []
        row = self.sql.execute("select count(enqueued) from public.jobs where queue = %s", [queue]).fetchone()
        assert row is not None
        return Truth(
            states={},
            oldest_ready=None,
            finished=finished,
            runs=runs,
            waits=waits,
            retried=finished.get("retried", 0),
            info=(*self.role(queue), "", "", ""),
            metrics={names.ENQUEUED: row[0]},
        )


class _Beside(JobTableSource):
    """A table that describes pgmq's queues."""

    source = "pgmq"


class DescribedSource(PgmqSource):
    """pgmq's queues, whose outcomes a job table records; what identifies a job is its id there and here."""

    def __init__(self, kind: Kind, database: Database) -> None:
        super().__init__(kind, database)
        self.rows = _Beside("job table", database)
        self.rows.queues = self.queues

    @property
    def keys(self) -> dict[str, Any]:
        """Both."""
        return {**super().keys, **self.rows.keys}

    @property
    def part_label(self) -> str:
        """What is locked is the job table."""
        return self.rows.label

    @property
    def apart(self) -> bool:
        """Nobody can send while it is locked."""
        return False

    def close(self) -> None:
        """Both."""
        self.rows.close()
        super().close()

    def _drop(self, queue: str) -> None:
        super()._drop(queue)
        self.rows._drop(queue)

    def send(self, queue: str, jobs: int = 1, *, at: float | None = None) -> None:
        """A message and a row each."""
        super().send(queue, jobs, at=at)
        self.rows.send(queue, jobs)

    def take(self, queue: str, jobs: int = 1, *, lease: int = FAR) -> list[Any]:
        """Messages, and as many rows."""
        messages = super().take(queue, jobs, lease=lease)
        return list(zip(messages, self.rows.take(queue, len(messages)), strict=True))

    @property
    def ends(self) -> Mapping[str, Callable[[str, list[Any]], None]]:
        """The row says how; the message is deleted."""

        def end(outcome: str) -> Callable[[str, list[Any]], None]:
            def both(queue: str, jobs: list[Any]) -> None:
                self.rows.ends[outcome](queue, [row for _, row in jobs])
                self._delete(queue, [message for message, _ in jobs])

            return both

        return {outcome: end(outcome) for outcome in self.rows.ends}

    def retry(self, queue: str, jobs: list[Any]) -> None:
        """The message comes again, the row does not."""
        super().retry(queue, [message for message, _ in jobs])
        self.rows.retry(queue, [row for _, row in jobs])

    def shift(self, queue: str, seconds: float) -> None:
        """Both."""
        super().shift(queue, seconds)
        self.rows.shift(queue, seconds)

    @contextmanager
    def work(self, queue: str, fates: Sequence[str]) -> Iterator[Callable[[], bool]]:
        """Two workers, who know nothing of each other."""
        with super().work(queue, fates) as messages, self.rows.work(queue, fates) as rows:
            yield lambda: all([messages(), rows()])

    @contextmanager
    def late(self, queue: str, *, commit: bool = True) -> Iterator[None]:
        """Both."""
        with super().late(queue, commit=commit), self.rows.late(queue, commit=commit):
            yield

    @contextmanager
    def lock(self, queue: str) -> Iterator[None]:
        """Of the table, not of the queue."""
        with self.rows.lock(queue):
            yield

    def flush(self) -> None:
        """Both."""
        super().flush()
        self.rows.flush()

    def truth(self, queue: str) -> Truth:
        """States and ages of the messages, outcomes of the rows."""
        rows = self.rows.truth(queue)
        return (
            super()
            .truth(queue)
            ._replace(finished=rows.finished, runs=rows.runs, waits=rows.waits, retried=rows.retried)
        )
