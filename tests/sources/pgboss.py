"""Real pg-boss, of every version."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from psycopg import sql

from exporter import names
from tests.pgboss import PATIENCE, PgBoss, Version
from tests.servers import Database, flush
from tests.sources.base import Anything, Key, Since, Source, Truth, transaction
from tests.sources.knows import Kind

#: What a worker does with a job of that fate.
DATA: dict[str, dict[str, Any]] = {"succeed": {"do": "succeed"}, "fail": {"do": "fail"}, "again": {"do": "nth", "n": 2}}

#: Worker processes of one queue.
WORKERS = 3


class PgBossSource(Source):
    """One instance, with one session, in schema `pgboss`."""

    label = "pgboss"

    def __init__(self, kind: Kind, database: Database) -> None:
        super().__init__(kind, database)
        self.version = cast("Version", kind.removeprefix("pg-boss "))
        self.boss = PgBoss(self.version, database.dsn, max=1)
        self.retries: dict[str, int] = {}
        #: Queues with a recurring job, and by how many seconds it is late.
        self.recurring: dict[str, object] = {}
        plain = ("Mail.Out", "a-b_c.d", "q" * 255)
        # Before 12, one letter in a name is enough for pg-boss; 11 takes no apostrophe.
        anything = ('say "hi"', "a b%s", "ünï_✓", "{x}")
        more = {"10": (*anything, "it's"), "11": anything}
        self.odd_names = (*plain, *more.get(self.version, ("a/b",)))

    @property
    def keys(self) -> dict[str, Any]:
        """A scan of even a small table is over the usual budget when it runs at every collection."""
        return {"budget": "50%"}

    def close(self) -> None:
        """Also ends pg-boss."""
        self.boss.close()
        super().close()

    @property
    def blocks(self) -> bool:
        """Whether jobs can wait for others."""
        return names.BLOCKED in self.knows.states

    def _create(self, queue: str, dead_letter: str | None, retries: int) -> None:
        options: dict[str, Any] = {} if dead_letter is None else {"deadLetter": dead_letter}
        self.boss.create_queue(queue, retryLimit=retries, **options)
        self.retries[queue] = retries

    def _drop(self, queue: str) -> None:
        for table in ("job", "archive") if self.version == "10" else ("job",):
            self.sql.execute(f"delete from pgboss.{table} where name = %s", [queue])  # 10 drops no queue with jobs
        self.boss.delete_queue(queue)
        self.recurring.pop(queue, None)

    def send(self, queue: str, jobs: int = 1, *, at: float | None = None) -> None:
        """Enqueue jobs."""
        if at is None:
            self.boss.insert(queue, [{"data": {}}] * jobs)
            return
        row = self.sql.execute(
            "select to_char(to_timestamp(%s) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", [at]
        ).fetchone()
        assert row is not None
        for _ in range(jobs):
            self.boss.send(queue, {}, startAfter=row[0])

    def take(self, queue: str, jobs: int = 1) -> list[str]:
        """Fetch jobs; their ids."""
        return [job.id for job in self.boss.fetch(queue, jobs)]

    @property
    def ends(self) -> Mapping[str, Callable[[str, list[Any]], None]]:
        """Of a queue without retries; with a dead letter queue, what fails is a dead letter."""
        boss = self.boss
        return {
            names.COMPLETED: lambda queue, jobs: _all(boss.complete(queue, *jobs), jobs),
            names.FAILED: lambda queue, jobs: _all(boss.fail(queue, *jobs), jobs),
            names.DEAD_LETTERED: lambda queue, jobs: _all(boss.fail(queue, *jobs), jobs),
            names.CANCELLED: lambda queue, jobs: _all(boss.cancel(queue, *jobs), jobs),
        }

    def retry(self, queue: str, jobs: list[Any]) -> None:
        """They fail, and have attempts left."""
        self.boss.fail(queue, *jobs)

    def shift(self, queue: str, seconds: float) -> None:
        """Moves the times of active jobs back."""
        self.sql.execute(
            "update pgboss.job set created_on = created_on - make_interval(secs => %(s)s),"
            " start_after = start_after - make_interval(secs => %(s)s),"
            " started_on = started_on - make_interval(secs => %(s)s) where name = %(queue)s and state = 'active'",
            {"s": seconds, "queue": queue},
        )

    @contextmanager
    def work(self, queue: str, fates: Sequence[str]) -> Iterator[Callable[[], bool]]:
        """Workers in the process of pg-boss."""
        self.boss.insert(queue, [{"data": DATA[fate]} for fate in fates])
        for _ in range(WORKERS):
            self.boss.work(queue)

        def done() -> bool:
            time.sleep(0.05)  # the workers', not ours
            row = self.sql.execute(
                "select count(*) from pgboss.job where name = %s and state < 'completed'", [queue]
            ).fetchone()
            return row == (0,)

        yield done
        self.boss.off_work(queue)

    @contextmanager
    def late(self, queue: str, *, commit: bool = True) -> Iterator[None]:
        """As pg-boss does with a transaction that is handed to it."""
        with transaction(self.database, commit=commit) as connection:
            connection.execute("insert into pgboss.job (name) values (%s)", [queue])
            connection.execute(
                "insert into pgboss.job (name, state, started_on, completed_on)"
                " values (%s, 'completed', now() - interval '1 s', now())",
                [queue],
            )
            yield

    def crash(self, queue: str) -> float:
        """A worker takes a job for a second and is not heard of again; when its time is up."""
        self.boss.send(queue, {}, expireInSeconds=1)
        (job,) = self.boss.fetch(queue)
        row = self.sql.execute(
            "select extract(epoch from started_on)::float8 + 1 from pgboss.job where id = %s", [job.id]
        ).fetchone()
        assert row is not None
        return float(row[0])

    def clean_up(self) -> None:
        """Supervision."""
        self.boss.supervise()

    def block(self, queue: str) -> None:
        """One job, and one that waits for it."""
        self.boss.flow(
            [
                {"ref": "first", "queue": queue, "data": {}},
                {"ref": "second", "queue": queue, "data": {}, "dependsOn": ["first"]},
            ]
        )

    def recur(self, queue: str) -> None:
        """A job each minute, until the first has come; then nobody sends them any more."""
        with PgBoss(
            self.version,
            self.database.dsn,
            schedule=True,
            cronMonitorIntervalSeconds=1,
            cronWorkerIntervalSeconds=1,
        ) as boss:
            boss.schedule(queue, "* * * * *", {}, tz="Asia/Kolkata")
            until = time.monotonic() + PATIENCE
            while not self.sql.execute("select 1 from pgboss.job where name = %s", [queue]).fetchone():
                assert time.monotonic() < until, "the recurring job did not come"
                time.sleep(0.05)
            boss.stop()
        self.recurring[queue] = 0

    def miss(self, queue: str, minutes: int) -> None:
        """As if that had been so many minutes ago."""
        self.sql.execute(
            "update pgboss.job set created_on = created_on - make_interval(mins => %(m)s),"
            " singleton_on = singleton_on - make_interval(mins => %(m)s) where name = '__pgboss__send-it'",
            {"m": minutes},
        )
        self.sql.execute(
            "update pgboss.schedule set updated_on = now() - interval '1 h', created_on = now() - interval '1 h'"
        )
        self.recurring[queue] = Anything()

    def expected(self, queue: str) -> dict[Key, object]:
        """Also of recurring jobs."""
        found = super().expected(queue)
        if queue in self.recurring:
            found[names.SCHEDULE_OVERDUE, ("",)] = self.recurring[queue]
        return found

    def table_of(self, queue: str) -> str:
        """The table that holds the queue's jobs."""
        column = "partition_name" if self.version == "10" else "table_name"
        row = self.sql.execute(f"select {column} from pgboss.queue where name = %s", [queue]).fetchone()
        assert row is not None
        return str(row[0])

    @contextmanager
    def lock(self, queue: str) -> Iterator[None]:
        """As while a table is altered."""
        table = sql.Identifier("pgboss", self.table_of(queue))
        with self.database.connect() as connection, connection.transaction():
            connection.execute(sql.SQL("lock table {} in access exclusive mode").format(table))
            yield

    def flush(self) -> None:
        """Our session, and that of pg-boss."""
        flush(self.sql)
        self.boss.flush()

    def truth(self, queue: str) -> Truth:
        """All from the tables."""
        columns = "state::text, retry_count, start_after, created_on, started_on, completed_on, dead_letter, name"
        blocked = "blocked" if self.blocks else "false"
        archived = f"union all select {columns}, false from pgboss.archive" if self.version == "10" else ""
        expiry = "started_on + " + ("expire_in" if self.version == "10" else "expire_seconds * interval '1 s'")
        row = self.sql.execute(
            f"""with jobs as (select * from (select {columns}, {blocked} as blocked from pgboss.job {archived}) j
                               where name = %(queue)s),
                     waiting as (select *, start_after <= now() as due from jobs where state in ('created', 'retry')),
                     ended as (select *, case when state = 'failed' and dead_letter is not null then 'dead_lettered'
                                              else state end as outcome
                                 from jobs where state in ('completed', 'failed', 'cancelled'))
                select (select json_build_object('ready', count(*) filter (where due and not blocked),
                                                 'scheduled', count(*) filter (where not due and not blocked),
                                                 'blocked', count(*) filter (where blocked)) from waiting),
                       (select count(*) from jobs where state = 'active'),
                       (select count(*) from jobs where state = 'failed'),
                       (select extract(epoch from min(start_after))::float8 from waiting where due and not blocked),
                       (select extract(epoch from min(created_on))::float8 from jobs
                         where state in ('created', 'retry', 'active')),
                       (select extract(epoch from min(started_on))::float8 from jobs where state = 'active'),
                       (select count(*) from pgboss.job
                         where name = %(queue)s and state = 'active' and {expiry} < now()),
                       (select coalesce(json_object_agg(outcome, jobs), '{{}}')
                          from (select outcome, count(*) as jobs from ended group by 1) o),
                       (select coalesce(sum(retry_count), 0) from ended),
                       (select count(*) from jobs),
                       (select coalesce(json_agg(json_build_array(state,
                                 extract(epoch from completed_on - started_on)::float8,
                                 extract(epoch from started_on - greatest(created_on, start_after))::float8)), '[]')
                          from ended where state <> 'cancelled' and started_on is not null),
                       (select policy from pgboss.queue where name = %(queue)s)""",
            {"queue": queue},
        ).fetchone()
        assert row is not None
        waiting, active, failed, oldest_ready, oldest, oldest_active, expired = row[:7]
        finished, retried, all_jobs, times, policy = row[7:]
        own_table = "true" if self.table_of(queue) != "job_common" else "false"
        return Truth(
            states={**waiting, names.IN_FLIGHT: active, names.FAILED: failed},
            oldest_ready=oldest_ready,
            finished=finished,
            runs={state: [run for each, run, _ in times if each == state] for state in self.knows.runs},
            waits=[wait for _, _, wait in times],
            retried=int(retried),
            info=(*self.role(queue), own_table, "false", policy),
            metrics={
                names.OLDEST_JOB_AGE: Since(oldest),
                names.OLDEST_IN_FLIGHT_AGE: Since(oldest_active),
                names.ENQUEUED: all_jobs,
                names.JOBS_EXPIRED: expired,
                names.RETRY_LIMIT: self.retries[queue],
            },
        )


def _all(done: int, jobs: list[Any]) -> None:
    assert done == len(jobs)
