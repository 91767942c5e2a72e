"""What an examination of a source tells."""

from __future__ import annotations

from typing import Final, NamedTuple

ERROR: Final = "error"
WARNING: Final = "warning"
NOTE: Final = "note"


class Finding(NamedTuple):
    """One thing to know: how bad, about what, and what to do."""

    level: str
    about: str
    message: str


class Found(NamedTuple):
    """One source of a database. ``looked_for`` says in words what and where; ``version`` how it is installed."""

    source: str
    present: bool
    looked_for: str
    version: str
    queues: tuple[str, ...]


class Index(NamedTuple):
    """An index that would make a source cheaper to watch; nothing needs it, and it is never made by the exporter."""

    statement: str
    """``CREATE INDEX CONCURRENTLY ...``, to be run by the tables' owner."""
    gain: str
    """What it changes, in a sentence."""
