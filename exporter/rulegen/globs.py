"""Globs of labels: ``*`` is any text, ``?`` any one character, all else itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

#: What means something else in a regular expression of RE2. (``re.escape`` writes what RE2 refuses.)
_MEANINGFUL: Final = frozenset(r"\.+*?()|[]{}^$")


def is_glob(text: str) -> bool:
    """Whether a text stands for more than itself."""
    return "*" in text or "?" in text


def regex(glob: str) -> str:
    """The regular expression that a whole label must match, for Prometheus: RE2 does not backtrack."""
    return "".join(
        ".*" if char == "*" else "." if char == "?" else f"\\{char}" if char in _MEANINGFUL else char for char in glob
    )


@lru_cache(maxsize=16384)
def _pieces(glob: str) -> tuple[str, ...]:
    return tuple(glob.split("*"))


def matches(glob: str, value: str) -> bool:
    """Whether a label's value is one that the glob stands for.

    Each piece between stars is looked for once, where it comes first: without backtracking, whatever the glob. Python's
    regular expressions would take for ever over a hostile one.
    """
    first, *others = _pieces(glob)
    if not others:
        return len(first) == len(value) and _at(first, value, 0)
    *between, last = others
    end = len(value) - len(last)
    at = len(first)
    if at > end or not _at(first, value, 0) or not _at(last, value, end):
        return False
    for piece in between:
        found = _find(piece, value, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def effort(glob: str, length: int = 0) -> int:
    """How much it takes at most to match a value of so many characters, in pieces to look for; 5 for a plain name."""
    pieces = len(_pieces(glob))
    return 4 + pieces + (4 * length if "?" in glob and pieces > 1 else 0)


def _at(piece: str, value: str, place: int) -> bool:
    """Whether a piece without stars stands at a place of a value that is long enough."""
    if "?" not in piece:
        return value.startswith(piece, place)
    return all(char in {"?", there} for char, there in zip(piece, value[place : place + len(piece)], strict=True))


def _find(piece: str, value: str, begin: int, end: int) -> int:
    """Where a piece without stars comes first between two places; -1: nowhere."""
    if "?" not in piece:
        return value.find(piece, begin, end)
    return next((place for place in range(begin, end - len(piece) + 1) if _at(piece, value, place)), -1)
