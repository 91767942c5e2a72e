"""Prometheus and Alertmanager: found where `make demo` unpacks them, or on PATH."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from .account import output

#: The checkout that this package lies in, where it does.
ROOT: Final = Path(__file__).parents[2]

#: Folders with `bin` and `share`: of `.ci/demo`, and of `.ci/tools`.
UNPACKED: Final = (ROOT / ".tools" / "demo" / "unpacked" / "usr", ROOT / ".tools" / "unpacked" / "usr")

_VERSION: Final = re.compile(r"version (\d+)\.(\d+)")


class Kind(NamedTuple):
    """A program: what it is called, how old it may be, and where, below `share`, an unpacked one is to be started."""

    title: str
    names: tuple[str, ...]
    oldest: tuple[int, int]
    folder: str


class Program(NamedTuple):
    """A program that is here: `title` with its version, and the folder to start it in."""

    title: str
    path: Path
    folder: Path


#: `keep_firing_for` came with 2.42. Debian calls both programs by names of its own.
PROMETHEUS: Final = Kind("Prometheus", ("prometheus",), (2, 42), "prometheus/web")
ALERTMANAGER: Final = Kind(
    "Alertmanager", ("alertmanager", "prometheus-alertmanager"), (0, 25), "prometheus/alertmanager"
)


class Programs(NamedTuple):
    """Both."""

    prometheus: Program
    alertmanager: Program


def find() -> Programs | str:
    """Both programs, or what is missing and how to get it, in one sentence."""
    found, lacks = [], []
    for kind in (PROMETHEUS, ALERTMANAGER):
        program = _find(kind)
        if program is None:
            lacks.append(f"{kind.title} {'.'.join(map(str, kind.oldest))} or newer")
        else:
            found.append(program)
    if lacks:
        return (
            f"no alert will fire, as there is no {' and no '.join(lacks)} here: put it on PATH "
            "(Debian, Ubuntu: apt install prometheus prometheus-alertmanager)"
        )
    return Programs(*found)


def _find(kind: Kind) -> Program | None:
    for path, folder in _candidates(kind):
        said = output([path, "--version"], None) if os.access(path, os.X_OK) and path.is_file() else None
        version = _VERSION.search(said or "")
        if version is not None and (int(version[1]), int(version[2])) >= kind.oldest:
            return Program(f"{kind.title} {version[1]}.{version[2]}", path, folder)
    return None


def _candidates(kind: Kind) -> Iterator[tuple[Path, Path]]:
    for unpacked in UNPACKED:
        for name in kind.names:
            yield unpacked / "bin" / name, unpacked / "share" / kind.folder
    for folder in os.get_exec_path():
        for name in kind.names:
            yield Path(folder, name), Path("/")
