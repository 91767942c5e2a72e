"""A pgbouncer in front of a server of the tests."""

import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.servers import PATIENCE, TOOLS, Server, free_port, give, library_path, spawn, work_directory


def pgbouncer_binary() -> Path | None:
    """The program: that of `.tools`, or the system's."""
    found = [TOOLS / "sbin" / "pgbouncer", Path("/usr/sbin/pgbouncer")]
    on_path = shutil.which("pgbouncer")
    return next((path for path in [*found, *([Path(on_path)] if on_path else [])] if path.is_file()), None)


class PgBouncer:
    """A running pgbouncer: `.host`, `.port`, `.dsn(...)`; `close()` ends it.

    `mode` is `transaction`, `session` or `statement`; `pool_size` counts connections per database and user. `users`
    are those it lets in, with their passwords ("" for none). `settings` go into its [pgbouncer] section.
    """

    def __init__(
        self,
        binary: Path,
        server: Server,
        dbname: str = "postgres",
        *,
        pool_size: int = 1,
        mode: str = "transaction",
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.server = server
        self.dbname = dbname
        self.host = "127.0.0.1"
        self.port = free_port()
        self.directory = work_directory("bouncer")
        program = Path(shutil.copy(binary, self.directory))
        known = users or {server.superuser: server.password or ""}
        self._passwords = dict(known)
        self._write("users.txt", "".join(f'"{name}" "{password}"\n' for name, password in known.items()))
        section = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256" if any(known.values()) else "trust",
            "auth_file": self.directory / "users.txt",
            "admin_users": next(iter(known)),
            "pool_mode": mode,
            "default_pool_size": pool_size,
            "ignore_startup_parameters": "extra_float_digits",
            **(settings or {}),
        }
        lines = "".join(f"{name} = {value}\n" for name, value in section.items())
        self._write(
            "pgbouncer.ini",
            f"[databases]\n* = host={server.host} port={server.port}\n[pgbouncer]\n{lines}",
        )
        self.log = self.directory / "log"
        with self.log.open("ab") as log:
            environment = {"PATH": "/usr/bin:/bin", **library_path(self.directory)}
            self._process = spawn([program, self.directory / "pgbouncer.ini"], environment, log)
        self._wait()

    def dsn(self, dbname: str | None = None, user: str | None = None, password: str | None = None) -> str:
        """A connection URL through it; to its own database and user unless told otherwise."""
        name = user or next(iter(self._passwords))
        secret = password if password is not None else self._passwords.get(name, "")
        login = quote(name, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(dbname or self.dbname, safe='')}"

    def close(self) -> None:
        """Ends it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.write_text(text)
        give(path)

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < until:
            try:
                psycopg.connect(self.dsn("pgbouncer"), connect_timeout=5, autocommit=True).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        text = self.log.read_text()
        self.close()
        raise AssertionError(f"pgbouncer did not start:\n{text}")
