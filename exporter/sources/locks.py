"""A look at who is open now: what the fence of a source waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .fence import Open, Transactions
from .postgres import statement
from .relations import oids

if TYPE_CHECKING:
    from ..config import Database
    from .postgres import Session


class _Lock(NamedTuple):
    """A row of ``locks.sql``: one open transaction; ``transaction`` is None when there is none."""

    now: float
    transaction: str | None
    writing: bool
    relations: list[int]


def look(session: Session, database: Database, transactions: Transactions, relids: list[int]) -> float:
    """Let ``transactions`` see who is open, and who may have written to these tables; gives the look's clock."""
    rows = session.read(statement("locks", database=session.server.database_oid, relids=oids(relids)), _Lock)
    clock = rows[0].now
    found = {row.transaction: Open(row.writing, frozenset(row.relations)) for row in rows if row.transaction}
    transactions.look(clock, found, patience=database.settle_max, patience_writing=database.settle_max_writing)
    return clock
