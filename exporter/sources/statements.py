"""Composing SELECTs from the files in ``sql/``, and the one message that a SELECT is sent in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Final

from psycopg import sql

#: A composed SELECT, or a part of one.
Query = sql.Composable

_MESSAGE: Final = sql.SQL(
    "set transaction read only; set local row_security = off; set local search_path = pg_catalog; "
    "set local statement_timeout = {statement}; set local lock_timeout = {lock}; "
    # Bounded reads stay bounded only in their index's order, whatever a planner without statistics would guess.
    "set local max_parallel_workers_per_gather = 0; set local jit = off; "
    "set local enable_bitmapscan = off; set local enable_sort = off; {more}{last}"
)
_TIMED: Final = sql.SQL(
    # The clock behind the last row is the message's whole time in the server, planning included.
    "select s.*, extract(epoch from clock_timestamp() - statement_timestamp())::float8 from ({select}) s"
)
_EXPLAINED: Final = sql.SQL("explain (format json, verbose, costs off) {select}")

#: For reads that have an index to go by: a table never analysed looks small, and would be read whole.
_BY_INDEX: Final = sql.SQL("set local enable_seqscan = off; ")


def statement(name: str, **parts: object) -> Query:
    """The SELECT in ``sql/<name>.sql`` with its ``{parts}`` filled in: a ``Query`` as it is, else a literal."""
    text = _text(name)
    filled = {key: part if isinstance(part, sql.Composable) else sql.Literal(part) for key, part in parts.items()}
    return sql.SQL(text).format(**filled)


def identifier(*names: str) -> Query:
    """A quoted, dotted identifier."""
    return sql.Identifier(*names)


def raw(text: str) -> Query:
    """SQL written by us, never input."""
    return sql.SQL(text)


def literal(value: object) -> Query:
    """A value as a literal."""
    return sql.Literal(value)


def joined(between: str, parts: Sequence[Query]) -> Query:
    """Parts of a SELECT with the same text between each two."""
    return sql.SQL(between).join(parts)


def written(expression: str) -> Query:
    """An SQL expression of the operator's own, from the configuration, in parentheses."""
    return sql.SQL(f"({expression})")


def filled(text: str, **parts: Query) -> Query:
    """SQL written by us with its ``{parts}`` filled in."""
    return sql.SQL(text).format(**parts)


def union(selects: list[Query]) -> Query:
    """All rows of the SELECTs, as one SELECT."""
    return sql.SQL(" union all ").join(selects)


def timed(select: Query) -> Query:
    """The SELECT with one more column: the seconds that it took in the server."""
    return _TIMED.format(select=select)


def explained(select: Query) -> Query:
    """The question for a SELECT's plan."""
    return _EXPLAINED.format(select=select)


def compose(last: Query, statement_timeout: float, lock_timeout: float, *, by_index: bool) -> sql.Composed:
    """The whole message of one read: settings (timeouts in seconds), then the statement."""
    return _MESSAGE.format(
        statement=sql.Literal(round(statement_timeout * 1000)),
        lock=sql.Literal(round(lock_timeout * 1000)),
        more=_BY_INDEX if by_index else sql.SQL(""),
        last=last,
    )


_texts: dict[str, str] = {}


def _text(name: str) -> str:
    if name not in _texts:
        whole = (resources.files(__package__) / "sql" / f"{name}.sql").read_text("utf-8")
        _texts[name] = "\n".join(line for line in whole.splitlines() if not line.lstrip().startswith("--"))
    return _texts[name]
