"""The SQL of the least-privileged role, for people to read and run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..errors import ExporterError
from ..sources.role_sql import KINDS, ROLE, drop_lines, role_lines

if TYPE_CHECKING:
    from ..config import Config

__all__ = ["ROLE", "SOURCES", "sql_of"]

#: What `--source` may say.
SOURCES: Final = tuple(kind.name for kind in KINDS)

_NAME: Final = re.compile(r"[^\W\d][\w.-]{0,62}")


def sql_of(config: Config, name: str | None, role: str, sources: Iterable[str], *, drop: bool) -> str:
    """What makes the role for one database, or takes it back. Raises ExporterError where it is not said which."""
    named = {database.name: database for database in config.databases}
    if name is None and len(named) > 1:
        raise ExporterError(f"which database: --database {', '.join(named)}")
    if name is not None and name not in named:
        raise ExporterError(f"no database {name!r} in the configuration; there is {', '.join(named)}")
    if not _NAME.fullmatch(role):
        raise ExporterError(f"--role: expected a name of letters, digits, _, - and .; found {role!r}")
    database = named[name] if name is not None else config.databases[0]
    return (drop_lines if drop else role_lines)(database, role, sources)
