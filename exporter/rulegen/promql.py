"""PromQL as a tired person can read it: the operator on its own line, operands two further in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .globs import is_glob, regex
from .thresholds import NOBODY

#: Matchers: label → globs of which one must match.
Matchers = Mapping[str, Sequence[str]]

#: No more arms than this stand beside one another: ``or`` pays for its left side each time.
_BRACKET: Final = 16
#: Longest expression on one line.
_LINE: Final = 110


def number(value: float) -> str:
    """A number without noise; off is ``Inf``."""
    if math.isinf(value):
        return "Inf"
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def duration(seconds: float) -> str:
    """A duration as PromQL takes it, in the largest unit that makes it a whole number."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{round(seconds * 1000)}ms"


def quoted(text: str) -> str:
    """A string of PromQL. What YAML or a terminal would take for more than itself is escaped."""
    escaped = (
        f"\\{char}"
        if char in '"\\'
        else char
        if char.isprintable()
        else f"\\u{ord(char):04x}"
        if ord(char) < 0x10000
        else f"\\U{ord(char):08x}"
        for char in text
    )
    return f'"{"".join(escaped)}"'


def selector(name: str, *plain: str, matchers: Matchers | None = None) -> str:
    """``name{…}``: matchers as they are written, then those of globs; ``*`` needs none."""
    parts = [*plain, *(_matcher(label, globs) for label, globs in (matchers or {}).items() if "*" not in globs)]
    return f"{name}{{{','.join(parts)}}}" if parts else name


def _matcher(label: str, globs: Sequence[str]) -> str:
    if len(globs) == 1 and not is_glob(globs[0]):
        return f"{label}={quoted(globs[0])}"
    return f"{label}=~{quoted('|'.join(regex(glob) for glob in globs))}"


#: Neither the tenants that stand for several, nor series without a tenant.
SOMEBODY: Final = f'tenant!~"{"|".join(NOBODY)}|"'


def indent(text: str, by: int = 2) -> str:
    """Every line further in."""
    return "\n".join(" " * by + line for line in text.splitlines())


def binary(left: str, operator: str, *right: str) -> str:
    """Operands two further in, the operator between them; several right sides: the same operator again."""
    parts = [indent(left)]
    for operand in right:
        parts += [operator, indent(operand)]
    return "\n".join(parts)


def inside(function: str, expression: str, after: str = "") -> str:
    """``function(expression)``, on one line where that is short."""
    line = f"{function}({expression}{after})"
    if "\n" not in expression and len(line) <= _LINE:
        return line
    return f"{function}(\n{indent(expression)}{after}\n)"


def chain(anchor: str, plain: Sequence[str], arms: Iterable[tuple[Matchers, float]]) -> str:
    """First match first; neighbours with the same limit share an arm where they differ in one label only."""
    texts = [
        f"group without () ({selector(anchor, *plain, matchers=matchers)}) * {number(limit)}"
        for matchers, limit in merged(arms)
    ]
    return alternatives(texts)


def alternatives(texts: Sequence[str]) -> str:
    """``a or b or …``, in brackets of 16."""
    while len(texts) > _BRACKET:
        brackets = [texts[place : place + _BRACKET] for place in range(0, len(texts), _BRACKET)]
        texts = [
            inside("", binary(bracket[0], "or", *bracket[1:])) if len(bracket) > 1 else bracket[0]
            for bracket in brackets
        ]
    return binary(texts[0], "or", *texts[1:]) if len(texts) > 1 else texts[0]


def merged(arms: Iterable[tuple[Matchers, float]]) -> list[tuple[Matchers, float]]:
    """The same choice with fewer arms."""
    found: list[tuple[Matchers, float]] = []
    for matchers, limit in arms:
        if found and found[-1][1] == limit:
            before = found[-1][0]
            differing = [label for label in matchers if matchers[label] != before.get(label)]
            if before.keys() == matchers.keys() and len(differing) == 1:
                label = differing[0]
                together = dict.fromkeys((*before[label], *matchers[label]))
                found[-1] = ({**before, label: tuple(together)}, limit)
                continue
        found.append((matchers, limit))
    return found
