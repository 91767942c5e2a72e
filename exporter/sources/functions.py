"""Functions that run the exporter's own SELECTs for a role that may read no table: how one is written.

Its body is the SELECT that the exporter sends itself: the parts that change with every call are the arguments, and go
in as values; everything else (tables, columns, where the tenant stands) is written into it or found by itself.
"""

from __future__ import annotations

import hashlib
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .statements import SCHEMA, Query, identifier, joined, literal, raw, script

_TYPES: Final[dict[Any, str]] = {
    str: "text",
    int: "bigint",
    float: "double precision",
    bool: "boolean",
    list[str]: "text[]",
    list[int]: "bigint[]",
}

#: Stands for what ``format`` fills in, until its percent signs are doubled.
_MARK: Final = "\x02{}\x03"


class Found(NamedTuple):
    """A part that the function finds by itself: an expression that gives it, put in as a name or as SQL."""

    expression: Query
    name: bool


@dataclass(frozen=True, slots=True)
class Function:
    """One function. ``parameters`` are the parts that are its arguments, with their types.

    ``select`` is given those, and the parts in ``found``.
    """

    name: str
    about: str
    row: type
    parameters: Mapping[str, str]
    select: Callable[..., Query]
    found: Mapping[str, Found] = field(default_factory=dict)
    #: Columns of other types than their fields have elsewhere.
    types: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> str:
        """Names and types of the columns."""
        hints = typing.get_type_hints(self.row)
        fields: tuple[str, ...] = self.row._fields  # type: ignore[attr-defined]  # every row is a NamedTuple
        return ", ".join(f"{name} {self.types.get(name) or _TYPES[_plain(hints[name])]}" for name in fields)

    @property
    def arguments(self) -> str:
        """Names and types of the arguments."""
        return ", ".join(f"_{name} {kind}" for name, kind in self.parameters.items())

    @property
    def signature(self) -> str:
        """What `installed.INTERFACE` stands for, in one line."""
        return f"{self.name}({self.arguments}) -> ({self.columns})"

    def body(self) -> str:
        """The code between the quotes."""
        arguments = {name: raw(f"${place}") for place, name in enumerate(self.parameters, 1)}
        if not self.found:
            return _text(script("role_static", select=self.select(**arguments), schema=identifier(SCHEMA)))
        marks = {name: raw(_MARK.format(place)) for place, name in enumerate(self.found, 1)}
        text = _text(self.select(**arguments, **marks)).replace("%", "%%")
        for place, found in enumerate(self.found.values(), 1):
            text = text.replace(_MARK.format(place), f"%{place}${'I' if found.name else 's'}")
        return _text(
            script(
                "role_dynamic",
                select=raw(dollar(text, "query")),
                found=joined(",\n    ", [found.expression for found in self.found.values()]),
                arguments=raw(", ".join(f"_{name}" for name in self.parameters)),
                schema=identifier(SCHEMA),
            )
        )

    def text(self, comment: str) -> str:
        """SQL that makes it."""
        return _text(
            script(
                "role_function",
                about=raw(self.about),
                name=identifier(SCHEMA, self.name),
                parameters=raw(_wrapped(self.arguments)),
                columns=raw(_wrapped(self.columns)),
                body=raw(dollar(self.body(), "function")),
                types=raw(", ".join(self.parameters.values())),
                comment=literal(comment),
            )
        )


def _wrapped(names: str) -> str:
    return "\n    ".join(textwrap.wrap(names, 110))


def digest(text: str) -> str:
    """A short hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def dollar(text: str, tag: str) -> str:
    """In dollar quotes that do not stand in it."""
    while f"${tag}" in text:
        tag += "_"
    return f"${tag}$\n{text.strip()}\n${tag}$"


def _text(query: Query) -> str:
    return query.as_string(None)


def _plain(hint: Any) -> Any:  # noqa: ANN401  # a type
    if isinstance(hint, types.UnionType):
        (hint,) = (kind for kind in typing.get_args(hint) if kind is not types.NoneType)
    return hint
