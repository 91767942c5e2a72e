"""Who runs Postgres: this user; or, because Postgres refuses root, an unprivileged one where root started the demo."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import ExporterError

#: Users that every system has some of and that own nothing; ``postgres`` last: it may own a real server's data.
_CANDIDATES: Final = ("nobody", "daemon", "postgres")

_PLACES: Final = ("/tmp", "/var/tmp")  # noqa: S108  # only where a new directory is made


class Account(NamedTuple):
    """A user to run programs as."""

    name: str
    uid: int
    gid: int


def choose() -> tuple[Account | None, Path]:
    """The user that Postgres can run as (None: this one), and a place for its files that it can reach.

    Raises ExporterError when root finds no such user.
    """
    if os.geteuid() != 0:
        return None, Path(tempfile.gettempdir())
    places = list(dict.fromkeys((tempfile.gettempdir(), *_PLACES)))
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        account = Account(name, entry.pw_uid, entry.pw_gid)
        for place in places:
            if account.uid != 0 and runs(["/bin/sh", "-c", 'cd "$0"', place], account):
                return account, Path(place)
    raise ExporterError(
        f"Postgres refuses to run as root, and root may not become any of {', '.join(_CANDIDATES)} here: "
        "start the demo as an ordinary user"
    )


def runs(command: Sequence[str | Path], account: Account | None) -> bool:
    """Whether a short command can be run as that user, and succeeds."""
    return output(command, account) is not None


def output(command: Sequence[str | Path], account: Account | None) -> str | None:
    """What a short command prints when run as that user; None when it cannot be run, or fails."""
    try:
        done = subprocess.run(  # noqa: S603  # the demo's own commands
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            **identity(account),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def identity(account: Account | None) -> dict[str, Any]:
    """The arguments of ``subprocess`` that make a program run as that user."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
