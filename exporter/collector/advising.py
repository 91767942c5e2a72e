"""Indexes that would make watching cheaper, for people to make or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import SourceError
from .loop import Collection

if TYPE_CHECKING:
    from ..config import Database


def index_lines(database: Database) -> Iterator[str]:
    """SQL with comments, a statement a line. Raises SourceError when the database does not answer."""
    collection = Collection(database)
    try:
        collection.session.connect()
        collection.cycle()
        if not collection.up:
            raise SourceError("connection", f"{database.name}: the connection was lost")
        wanted = [index for source in collection.sources for index in source.indexes(collection.session, database)]
    finally:
        collection.close()
    yield f"-- {database.name}: " + (
        "each is optional; run them as the owner of the tables, outside a transaction" if wanted else "nothing to gain"
    )
    for index in wanted:
        yield f"-- {index.gain}"
        yield f"{index.statement};"
