"""Connection strings, as far as libpq's grammar: what it would refuse, told without quoting any of it.

libpq and psycopg quote what they cannot read, passwords included; what is found here never comes so far.
"""

from __future__ import annotations

import re
from typing import Final

_URL: Final = re.compile(r"postgres(?:ql)?://")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PAIR: Final = re.compile(r"\s*[a-z_]+\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?!')(?:[^\s\\]|\\.)*)(?=\s|$)", re.DOTALL | re.ASCII)
_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_HOST: Final = re.compile(r"(?:\[[^\]]+\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)
_PORT: Final = re.compile(r"0*[1-9][0-9]{0,4}")
_PARAMETER: Final = re.compile(r"[a-z_]+=[^=]*")
_BLANK: Final = re.compile(r"\s", re.ASCII)
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_HIGHEST_PORT: Final = 65535

FORM: Final = "a connection string: postgresql://user@host:5432/database, or host=… dbname=…"


def problem(text: str) -> str | None:
    """What is wrong with a connection string, in a sentence that quotes nothing of it; None when all is well."""
    if not text.strip():
        return f"expected {FORM}; found nothing"
    if _NO_TEXT.search(text):
        return f"expected {FORM}; found a control character"
    if match := _URL.match(text):
        return _problem_of_url(text[match.end() :])
    if _SCHEME.match(text):
        return f"expected {FORM}; found another scheme (small letters, and no driver's name such as +asyncpg)"
    at = 0
    while text[at:].strip():
        pair = _PAIR.match(text, at)
        if pair is None:
            return f"expected {FORM}; found text that is neither (values with blanks stand in '…')"
        at = pair.end()
    return None


def _problem_of_url(rest: str) -> str | None:
    if _BLANK.search(rest):
        return "expected a URL without blanks (a literal blank is written %20)"
    if _PERCENT.search(rest):
        return "expected % to be followed by two hexadecimal digits (a literal % is written %25)"
    before, at_sign, after = rest.partition("@")
    place, _, query = (after if at_sign and "/" not in before else rest).partition("?")
    hosts = place.partition("/")[0]
    if "@" in hosts:
        return "expected one @, before the host (in a user or password it is written %40)"
    for part in hosts.split(","):
        if wrong := _problem_of_host(part):
            return wrong
    if query and not all(_PARAMETER.fullmatch(parameter) for parameter in query.removesuffix("&").split("&")):
        return "expected name=value, joined by &, after the ? (in a value, = and & are written %3D and %26)"
    return None


def _problem_of_host(part: str) -> str | None:
    match = _HOST.fullmatch(part)
    if match is None:
        return "expected host:port after the @ (IPv6 in brackets; a : / @ in a password is written %3A %2F %40)"
    port = match["port"]
    if port and not (_PORT.fullmatch(port) and int(port) <= _HIGHEST_PORT):
        return "expected a port from 1 to 65535 after the host (a : / @ in a password is written %3A %2F %40)"
    return None
