"""What a server or libpq refuses, in our words: a reason, and one sentence without secrets or SQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..errors import Reason

_BY_STATE: Final[dict[str, Reason]] = {
    "42501": "privilege",
    "55P03": "lock",
    "57014": "timeout",
    # A table, column, type, schema or function that is not there.
    "42P01": "missing",
    "42703": "missing",
    "42704": "missing",
    "3F000": "missing",
    "42883": "missing",
}

#: What libpq says of a connection string before it asks any server.
_STRING: Final = re.compile(
    r"(?:connection is bad: )?"
    r"(invalid \S+ value: .*|definition of service .*|service file .*|bad value for .*|could not match .*)",
    re.DOTALL,
)

#: Of several hosts, psycopg lists every failure on a line of its own.
_OF_A_HOST: Final = re.compile(
    r"^- host: '?(?P<host>\S+?)'?, port: '?(?P<port>[^\s':,]+)'?(?:, hostaddr: \S+)?: (?P<why>.*)$", re.MULTILINE
)
_PREAMBLE: Final = re.compile(
    r"connection (?:failed|is bad): |connection to server (?:at|on) .*? failed: (?:FATAL:\s+)?"
)


def reason_of(sqlstate: str | None, detail: str, *, operational: bool) -> Reason:
    """Why a read failed. ``operational``: psycopg takes it for a matter of the connection, not of the statement."""
    known = _BY_STATE.get(sqlstate or "")
    if known == "privilege" and "row-level security" in detail:
        return "hidden"
    if known is not None:
        return known
    if operational and (sqlstate is None or sqlstate[:2] in {"08", "57", "53"}):
        return "connection"
    return "other"


def sentence(text: str) -> str:
    """On one line; of several hosts, each with why it did not let us in."""
    hosts = [
        f"{match['host']}:{match['port']} ({_PREAMBLE.sub('', match['why']).strip()})"
        for match in _OF_A_HOST.finditer(text)
    ]
    return "none of the hosts lets us in: " + ", ".join(hosts) if hosts else " ".join(text.split())


def fault_of_string(text: str) -> str | None:
    """What libpq finds wrong with the connection string itself; None when it is about the world."""
    match = _STRING.fullmatch(text.strip())
    return " ".join(match[1].split()) if match else None


def unknown_key(info: str, known: set[str]) -> str:
    """What is wrong with a connection string that libpq cannot read. Quotes of it no more than a key."""
    _, mark, query = info.partition("?")
    if mark and "@" not in query:  # else it may be the end of a password
        for pair in query.split("&"):
            key = pair.partition("=")[0]
            if key not in known and re.fullmatch(r"[a-z_]{1,40}", key):
                return f"libpq knows no key {key!r}, which stands after the ?"
    return "libpq cannot read the connection string"
