"""Which queues pg-boss has, which tables their jobs live in, and by which indexes those can be read.

Versions differ in columns and indexes, and an upgrade in place builds indexes in the background: what is there is
looked up in the catalogue, never concluded from a version's number.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from .postgres import identifier, raw

if TYPE_CHECKING:
    from .postgres import Query
    from .relations import Relation

#: The queue through which pg-boss forwards its recurring jobs: its own, not one of the application's.
SEND_IT: Final = "__pgboss__send-it"

#: Casts and parentheses, which differ between servers and schemas, taken out of an index's predicate.
_NOISE: Final = re.compile(r'::(?:"(?:[^"]|"")+"|\w+)(?:\.(?:"(?:[^"]|"")+"|\w+))*(?:\[\])?|[()]')

_LIVE: Final = "state = ANY ARRAY['created', 'retry', 'active', 'failed']"
_QUEUED: Final = ("state < 'active'", "state < 'active' AND NOT blocked")


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
    monitored_at: float | None
    maintained_at: float | None

    @property
    def cached_ready(self) -> int | None:
        """How many jobs were ready when pg-boss last counted them; None where it does not."""
        if self.monitored_at is None or self.queued_count is None:
            return None
        if self.ready_count is not None:
            return self.ready_count
        return max(0, self.queued_count - (self.deferred_count or 0))


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

    @property
    def name(self) -> Query:
        """The table, quoted."""
        return identifier(self.schema, self.relation.name)

    @property
    def relid(self) -> int:
        """The relation's id."""
        return self.relation.relid

    @property
    def windowed(self) -> bool:
        """Whether created and ended jobs can be read by a window of time; otherwise it takes a scan."""
        return self.created is not None and self.completed is not None

    @property
    def probed(self) -> bool:
        """Whether the longest-ready job is one index probe away."""
        return self.live is not None or self.fetch is not None

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
        indexes = [_Index.of(text) for text in shape.indexes]
        live_keys = (
            ("name", "state", "blocked", "start_after")
            if "blocked" in shape.columns
            else (
                "name",
                "state",
                "start_after",
            )
        )
        return JobTable(
            relation=relation,
            schema=self.name,
            columns=frozenset(shape.columns),
            live=_find(indexes, live_keys, (_LIVE,)),
            fetch=_find(indexes, ("name", "start_after"), _QUEUED),
            order=_find(indexes, ("name", "priority", "created_on", "start_after"), _QUEUED),
            created=_find(indexes, ("name", "created_on"), ("",)),
            completed=_find(indexes, ("name", "completed_on"), ("", "completed_on IS NOT NULL")),
            archive=self.relations.get("archive"),
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
        if index.keys[: len(keys)] == keys and _NOISE.sub("", index.predicate) in predicates:
            return index.predicate or "true"
    return None
