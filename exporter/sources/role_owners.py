"""Owners of tables that the functions do not know: they refuse to read what is theirs, and `check` says whose it is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from .statements import SCHEMA, Query, filled, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Database
    from .postgres import Session
    from .role_sql import Kind

#: The owners by key, as `role_sound.sql` writes them.
_KNOWN: Final = re.compile(r"select (E?)'(.*)'::jsonb -> _key", re.DOTALL)


class OwnedRow(NamedTuple):
    """A row of ``role_owners.sql``: a table, or with ``name`` empty a schema, and what the functions know."""

    schema: str
    name: str
    owner: str
    known: str | None


def unknown_owners(session: Session, database: Database, kind: Kind) -> Iterator[tuple[str, str]]:
    """What belongs to whom the functions of a kind do not know: in words, with the owner."""
    if kind.name == "jobtable":
        named = [_named(*table.relation) for table in database.job_tables]
        tables, schemas = joined(" or ", named or [raw("false")]), []
    else:
        tables = kind.tables(database)
        schemas = [database.pgmq.schema_name] if kind.name == "pgmq" else list(database.pgboss.schemas)
    select = statement("role_owners", owners=f"{kind.name}_owners", functions=SCHEMA, schemas=schemas, tables=tables)
    for row in session.read(select, OwnedRow):
        key = row.schema if kind.name != "jobtable" else identifier(row.schema, row.name).as_string(None)
        if row.owner not in _known(row.known).get(key, []):
            yield f"table {row.schema}.{row.name}" if row.name else f"schema {row.schema}", row.owner


def _named(schema: str, name: str) -> Query:
    return filled("(n.nspname = {schema} and c.relname = {name})", schema=literal(schema), name=literal(name))


def _known(source: str | None) -> dict[str, list[str]]:
    """By key; nothing of one that is not as this version writes it."""
    found = _KNOWN.fullmatch((source or "").strip())
    if found is None:
        return {}
    text = found[2].replace("''", "'")
    known: dict[str, list[str]] = json.loads(text.replace("\\\\", "\\") if found[1] else text)
    return known
