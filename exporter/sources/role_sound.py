"""Whose tables the functions read: of owners who were there, and vouched for, when the functions were made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .statements import SCHEMA, Query, filled, identifier, literal, raw, script, statement

if TYPE_CHECKING:
    from .functions import Function


#: What tells who can have code run when relations are read, and what one of its rows ``i`` is called.
_INVOLVED: Final = identifier(SCHEMA, "involved")
TOLD: Final = statement("role_told", row=raw("i"))

#: Which functions the helpers of all kinds are: a condition on ``p.proname``.
SHARED: Final = "p.proname in ('complaint', 'involved')"


def sound_functions(kind: str, keys: Sequence[str], tables: Query, named: Query, *, in_schema: bool = True) -> Query:
    """SQL of the helpers of a kind of source: whom its tables belonged to, and what refuses those of others since.

    ``keys`` are schemas, or with ``in_schema`` false the names of relations as SQL. ``tables``, a condition on
    ``pg_class c``, is what may be read; ``named``, an array of ids, what must be right whatever is read. Both are of
    one key, ``_key``.
    """
    return script(
        "role_sound",
        name=sound(kind),
        of_name=sound(kind, "_of"),
        vouched_name=vouched(kind),
        keys=filled("{keys}::text[]", keys=literal(list(keys))),
        tables=tables,
        named=named,
        in_schema=raw("true" if in_schema else "false"),
        involved_name=_INVOLVED,
        told=TOLD,
    )


def shared() -> list[Query]:
    """SQL of the helpers of all kinds."""
    select = statement("role_involved", roots=raw("_roots"))
    return [
        script("role_complaint", name=identifier(SCHEMA, "complaint")),
        script("role_involved_function", name=_INVOLVED, select=select),
    ]


def sound(kind: str, which: str = "") -> Query:
    """The name of the helper that refuses what nobody vouches for; ``_of``: of given relations."""
    return identifier(SCHEMA, f"{kind}_sound{which}")


def vouched(kind: str) -> Query:
    """The name of the helper that tells who was vouched for."""
    return identifier(SCHEMA, f"{kind}_vouched")


def names_in_schema(*names: str) -> Query:
    """The ids of tables of these names in the schema ``_key``."""
    return filled(
        "array(select c.oid from pg_class c where c.relname = any ({names}::name[])"
        " and c.relnamespace = (select oid from pg_namespace where nspname = _key))",
        names=literal(list(names)),
    )


def guarded(functions: Iterable[Function], kind: str, key: str) -> list[Function]:
    """The same, refusing first what is another's now; but for those that read the catalogue only."""
    call = filled("  perform {name}({key});\n", name=sound(kind), key=literal(key))
    return [
        function if function.name.endswith(("_relations", "_relation")) else replace(function, sound=call)
        for function in functions
    ]
