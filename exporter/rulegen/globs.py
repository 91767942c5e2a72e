"""Globs of labels: ``*`` is any text, ``?`` any one character, all else itself."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

#: What means something else in a regular expression, to RE2 and to Python. (``re.escape`` writes what RE2 refuses.)
_MEANINGFUL: Final = frozenset(r"\.+*?()|[]{}^$")


def is_glob(text: str) -> bool:
    """Whether a text stands for more than itself."""
    return "*" in text or "?" in text


def regex(glob: str) -> str:
    """The regular expression that a whole label must match; the same to RE2 and to Python."""
    return "".join(
        ".*" if char == "*" else "." if char == "?" else f"\\{char}" if char in _MEANINGFUL else char for char in glob
    )


@lru_cache(maxsize=16384)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(regex(glob))


def matches(glob: str, value: str) -> bool:
    """Whether a label's value is one that the glob stands for."""
    return glob == value or (is_glob(glob) and _compiled(glob).fullmatch(value) is not None)
