"""Globs of queue names as Postgres reads them: a regular expression that matches what ``fnmatchcase`` does."""

from __future__ import annotations


def regex(glob: str) -> str | None:
    """The regular expression for ``~``; None when nothing can match."""
    found, place = "", 0
    while place < len(glob):
        char = glob[place]
        end = _end_of_class(glob, place + 1) if char == "[" else -1
        if char == "*":
            found += ".*"
        elif char == "?":
            found += "."
        elif end > 0:
            members = _class(glob[place + 1 : end])
            if members is None:
                return None
            found, place = found + members, end
        else:
            found += _plain(char)
        place += 1
    return f"^(?:{found})$"


def _end_of_class(glob: str, start: int) -> int:
    """Where the class that begins at ``start`` ends; -1 when it never does: then ``[`` is a character."""
    return glob.find("]", start + 2 if glob[start : start + 1] == "!" else start + 1)


def _class(inside: str) -> str | None:
    """What stands in brackets. Ranges that run backwards are empty."""
    negated, members = inside[:1] == "!", inside.removeprefix("!")
    ranges, place = "", 0
    while place < len(members):
        last = members[place + 2] if members[place + 1 : place + 2] == "-" and place + 2 < len(members) else ""
        if not last:
            ranges += _code(members[place])
        elif members[place] <= last:
            ranges += f"{_code(members[place])}-{_code(last)}"
        place += 3 if last else 1
    if not ranges:
        return "." if negated else None
    return f"[^{ranges}]" if negated else f"[{ranges}]"


def _plain(char: str) -> str:
    return char if char.isalnum() or ord(char) > 127 else f"\\{char}" if char.isprintable() else _code(char)


def _code(char: str) -> str:
    """A character where others have a meaning."""
    return char if char.isalnum() or ord(char) > 127 else f"\\u{ord(char):04x}"  # ASCII
