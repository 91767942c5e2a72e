"""Whose tables the functions read: of owners who were there, and vouched for, when the functions were made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .statements import SCHEMA, Query, filled, identifier, literal, raw, script

if TYPE_CHECKING:
    from .functions import Function


def sound_functions(kind: str, keys: Sequence[str], tables: Query, fixed: Query, *, in_schema: bool = True) -> Query:
    """SQL of the two helpers of a kind of source: who owned what, and the one that refuses what is another's now.

    ``keys`` are schemas, or with ``in_schema`` false the names of relations as SQL. ``tables`` and ``fixed`` are
    conditions on ``pg_class c``: what may be read, and what must be right whatever is read.
    """
    return script(
        "role_sound",
        name=identifier(SCHEMA, f"{kind}_sound"),
        owners_name=identifier(SCHEMA, f"{kind}_owners"),
        keys=filled("{keys}::text[]", keys=literal(list(keys))),
        tables=tables,
        fixed=fixed,
        in_schema=raw("true" if in_schema else "false"),
    )


def guarded(functions: Iterable[Function], kind: str, key: str) -> list[Function]:
    """The same, refusing first what is another's now; but for those that read the catalogue only."""
    call = filled("  perform {name}({key});\n", name=identifier(SCHEMA, f"{kind}_sound"), key=literal(key))
    return [
        function if function.name.endswith(("_relations", "_relation")) else replace(function, sound=call)
        for function in functions
    ]
