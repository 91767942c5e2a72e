"""pg-boss's own housekeeping: when it last ran, recurring jobs, recorded warnings, worker processes."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import SourceError
from ..model import Fault
from .pgboss_schedule import Schedule, ScheduleRow, due_after
from .pgboss_selects import function_of
from .pgboss_tables import SEND_IT
from .postgres import joined, raw, statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pgboss import PgBoss
    from .postgres import Query, Session

#: What the columns of ``version`` tell of, and of ``queue`` (the queue in which it is longest ago).
TASKS: Final = {
    "monitored_on": "monitor",
    "maintained_on": "maintain",
    "cron_on": "cron",
    "bam_on": "bam",
    "flow_on": "flow",
    "reindex_on": "reindex",
}


#: The types of warnings of all versions that record them.
_WARNINGS: Final = (
    "slow_query", "queue_backlog", "clock_skew", "index_bloat", "xmin_horizon", "autovacuum_disabled",
    "monitor_backoff", "invalid_schedule", "handler_overrun",
)  # fmt: skip


class VersionRow(NamedTuple):
    """A row of ``pgboss_version.sql``; times in the order of the columns that this version has."""

    version: int
    tasks: list[float | None]


class WarningsRow(NamedTuple):
    """A row of ``pgboss_warnings.sql``."""

    type: str
    warnings: int


class WorkersRow(NamedTuple):
    """A row of ``pgboss_workers.sql``: processes."""

    alive: int
    silent: int
    registered: int


class Maintenance:
    """What is remembered of one pg-boss schema's housekeeping. Times are the server's, but ``*_at``."""

    def __init__(self) -> None:
        self.version: int | None = None
        self.tasks: dict[str, float] = {}
        self.schedules: list[Schedule] = []
        self.warnings: Counter[str] = Counter()
        self.workers: WorkersRow | None = None
        #: Since when no worker is alive while there are jobs; None while one is, or there are none.
        self.gone_since: float | None = None
        #: By table: when it was last read (monotonic).
        self.read_at: dict[str, float] = {}
        self._warned_until: float | None = None
        #: By queue and key: when it was first seen, or fired since. Records of firings do not stay long.
        self._fired: dict[tuple[str, str], float] = {}
        #: When it came to be as it is. pg-boss stamps a schedule anew whenever an application starts and says the same.
        self._since: dict[tuple[str, str, str, str], float] = {}

    def read(self, session: Session, source: PgBoss) -> list[Fault]:
        """Read all of it; what fails is told, and the rest is read."""
        faults: list[Fault] = []
        schema = source.schema
        for table, what in (
            ("version", self._read_version),
            ("schedule", self._read_schedules),
            ("warning", self._read_warnings),
            ("instance", self._read_workers),
        ):
            self._attempt(table, what, session, source, faults)
        if "instance" not in schema.relations:
            self.workers = None
        return faults

    def _attempt(
        self,
        table: str,
        what: Callable[[Session, PgBoss], None],
        session: Session,
        source: PgBoss,
        faults: list[Fault],
    ) -> None:
        relation = source.schema.relations.get(table)
        if relation is None:
            return
        if relation.hidden:
            faults.append(Fault("", "hidden", f"row-level security hides rows of {table}"))
            return
        if not relation.readable:  # not asked, into the server's log, to be refused again and again
            faults.append(Fault("", "privilege", f"the role may not SELECT from {table}"))
            return
        try:
            what(session, source)
            self.read_at[table] = time.monotonic()
        except SourceError as error:
            if error.reason == "connection":
                raise
            if error.reason != "missing":  # an upgrade under way: the next look at the catalogue knows
                faults.append(Fault("", error.reason, error.detail))

    def _read_version(self, session: Session, source: PgBoss) -> None:
        schema = source.schema
        have = schema.columns("version")
        columns = [column for column in TASKS if column in have]
        times = joined(", ", [raw(f"extract(epoch from {column})::float8") for column in columns])
        select = statement(
            "pgboss_version",
            function_of(schema.name, "version"),
            tasks=joined("", [raw("array["), times, raw("]::float8[]")]),
            version_table=schema.table("version"),
        )
        rows = session.read(select, VersionRow)
        tasks: dict[str, float | None] = {}
        if rows:
            self.version = rows[0].version
            tasks = dict(zip((TASKS[column] for column in columns), rows[0].tasks, strict=True))
        listed = [queue.listed for queue in source.present_queues]
        for task, times_of in (
            ("monitor", [entry.monitored_at for entry in listed]),
            ("maintain", [entry.maintained_at for entry in listed]),
        ):
            known = [when for when in times_of if when is not None]
            if known:
                tasks[task] = min(known)
        self.tasks = {task: when for task, when in tasks.items() if when is not None}

    def _read_schedules(self, session: Session, source: PgBoss) -> None:
        schema = source.schema
        have = schema.columns("schedule")
        forwards = source.forwards
        key = "s.key" if "key" in have else "''"
        select = statement(
            "pgboss_schedules",
            function_of(schema.name, "schedules"),
            key=raw(key),
            kind=raw("s.kind" if "kind" in have else "'cron'"),
            # 12.31 and later escape underscores in the queue's name; either form is one schedule's.
            singleton_keys=raw(
                f"array[s.name || '__' || {key}, replace(s.name, '_', '\\_') || '__' || {key}]"
                if "key" in have
                else "array[s.name]"
            ),
            # Where nothing has ever been forwarded, no recurring job has come.
            table=forwards.rows([SEND_IT]) if forwards is not None else schema.table("job"),
            schedule=schema.table("schedule"),
        )
        now = session.now
        listed = [row for row in session.read(select, ScheduleRow) if row.queue in source.queues]
        since = self._since
        self._since = {row.identity: since.get(row.identity, row.since) for row in listed}
        rows = [row._replace(since=self._since[row.identity]) for row in listed]
        self._fired = {
            (row.queue, row.key): max(self._fired.get((row.queue, row.key), row.fired or now), row.fired or 0.0)
            for row in rows
        }
        self.schedules = [
            Schedule(
                row.queue, row.key, row.cron, row.timezone, row.kind, due_after(row, self._fired[row.queue, row.key])
            )
            for row in rows
        ]

    def _read_warnings(self, session: Session, source: PgBoss) -> None:
        settled = source.settled
        if settled is None:
            return
        if self._warned_until is None:  # the types that pg-boss knows are at 0 before the first
            self.warnings.update(dict.fromkeys(_WARNINGS, 0))
        after = self._warned_until if self._warned_until is not None else settled
        select = statement(
            "pgboss_warnings",
            function_of(source.schema.name, "warnings"),
            warning=source.schema.table("warning"),
            after=after,
            until=max(after, settled),
        )
        for row in session.read(select, WarningsRow):
            self.warnings[row.type] += row.warnings
        self._warned_until = max(after, settled)

    @staticmethod
    def _workers_select(source: PgBoss) -> Query:
        schema = source.schema
        return statement("pgboss_workers", function_of(schema.name, "workers"), instance=schema.table("instance"))

    def _read_workers(self, session: Session, source: PgBoss) -> None:
        rows = session.read(self._workers_select(source), WorkersRow)
        if rows[0].registered == 0 and self.workers is None:
            return  # no process has ever said that it runs: that nobody works cannot be told
        self.workers = rows[0]
        waiting = any(queue.has_jobs() for queue in source.present_queues)
        if self.workers.alive or not waiting:
            self.gone_since = None
        elif self.gone_since is None:
            self.gone_since = session.now
