"""The functions of `sql role` that a database has, and how they were made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from .statements import SCHEMA, Query, raw, statement

if TYPE_CHECKING:
    from ..config import Database

#: Changes whenever a function's name, arguments or columns do: those of another one are not called.
INTERFACE: Final = 2

_COMMENT: Final = re.compile(r"pgqueue-exporter (\S+), interface (\d+), tenants (\w+), text (\w+)")


class FunctionRow(NamedTuple):
    """A row of ``functions.sql``."""

    name: str
    arguments: list[str]
    usable: bool
    comment: str


class Made(NamedTuple):
    """What a function's comment tells: by which version it was printed, and short hashes of what stands in it."""

    version: str
    interface: int
    tenants: str
    text: str

    def comment(self) -> str:
        """As the function carries it."""
        return f"pgqueue-exporter {self.version}, interface {self.interface}, tenants {self.tenants}, text {self.text}"


class Installed(NamedTuple):
    """A function that is there and may be called."""

    arguments: tuple[str, ...]
    made: Made

    @property
    def fits(self) -> bool:
        """Whether this exporter knows how to call it."""
        return self.made.interface == INTERFACE


class OwnerRow(NamedTuple):
    """A row of ``functions_owner.sql``."""

    owner: str


def functions_select(database: Database) -> Query:
    """What is there, of owners that are trusted."""
    return statement("functions", schema=SCHEMA, trusted=_trusted(database, "p.proowner"))


def owner_select(database: Database) -> Query:
    """The owner of the schema, where that one is not trusted."""
    return statement("functions_owner", schema=SCHEMA, trusted=_trusted(database, "p.nspowner"))


def _trusted(database: Database, owner: str) -> Query:
    schemas = [database.pgmq.schema_name] if database.pgmq.enabled is True else []
    schemas += database.pgboss.schemas if database.pgboss.enabled is True else []
    return statement("functions_trusted", owner=raw(owner), schemas=schemas)


def usable(rows: list[FunctionRow]) -> dict[str, Installed]:
    """Those that were printed by an exporter and may be called, by name."""
    found = {}
    for row in rows:
        made = _COMMENT.fullmatch(row.comment)
        if made is not None and row.usable:
            found[row.name] = Installed(tuple(row.arguments), Made(made[1], int(made[2]), made[3], made[4]))
    return found
