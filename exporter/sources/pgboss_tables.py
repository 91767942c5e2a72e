"""Which queues pg-boss has, which tables their jobs live in, and by which indexes those can be read.

Versions differ in columns and indexes, and an upgrade in place builds indexes in the background: what is there is
looked up in the catalogue, never concluded from a version's number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from .postgres import filled, identifier, joined, literal, raw

if TYPE_CHECKING:
    from .postgres import Query
    from .relations import Relation

#: The queue through which pg-boss forwards its recurring jobs: its own, not one of the application's.
SEND_IT: Final = "__pgboss__send-it"

#: Casts and parentheses, which differ between servers and schemas, taken out of an index's predicate.
NOISE: Final = re.compile(r'::(?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))*(?:\[\])?|[()]')

#: The columns of jobs that are read, of those that a version has.
_COLUMNS: Final = (
    "name", "state", "priority", "created_on", "start_after", "started_on", "completed_on", "retry_count",
    "dead_letter", "blocked", "expire_seconds", "expire_in", "heartbeat_on", "heartbeat_seconds",
    "singleton_key", "singleton_on",
)  # fmt: skip

LIVE: Final = "state = ANY ARRAY['created', 'retry', 'active', 'failed']"
QUEUED: Final = ("state < 'active'", "state < 'active' AND NOT blocked")


class Shape(NamedTuple):
    """A row of ``pgboss_shapes.sql``."""

    relid: int
    columns: list[str]
    indexes: list[str]


class Listed(NamedTuple):
    """A row of ``pgboss_queues.sql``: a queue as pg-boss lists it; what this version does not have is None."""

    queue: str
    policy: str | None
    dead_letter: str | None
    table_name: str | None
    partition: bool | None
    retry_limit: int | None
    deletion_seconds: int | None
    deferred_count: int | None
    queued_count: int | None
    ready_count: int | None
    active_count: int | None
    failed_count: int | None
    blocked_count: int | None
    monitored_at: float | None
    maintained_at: float | None

    @property
    def cached_ready(self) -> int | None:
        """How many jobs were ready when pg-boss last counted them; None where it does not."""
        if self.monitored_at is None or self.queued_count is None:
            return None
        waiting = max(0, self.queued_count - (self.deferred_count or 0) - (self.blocked_count or 0))
        return self.ready_count if self.ready_count is not None and self.ready_count == waiting else waiting

    @property
    def cached_failed(self) -> int | None:
        """The same of failed jobs. Just upgraded, new counters are 0 beside old ones: those that do not add up."""
        if self.monitored_at is None or (self.ready_count is not None and self.ready_count != self.cached_ready):
            return None
        return self.failed_count


@dataclass(frozen=True, slots=True)
class JobTable:
    """A table that holds jobs, of one queue or of several, and the predicates of the indexes it can be read by.

    Each predicate is the index's own, word for word, or the planner would not recognise it; None without the index.
    """

    relation: Relation
    schema: str
    columns: frozenset[str]
    #: Keys ``(name, state[, blocked], start_after)`` of created, retry, active and failed jobs.
    live: str | None
    #: Keys ``(name, start_after)`` of queued jobs.
    fetch: str | None
    #: Keys ``(name, priority desc, created_on, start_after)`` of queued jobs.
    order: str | None
    #: Keys ``(name, created_on)``.
    created: str | None
    #: Keys ``(name, completed_on)``.
    completed: str | None
    #: The table that ended jobs move to, where this version has one.
    archive: Relation | None
    #: That table's columns.
    archive_columns: frozenset[str] = frozenset()
    #: Whether it is read as a partition of ``job``: the role may read that, and not the partition by itself.
    through_parent: bool = False

    @property
    def name(self) -> Query:
        """The relation that is read, quoted: its own, or the partitioned one."""
        return identifier(self.schema, "job" if self.through_parent else self.relation.name)

    def of(self, queues: Iterable[str]) -> Query:
        """A condition on what is read: only these queues' partitions."""
        if not self.through_parent:
            return raw("true")
        # Names written out: other partitions are left out while planning, and so not locked.
        return filled("name in ({names})", names=joined(", ", [literal(queue) for queue in queues]))

    def rows(self, queues: Iterable[str], *, whole: bool = False) -> Query:
        """What to select these queues' jobs from; ``whole``: with every column, also the payload's."""
        if not self.through_parent:
            return self.name
        columns = joined(", ", [identifier(column) for column in _COLUMNS if column in self.columns])
        return filled(
            "(select {columns} from {job} where {queues})",
            columns=raw("*") if whole else columns,
            job=self.name,
            queues=self.of(queues),
        )

    @property
    def relid(self) -> int:
        """The relation's id."""
        return self.relation.relid

    @property
    def windowed(self) -> bool:
        """Whether created and ended jobs can be read by a window of time; otherwise it takes a scan."""
        return self.created is not None and self.completed is not None

    @property
    def counted(self) -> bool:
        """Whether an index leads to ready and scheduled jobs."""
        return self.probed or self.order is not None

    @property
    def probed(self) -> bool:
        """Whether the longest-ready job is one index probe away."""
        return self.live is not None or self.fetch is not None

    @property
    def own(self) -> bool:
        """Whether it holds the jobs of one queue only."""
        return self.relation.parent is not None and self.relation.name != "job_common"

    def statistics(self) -> tuple[int, ...]:
        """Changes when a job may have."""
        relation = self.relation
        return (relation.relid, relation.filenode, relation.inserted, relation.updated, relation.deleted)


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one pg-boss schema, by name, and their shapes by relation id."""

    name: str
    relations: Mapping[str, Relation]
    shapes: Mapping[int, Shape]

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; none when it is not there."""
        relation = self.relations.get(table)
        shape = self.shapes.get(relation.relid) if relation is not None else None
        return frozenset(shape.columns) if shape is not None else frozenset()

    def table(self, name: str) -> Query:
        """A table, quoted."""
        return identifier(self.name, name)

    def job_table(self, listed: Listed) -> JobTable | None:
        """The table that holds a queue's jobs; None when it was dropped a moment ago."""
        relation = self.relations.get(listed.table_name or "job") or self._unpartitioned()
        shape = self.shapes.get(relation.relid) if relation is not None else None
        if relation is None or shape is None:
            return None
        job = self.relations.get("job")
        through_parent = not relation.readable and relation.parent is not None and job is not None and job.readable
        if through_parent and job is not None:
            relation = relation._replace(readable=True, hidden=job.hidden)
        indexes = [_Index.of(text) for text in shape.indexes]
        live_keys = (
            ("name", "state", "blocked", "start_after")
            if "blocked" in shape.columns
            else ("name", "state", "start_after")
        )
        return JobTable(
            relation=relation,
            schema=self.name,
            columns=frozenset(shape.columns),
            live=_find(indexes, live_keys, (LIVE,)),
            fetch=_find(indexes, ("name", "start_after"), QUEUED),
            order=_find(indexes, ("name", "priority", "created_on", "start_after"), QUEUED),
            created=_find(indexes, ("name", "created_on"), ("",)),
            completed=_find(indexes, ("name", "completed_on"), ("", "completed_on IS NOT NULL")),
            archive=self.relations.get("archive"),
            archive_columns=self.columns("archive"),
            through_parent=through_parent,
        )

    def _unpartitioned(self) -> Relation | None:
        job = self.relations.get("job")
        return job if job is not None and job.kind == "r" else None


def select_column(columns: Collection[str], name: str, type_: str) -> Query:
    """A column, or a null of its type where this version does not have it."""
    return raw(name if name in columns else f"null::{type_} as {name}")


class _Index(NamedTuple):
    keys: tuple[str, ...]
    predicate: str

    @classmethod
    def of(cls, text: str) -> _Index:
        keys, _, predicate = text.partition("|")
        return cls(tuple(keys.split(",")), predicate)


def _find(indexes: Iterable[_Index], keys: tuple[str, ...], predicates: tuple[str, ...]) -> str | None:
    """The predicate (``true`` when it has none) of an index that begins with these keys and holds such rows."""
    for index in indexes:
        if index.keys[: len(keys)] == keys and NOISE.sub("", index.predicate) in predicates:
            return index.predicate or "true"
    return None
