"""Functions that run the exporter's own SELECTs for a role that may read no table: how one is written.

Its body is the SELECT that the exporter sends itself: the parts that change with every call are the arguments, and go
in as values; everything else (tables, columns, where the tenant stands) is written into it or found by itself.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from .statements import EACH, SCHEMA, Query, filled, identifier, joined, literal, raw, script

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
    """A part that the function finds by itself, for each of the queues: an expression, put in as a name or as SQL.

    In the expression, ``_n`` is the place of the queue, and parts found before it are variables.
    """

    expression: Query
    name: bool = False
    type: str = "text"


@dataclass(frozen=True, slots=True)
class Function:
    """One function. ``parameters`` are the parts that are its arguments, with their types.

    ``select`` is given those, and the parts in ``found``. Where it is for several SELECTs ``together``, its body is one
    for all, because each of its own costs the server more.
    """

    name: str
    about: str
    row: type
    parameters: Mapping[str, str]
    select: Callable[..., Query]
    found: Mapping[str, Found] = field(default_factory=dict)
    #: Columns of other types than their fields have elsewhere.
    types: Mapping[str, str] = field(default_factory=dict)
    #: Planned anew at each call, as the exporter's own reads are, or only explained.
    how: Literal["kept", "executed", "explained"] = "kept"
    #: Settings while it runs, beside those of every function.
    settings: tuple[str, ...] = ()
    #: Whether each argument is an array with an element for each SELECT that a call stands for.
    together: bool = False
    #: What it does first, where it reads tables: see `role_sound`.
    sound: Query | None = None

    @property
    def columns(self) -> str:
        """Names and types of the columns."""
        hints = typing.get_type_hints(self.row)
        fields: tuple[str, ...] = self.row._fields  # type: ignore[attr-defined]  # every row is a NamedTuple
        return ", ".join(f"{name} {self.types.get(name) or _TYPES[_plain(hints[name])]}" for name in fields)

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments with their types. An array of arrays is one of their texts."""
        if not self.together:
            return {f"_{name}": kind for name, kind in self.parameters.items()}
        return {EACH + name: kind if kind == "text[]" else f"{kind}[]" for name, kind in self.parameters.items()}

    @property
    def signature(self) -> str:
        """What `installed.INTERFACE` stands for, in one line."""
        return f"{self.name}({self._declared}) -> ({self.columns})"

    @property
    def _declared(self) -> str:
        return ", ".join(f"{name} {kind}" for name, kind in self.arguments.items())

    def body(self) -> str:
        """The code between the quotes."""
        if self.together:
            return self._body_together()
        given = {name: raw(f"${place}") for place, name in enumerate(self.parameters, 1)}
        if self.how == "kept" and not self.found:
            return _text(script("role_static", select=self.select(**given), **self._around))
        explain = "explain (format json, verbose, costs off) " if self.how == "explained" else ""
        if self.found:
            text = raw(piece(lambda **marks: self.select(**given, **marks), *self.put_in))
        else:
            text = raw(dollar(explain + _text(self.select(**given)).strip(), "query"))
        return _text(
            script(
                "role_executed",
                declared=raw("".join(f"  _{name} {found.type};\n" for name, found in self.found.items())),
                found=raw("".join(f"  _{name} := {_text(found.expression)};\n" for name, found in self.found.items())),
                select=text,
                using=raw("\n    using " + ", ".join(self.arguments) if self.arguments else ""),
                **self._around,
            )
        )

    @property
    def put_in(self) -> tuple[str, ...]:
        """What is found that is a part of the SELECT, rather than of what else is found."""
        return tuple(name for name, found in self.found.items() if found.type == "text" and not name.endswith("_"))

    def _body_together(self) -> str:
        put_in = {name: self.found[name] for name in self.put_in}
        # As literals: the server takes twice as long to plan ten SELECTs over elements of arrays.
        forms = [f"L::{kind}" for kind in self.parameters.values()]
        forms += ["I" if found.name else "s" for found in put_in.values()]
        marks = {name: raw(_MARK.format(place)) for place, name in enumerate([*self.parameters, *put_in], 1)}
        text = _text(self.select(**marks)).replace("%", "%%")
        for place, form in enumerate(forms, 1):
            text = text.replace(_MARK.format(place), f"%{place}${form}")
        return _text(
            script(
                "role_dynamic",
                declared=raw("\n".join(f"  _{name} {found.type};" for name, found in self.found.items())),
                first=raw(next(iter(self.arguments))),
                found=joined(
                    "\n",
                    [
                        filled("    {name} := {found};", name=raw(f"_{name}"), found=found.expression)
                        for name, found in self.found.items()
                    ],
                ),
                select=raw(dollar(f"({text.strip()})", "query")),
                names=raw(", ".join([*(f"{name}[_n]" for name in self.arguments), *(f"_{name}" for name in put_in)])),
                **self._around,
            )
        )

    @property
    def _around(self) -> dict[str, Query]:
        return {"sound": self.sound or raw(""), "errors": script("role_errors", schema=identifier(SCHEMA))}

    def text(self, comment: str) -> str:
        """SQL that makes it."""
        return _text(
            script(
                "role_function",
                about=raw(self.about),
                name=identifier(SCHEMA, self.name),
                parameters=raw(_wrapped(self._declared)),
                columns=raw(_wrapped(self.columns)),
                body=raw(dollar(self.body(), "function")),
                types=raw(", ".join(self.arguments.values())),
                more=raw("".join(f"\nset {setting}" for setting in self.settings)),
                comment=literal(comment),
            )
        )


def _wrapped(names: str) -> str:
    """In lines that break between the names."""
    together = re.sub(r"(?<=[^,]) ", "\xa0", names)
    return "\n    ".join(textwrap.wrap(together, 110, break_long_words=False)).replace("\xa0", " ")


def piece(select: Callable[..., Query], *variables: str) -> str:
    """A call of ``format`` that gives SQL with what is in these variables put into it."""
    marks = {name: raw(_MARK.format(place)) for place, name in enumerate(variables, 1)}
    text = _text(select(**marks)).strip().replace("%", "%%")
    for place in range(1, len(variables) + 1):
        text = text.replace(_MARK.format(place), f"%{place}$s")
    return f"format({dollar(text, 'query')}, {', '.join(f'_{name}' for name in variables)})"


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
