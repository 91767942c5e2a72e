"""Composing SELECTs from the files in ``sql/``, and the one message that a SELECT is sent in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Final

from psycopg import sql

if TYPE_CHECKING:
    from psycopg.abc import AdaptContext

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

#: Where the functions of the least-privileged role are: `pgqueue-exporter sql role`.
SCHEMA: Final = "pgqueue_exporter"
#: How an argument is called that is an array with an element for each of the SELECTs that a call stands for.
EACH: Final = "each_"
#: How a function's name ends that gives the plan of the SELECT before it.
PLAN: Final = "_plan"
_CALL: Final = sql.SQL("select * from {function}({arguments})")

#: For reads that have an index to go by: a table never analysed looks small, and would be read whole.
_BY_INDEX: Final = sql.SQL("set local enable_seqscan = off; ")


class Statement(sql.Composed):
    """A SELECT, written as what it is sent to needs it: itself, or a call of the function that runs it.

    Which functions there are is asked of the connection, ``Connection.functions``: by the function's name, the parts
    that are its arguments. All its other parts are written into the function.
    """

    def __init__(self, function: str, parts: Mapping[str, Query], select: sql.Composed) -> None:
        super().__init__(list(select))
        self.function = function
        self.parts = parts

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """As psycopg asks for it."""
        arguments = _functions(context).get(self.function)
        if arguments is None:
            return super().as_bytes(context)
        return _call(self.function, arguments, [self]).as_bytes(context)


class _Union(sql.Composed):
    """Several SELECTs as one; those that one function runs in one call of it."""

    def __init__(self, selects: Sequence[Query]) -> None:
        super().__init__(list(sql.SQL(" union all ").join(selects)))
        self.selects = selects

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """As psycopg asks for it."""
        functions = _functions(context)
        together: dict[str, list[Statement]] = {}
        for select in self.selects:
            if not isinstance(select, Statement) or select.function not in functions:
                return super().as_bytes(context)
            together.setdefault(select.function, []).append(select)
        calls = [
            _call(name, functions[name], at_once)
            for name, selects in together.items()
            for at_once in ([selects] if functions[name][0].startswith(EACH) else [[select] for select in selects])
        ]
        return sql.SQL(" union all ").join(calls).as_bytes(context)


class _Values(sql.Composed):
    """An array, which has to go as one value where there is an array of them."""


def _functions(context: AdaptContext | None) -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = getattr(context and context.connection, "functions", {})
    return found


def _call(function: str, arguments: Sequence[str], selects: Sequence[Statement]) -> sql.Composed:
    given = []
    for name in arguments:
        each = name.startswith(EACH)
        part = name.removeprefix(EACH if each else "_")
        parts = [select.parts[part] for select in (selects if each else selects[:1])]
        parts = [sql.SQL("({})::text").format(one) if each and isinstance(one, _Values) else one for one in parts]
        given.append(sql.SQL("array[{}]").format(sql.SQL(", ").join(parts)) if each else parts[0])
    return _CALL.format(function=sql.Identifier(SCHEMA, function), arguments=sql.SQL(", ").join(given))


def statement(name: str, function: str = "", /, **parts: object) -> Query:
    """The SELECT in ``sql/<name>.sql`` with its ``{parts}`` filled in: a ``Query`` as it is, else a literal.

    ``function`` is what runs it for a role that may not, where that has another name; parts that the SELECT does not
    have are for its arguments.
    """
    filled = {key: part if isinstance(part, sql.Composable) else sql.Literal(part) for key, part in parts.items()}
    return Statement(function or name, filled, sql.SQL(_text(name)).format(**filled))


def script(name: str, /, **parts: object) -> Query:
    """SQL for people, with its comments, from ``sql/<name>.sql``; parts are filled in as in a ``statement``."""
    filled = {key: part if isinstance(part, sql.Composable) else sql.Literal(part) for key, part in parts.items()}
    return sql.SQL(_whole(name)).format(**filled)


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


def values(texts: Sequence[str]) -> Query:
    """Texts as an array: one literal, however many they are."""
    return _Values([sql.Literal(list(texts)), sql.SQL("::text[]")])


def written(expression: str) -> Query:
    """An SQL expression of the operator's own, from the configuration, in parentheses."""
    return sql.SQL(f"({expression})")


def filled(text: str, **parts: Query) -> Query:
    """SQL written by us with its ``{parts}`` filled in."""
    return sql.SQL(text).format(**parts)


def union(selects: list[Query]) -> Query:
    """All rows of the SELECTs, as one SELECT."""
    return _Union([one for select in selects for one in (select.selects if isinstance(select, _Union) else [select])])


def timed(select: Query) -> Query:
    """The SELECT with one more column: the seconds that it took in the server."""
    return _TIMED.format(select=select)


class _Explained(sql.Composed):
    """The question for a plan: EXPLAIN, or a call of the function that answers it for a role that may not read."""

    def __init__(self, select: Query) -> None:
        super().__init__(list(_EXPLAINED.format(select=select)))
        self._select = select

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """As psycopg asks for it."""
        select, functions = self._select, _functions(context)
        if not isinstance(select, Statement) or select.function + PLAN not in functions:
            return super().as_bytes(context)
        return _call(select.function + PLAN, functions[select.function + PLAN], [select]).as_bytes(context)


def explained(select: Query) -> Query:
    """The question for a SELECT's plan."""
    return _Explained(select)


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
        _texts[name] = "\n".join(line for line in _whole(name).splitlines() if not line.lstrip().startswith("--"))
    return _texts[name]


def _whole(name: str) -> str:
    return (resources.files(__package__) / "sql" / f"{name}.sql").read_text("utf-8")
