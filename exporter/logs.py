"""One line an event, on standard error: logfmt, or JSON."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class _Line(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
        }
        fields |= {key: value for key, value in vars(record).items() if key not in _OWN and value != ""}
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if self._as_json:
            line = json.dumps(fields, ensure_ascii=False, default=str)
            return line if line.isprintable() else json.dumps(fields, default=str)
        return " ".join(f"{key}={_quoted(str(value))}" for key, value in fields.items())


def _quoted(value: str) -> str:
    if value and all(character.isprintable() and character not in ' "=' for character in value):
        return value
    return _escaped(value)


def printable(value: str) -> str:
    """The text as it is where all of it prints; else quoted, with escapes for what would move a terminal."""
    return value if value.isprintable() else _escaped(value)


def _escaped(value: str) -> str:
    # What does not print (terminal controls, line separators) is written as escapes.
    return json.dumps(value, ensure_ascii=not value.replace("\n", "").isprintable())


def quiet() -> None:
    """Log nothing: for commands that print a report of their own."""
    logging.getLogger(__package__).addHandler(logging.NullHandler())


def set_up(level: str, form: str = "logfmt") -> None:
    """Log to standard error from ``level`` (debug, info, warning, error) in ``logfmt`` or ``json``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(as_json=form == "json"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for library in ("uvicorn", "uvicorn.access", "psycopg"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # It warns of each request that is no HTTP: a line for every byte that a stranger sends.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
