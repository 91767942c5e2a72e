"""pgmq, of every shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

from psycopg import sql

from exporter import names
from tests.pgmq_install import SHAPES, Shape, install_pgmq
from tests.servers import Database, flush
from tests.sources.base import FAR, Since, Source, Truth, transaction
from tests.sources.knows import Kind

#: Jobs read more often than this are poison: low, so that there are some.
POISON = 1


class PgmqSource(Source):
    """pgmq keeps no trace of what was deleted, and counts attempts: those two are kept by us."""

    label = "pgmq"
    odd_names = ("Mail.Out", 'say "hi"', "a b%s\\", "ünï_✓", "{x}", "q" * 47)

    def __init__(self, kind: Kind, database: Database) -> None:
        super().__init__(kind, database)
        self.shape = cast("Shape", kind.removeprefix("pgmq ")) if kind.removeprefix("pgmq ") in SHAPES else "1.13"
        self.done: Counter[tuple[str, str]] = Counter()
        install_pgmq(database.dsn, self.shape)

    @property
    def keys(self) -> dict[str, Any]:
        """Waits are off by default."""
        return {"pgmq": {"wait_histogram": True}, "poison_limit": POISON}

    @property
    def timed(self) -> bool:
        """Whether it notes when a job was read."""
        return self.shape == "1.13"

    def table(self, queue: str, which: Literal["q", "a"] = "q") -> sql.Identifier:
        """A table of the queue."""
        return sql.Identifier("pgmq", f"{which}_{queue}".lower())

    def _query(self, text: str, queue: str) -> sql.Composed:
        return sql.SQL(text).format(q=self.table(queue), a=self.table(queue, "a"))

    def _create(self, queue: str, dead_letter: str | None, retries: int) -> None:  # noqa: ARG002  # it retries nothing
        assert dead_letter in (None, f"{queue}_dlq"), "the configuration knows it by its name"
        self.sql.execute("select pgmq.create(%s)", [queue])

    def _drop(self, queue: str) -> None:
        self.sql.execute("select pgmq.drop_queue(%s)", [queue])

    def clear(self) -> None:
        """Also forget what was kept."""
        super().clear()
        self.done.clear()

    def send(self, queue: str, jobs: int = 1, *, at: float | None = None) -> None:
        """Enqueue jobs."""
        self._send(queue, jobs, at)

    def _send(self, queue: str, jobs: int = 1, at: float | None = None) -> None:
        when = sql.SQL("clock_timestamp()") if at is None else sql.SQL("to_timestamp({})").format(at)
        self.sql.execute(
            sql.SQL("select pgmq.send({}, '{{}}', {}) from generate_series(1, {})").format(queue, when, jobs)
        )
        self.done[queue, "sent"] += jobs

    def take(self, queue: str, jobs: int = 1, *, lease: int = FAR) -> list[Any]:
        """Read jobs; their ids."""
        return self._read(queue, jobs, lease)

    def _read(self, queue: str, jobs: int = 1, lease: int = FAR) -> list[int]:
        ids = [row[0] for row in self.sql.execute("select msg_id from pgmq.read(%s, %s, %s)", [queue, lease, jobs])]
        self.done[queue, "dequeued"] += len(ids)
        return ids

    @property
    def ends(self) -> Mapping[str, Callable[[str, list[Any]], None]]:
        """Deleted, or archived."""
        return {names.COMPLETED: self._delete, names.ARCHIVED: self._archive}

    def _delete(self, queue: str, jobs: list[Any]) -> None:
        self.sql.execute("select pgmq.delete(%s, %s::bigint[])", [queue, jobs])
        self.done[queue, names.COMPLETED] += len(jobs)

    def _archive(self, queue: str, jobs: list[Any]) -> None:
        self.sql.execute("select pgmq.archive(%s, %s::bigint[])", [queue, jobs])
        self.done[queue, names.ARCHIVED] += len(jobs)

    def retry(self, queue: str, jobs: list[Any]) -> None:
        """Their leases end now."""
        self._release(queue, jobs)

    def _release(self, queue: str, jobs: list[Any]) -> None:
        for job in jobs:
            self.sql.execute("select pgmq.set_vt(%s, %s::bigint, 0)", [queue, job])
        self.done[queue, "dequeued"] += len(jobs)

    def shift(self, queue: str, seconds: float) -> None:
        """Moves the times of leased jobs back."""
        columns = ("enqueued_at", "last_read_at") if self.timed else ("enqueued_at",)
        moved = self.sql.execute(
            sql.SQL("update {} set {} where read_ct > 0 and vt > now()").format(
                self.table(queue),
                sql.SQL(", ").join(
                    sql.SQL("{0} = {0} - make_interval(secs => {1})").format(sql.Identifier(column), seconds)
                    for column in columns
                ),
            )
        ).rowcount
        self.done[queue, "dequeued"] += moved

    @contextmanager
    def work(self, queue: str, fates: Sequence[str]) -> Iterator[Callable[[], bool]]:
        """A worker of our own: success is a delete, failure an archived job."""
        for fate in fates:
            self.sql.execute("select pgmq.send(%s, jsonb_build_object('fate', %s::text))", [queue, fate])
            self.done[queue, "sent"] += 1

        def done() -> bool:
            row = self.sql.execute(
                "select msg_id, read_ct, message ->> 'fate' from pgmq.read(%s, 60, 1)", [queue]
            ).fetchone()
            if row is None:
                return True
            self.done[queue, "dequeued"] += 1
            if row[2] == "again" and row[1] == 1:
                self._release(queue, [row[0]])
            else:
                (self._archive if row[2] == "fail" else self._delete)(queue, [row[0]])
            return False

        yield done

    @contextmanager
    def late(self, queue: str, *, commit: bool = True) -> Iterator[None]:
        """One is sent, and one that was read is archived."""
        self._send(queue)
        (job,) = self._read(queue)
        with transaction(self.database, commit=commit) as connection:
            connection.execute("select pgmq.send(%s, '{}')", [queue])
            connection.execute("select pgmq.archive(%s, %s::bigint)", [queue, job])
            # Attempts, rolled-back ones too; the sequence shows at once what the other statistics show at the end.
            self.done[queue, "sent"] += 1
            yield
        self.done[queue, names.ARCHIVED] += 1

    def crash(self, queue: str) -> float:
        """A worker takes a job for a second and is not heard of again; when its time is up."""
        self.send(queue)
        self.take(queue, lease=1)
        row = self.sql.execute(self._query("select extract(epoch from max(vt))::float8 from {q}", queue)).fetchone()
        assert row is not None
        return float(row[0])

    @contextmanager
    def lock(self, queue: str) -> Iterator[None]:
        """As while a table is altered."""
        with self.database.connect() as connection, connection.transaction():
            connection.execute(sql.SQL("lock table {} in access exclusive mode").format(self.table(queue)))
            yield

    def flush(self) -> None:
        """All that is done is done in our own session."""
        flush(self.sql)

    def truth(self, queue: str) -> Truth:
        """The tables, and what we kept."""
        done = self.done
        leased = "extract(epoch from min(last_read_at) filter (where vt > now() and read_ct > 0))::float8"
        row = self.sql.execute(
            self._query(
                f"""select count(*) filter (where vt <= now()), count(*) filter (where vt > now() and read_ct = 0),
                           count(*) filter (where vt > now() and read_ct > 0),
                           (select count(*) from {{q}} where msg_id < coalesce(
                             (select min(msg_id) from {{q}} where vt <= now()), 9e18)),
                           count(*) filter (where read_ct > {POISON}),
                           extract(epoch from min(vt) filter (where vt <= now()))::float8,
                           extract(epoch from min(enqueued_at))::float8,
                           {leased if self.timed else "null::float8"}
                      from {{q}}""",
                queue,
            )
        ).fetchone()
        assert row is not None
        ready, scheduled, in_flight, head, poison, oldest_ready, oldest, oldest_read = row
        runs: list[float] = []
        waits: list[float] = []
        if self.timed:
            for run, wait, reads in self.sql.execute(
                self._query(
                    """select extract(epoch from archived_at - last_read_at)::float8,
                              extract(epoch from last_read_at - enqueued_at)::float8, read_ct
                         from {a} where last_read_at is not null""",
                    queue,
                )
            ):
                runs.append(run)
                waits += [wait] if reads == 1 else []
        role, *letters = self.role(queue)
        return Truth(
            states={names.READY: ready, names.SCHEDULED: scheduled, names.IN_FLIGHT: in_flight},
            oldest_ready=oldest_ready,
            finished={outcome: done[queue, outcome] for outcome in (names.COMPLETED, names.ARCHIVED)},
            runs={names.ARCHIVED: runs},
            waits=waits,
            retried=0,
            info=(role, letters[0], letters[1], "false", "false", ""),
            metrics={
                names.OLDEST_JOB_AGE: Since(oldest),
                names.OLDEST_IN_FLIGHT_AGE: Since(oldest_read),
                names.ENQUEUED: done[queue, "sent"],
                names.DEQUEUED: done[queue, "dequeued"],
                names.UNREADY_HEAD: head,
                **({} if role == names.DEAD_LETTER else {names.REDELIVERED: poison}),
            },
        )
