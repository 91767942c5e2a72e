"""Owners of tables that the functions do not know: they refuse to read what is theirs, and `check` says whose it is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from . import jobtable_functions
from .role_sound import TOLD
from .statements import SCHEMA, Query, filled, joined, literal, statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Database
    from .postgres import Session
    from .role_sql import Kind

#: The owners by key, as `role_sound.sql` writes them.
_KNOWN: Final = re.compile(r"select (E?)'(.*)'::jsonb -> _key", re.DOTALL)


class OwnedRow(NamedTuple):
    """A row of ``role_owners.sql``: what it is, whose, and what the functions know."""

    what: str
    owner: str
    known: str | None


def unknown_owners(session: Session, database: Database, kind: Kind) -> Iterator[tuple[str, str]]:
    """What belongs to whom the functions of a kind do not know: in words, with the owner."""
    for key, schema, which in _roots(database, kind):
        roots = filled("array(select c.oid from pg_class c where {which})", which=which)
        select = statement(
            "role_owners",
            vouched=f"{kind.name}_vouched",
            functions=SCHEMA,
            schema=schema,
            told=TOLD,
            involved=statement("role_involved", roots=roots),
        )
        for row in session.read(select, OwnedRow):
            if row.owner not in _known(row.known, key):
                yield row.what, row.owner


def _roots(database: Database, kind: Kind) -> Iterator[tuple[str, str, Query]]:
    """By key its schema, if it is one, and a condition on what is read."""
    if kind.name == "jobtable":
        for key, relations in jobtable_functions.relations(database).items():
            yield key, "", joined(" or ", [_named(*of) for of in relations])
    else:
        for schema in [database.pgmq.schema_name] if kind.name == "pgmq" else database.pgboss.schemas:
            yield schema, schema, filled("({of}) and {here}", of=kind.tables(database), here=_in_schema(schema))


def _in_schema(schema: str) -> Query:
    return filled("c.relnamespace = (select oid from pg_namespace where nspname = {schema})", schema=literal(schema))


def _named(schema: str, name: str) -> Query:
    return filled("{here} and c.relname = {name}", here=_in_schema(schema), name=literal(name))


def _known(source: str | None, key: str) -> list[str]:
    """Nobody where it is not as this version writes it."""
    found = _KNOWN.fullmatch((source or "").strip())
    if found is None:
        return []
    text = found[2].replace("''", "'")
    known: dict[str, dict[str, list[str]]] = json.loads(text.replace("\\\\", "\\") if found[1] else text)
    return known.get(key, {}).get("owners", [])
