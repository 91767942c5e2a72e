"""The tables of a schema, as the catalogue and the statistics know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .postgres import statement

if TYPE_CHECKING:
    from .postgres import Query, Session


class Relation(NamedTuple):
    """A row of ``relations.sql``: one table and what Postgres counts of it (rows, bytes, epoch seconds)."""

    relid: int
    name: str
    kind: str
    parent: int | None
    filenode: int
    readable: bool
    hidden: bool
    inserted: int
    updated: int
    deleted: int
    live_rows: int
    dead_rows: int
    maintained: int
    vacuumed_at: float | None
    planner_rows: float
    bytes: int
    now: float
    standby: bool


def read_relations(session: Session, schema: str, which: Query, function: str = "") -> list[Relation]:
    """The schema's tables for which the condition ``which`` holds; takes the server's clock and role from them.

    ``function`` gives the same to a role that may not read them: as its owner sees them.
    """
    relations = session.read(statement("relations", function, schema=schema, which=which), Relation)
    if relations:
        session.set_clock(relations[0].now)
        session.set_standby(standby=relations[0].standby)
    return relations


def oids(relids: list[int]) -> str:
    """Relation ids as an array's literal."""
    return "{" + ",".join(map(str, relids)) + "}"
