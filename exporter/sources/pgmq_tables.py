"""Which queues there are and which tables they live in, as pgmq's catalogue and Postgres' own say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .relations import Relation


class Listed(NamedTuple):
    """A row of ``pgmq_queues.sql``: a queue as pgmq lists it."""

    queue: str
    partitioned: bool
    unlogged: bool
    queue_table: str
    archive_table: str


class Shape(NamedTuple):
    """A row of ``pgmq_shapes.sql``: what a table of this version of pgmq has."""

    relid: int
    columns: list[str]
    indexed: list[str]
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its partitions; ``leaves`` hold the rows (the table itself, when it is not partitioned)."""

    root: Relation
    leaves: tuple[Relation, ...]
    shape: Shape

    @property
    def relids(self) -> tuple[int, ...]:
        """The table and all of its partitions."""
        return (self.root.relid, *(leaf.relid for leaf in self.leaves if leaf is not self.root))

    def rewritten(self, before: Table) -> bool:
        """Whether a part that was there before was truncated or rewritten since."""
        filenodes = {leaf.relid: leaf.filenode for leaf in before.leaves}
        return any(filenodes.get(leaf.relid, leaf.filenode) != leaf.filenode for leaf in self.leaves)

    @property
    def key(self) -> str:
        """The column whose index gives the jobs in the order in which they were sent."""
        return "msg_id" if "msg_id" in self.shape.indexed else "enqueued_at"

    @property
    def probed_by_vt(self) -> bool:
        """Whether the longest-ready job is one index probe away."""
        return "vt" in self.shape.indexed and "msg_id" in self.shape.indexed

    @property
    def timed(self) -> bool:
        """Whether the archive tells how long jobs ran, and can be read by when they ended."""
        return "last_read_at" in self.shape.columns and "archived_at" in self.shape.indexed

    def has(self, column: str) -> bool:
        """Whether this version of pgmq has the column."""
        return column in self.shape.columns

    def rows(self) -> int:
        """How many rows the catalogue believes there are: right within what changed since statistics were lost."""
        return round(sum(_rows(leaf) for leaf in self.leaves))


def _rows(leaf: Relation) -> float:
    if leaf.maintained == 0 and leaf.planner_rows >= 0:
        # Statistics were reset (or lost in a crash) after the last ANALYZE: its count, and what changed since.
        return max(0.0, leaf.planner_rows + leaf.inserted - leaf.deleted)
    return leaf.live_rows


@dataclass(frozen=True, slots=True)
class Tables:
    """One queue's tables; the archive is None where it was dropped by hand."""

    schema: str
    listed: Listed
    queue: Table
    archive: Table | None


def assemble(
    schema: str, listed: Iterable[Listed], relations: Iterable[Relation], shapes: Mapping[int, Shape]
) -> tuple[dict[str, Tables], list[str]]:
    """Each queue with its tables, by name; and the names of queues that share another one's tables.

    pgmq lower-cases table names, so ``Mail`` and ``mail`` are two entries with one table: the first stands for
    both, or every job would be counted twice.
    """
    by_name: dict[str, Relation] = {}
    children: dict[int, list[Relation]] = {}
    for relation in relations:
        if relation.parent is None:
            by_name[relation.name] = relation
        else:
            children.setdefault(relation.parent, []).append(relation)

    def table(name: str) -> Table | None:
        root = by_name.get(name)
        if root is None or root.relid not in shapes:
            return None
        return Table(root, tuple(_leaves(root, children)), shapes[root.relid])

    found: dict[str, Tables] = {}
    taken: set[str] = set()
    shared: list[str] = []
    for entry in listed:
        queue = table(entry.queue_table)
        if queue is None:
            continue  # dropped a moment ago, or half made
        if entry.queue_table in taken:
            shared.append(entry.queue)
            continue
        taken.add(entry.queue_table)
        found[entry.queue] = Tables(schema, entry, queue, table(entry.archive_table))
    return found, shared


def _leaves(root: Relation, children: Mapping[int, list[Relation]]) -> Iterable[Relation]:
    below = children.get(root.relid)
    if below is None:
        yield root
        return
    for child in below:
        yield from _leaves(child, children)
