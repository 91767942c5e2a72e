"""The tenants that are always shown: of the configuration, and of a file that is read again when it changes."""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ..config.tenants import MOST_PINNED
from ..folding import LONGEST, is_folded, odd
from ..tenants import Rules, label
from .findings import WARNING, Finding

if TYPE_CHECKING:
    from ..config import Database

log = logging.getLogger(__name__)

#: Bytes; so many names of the longest fit into half of it.
_LARGEST: Final = 1_048_576

_LINES: Final = re.compile(r"\r\n|\r|\n")


class Found(NamedTuple):
    """What a file says: names (None: it cannot be read), and what is wrong with it, in sentences."""

    names: tuple[str, ...] | None
    complaints: tuple[str, ...]


class _Known(NamedTuple):
    stamp: object
    found: Found
    names: tuple[str, ...]
    """As it last could be read."""


#: By path, and room for names: each file is read, and complained about, once for all sources and databases.
_known: dict[tuple[str, int], _Known] = {}
_lock: Final = threading.Lock()


def read(path: str, room: int) -> Found:
    """Read a file of names, of which only so many count. Never waits for a writer, and never raises for the world."""
    try:
        # What is no file, such as a pipe, might not be opened before somebody writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return _unread("it is no regular file")
            content = file.read(_LARGEST + 1)
    except OSError as error:
        return _unread(error.strerror or type(error).__name__)
    except ValueError:  # a null character in the path
        return _unread("no such file")
    if len(content) > _LARGEST:
        return _unread(f"it is larger than {_LARGEST:,} bytes")
    try:
        return _parsed(content.decode("utf-8-sig"), room)
    except UnicodeError:
        return _unread("it is not UTF-8")


def _unread(why: str) -> Found:
    return Found(None, (f"cannot be read ({why}): the tenants that it names are not pinned, or as it last said",))


def _parsed(text: str, room: int) -> Found:
    named: dict[str, int] = {}
    skipped: list[int] = []
    for number, line in enumerate(_LINES.split(text), 1):
        name = line.strip(" \t")
        if not name or name.startswith("#"):
            continue
        if odd(name) and not is_folded(name):
            skipped.append(number)
        else:
            named.setdefault(name, number)
    complaints = []
    if skipped:
        lines = (
            f"line {skipped[0]} is" if len(skipped) == 1 else f"{len(skipped)} lines, the first line {skipped[0]}, are"
        )
        complaints.append(f"{lines} skipped: over {LONGEST} characters, or with such as no tenant's label has")
    if len(named) > room:
        after = list(named.values())[room]
        complaints.append(f"{MOST_PINNED:,} tenants can be pinned: the names from line {after} on are left out")
    return Found(tuple(named)[:room], tuple(complaints))


def _stamp(path: str) -> object:
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as error:
        return str(error)
    return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def _names(path: str, room: int) -> tuple[str, ...]:
    """What the file says, or last said; what is wrong with it is logged once, and again when it is something else."""
    with _lock:
        known, stamp = _known.get((path, room)), _stamp(path)
        if known is not None and known.stamp == stamp:
            return known.names
        found = read(path, room)
        if known is None or found.complaints != known.found.complaints:
            for complaint in found.complaints:
                log.warning("tenants.pinned_file: %s", complaint, extra={"path": path})
            if known is not None and not found.complaints:
                log.info("tenants.pinned_file is right again", extra={"path": path})
        names = found.names if found.names is not None else known.names if known is not None else ()
        _known[path, room] = _Known(stamp, found, names)
        return names


def _room(database: Database) -> int:
    return MOST_PINNED - len(database.tenants.pinned)


def rules_of(database: Database) -> Rules:
    """The bound of this database's queues. A file that cannot be read keeps what it said before."""
    tenants = database.tenants
    file = tenants.pinned_file
    pinned = (*tenants.pinned, *(_names(file, _room(database)) if file is not None else ()))
    names = tuple(dict.fromkeys(label(name) for name in pinned))
    return Rules(tenants.shown, tenants.histograms, names, tenants.forget_after)


def findings(database: Database) -> list[Finding]:
    """For `check`: what is wrong with the file."""
    file = database.tenants.pinned_file
    complaints = read(file, _room(database)).complaints if file is not None else ()
    return [Finding(WARNING, "tenants.pinned_file", f"{file}: {complaint}") for complaint in complaints]
