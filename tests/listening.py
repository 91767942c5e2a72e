"""A real exporter with a web configuration, whose database is not there; certificates; raw sockets."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import trustme
import yaml

from tests.servers import free_port

REPOSITORY = Path(__file__).parents[1]
PATIENCE = 20.0
#: An exporter ends within two seconds; where many tests run it takes longer. What it must not wait for, an interval, a
#: query or a client, lasts five seconds and more.
ENDS = 4.5

#: The same program with shorter patience.
HURRIED = """
from exporter.api import accepting, connection
connection._REQUEST, connection._ANSWER, connection._CLOSING, accepting.HANDSHAKE = 1.5, 3, 1, 1.5
accepting.MOST = {most}
from exporter.cli import main
main(prog_name="pgqueue-exporter")
"""


def wait_for(what: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until something is so."""
    until = time.monotonic() + patience
    while not what():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.05)


def hashed(password: str, cost: int = 4) -> str:
    """A bcrypt hash."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


class Certificates:
    """An authority, and files of what it issued."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self.ca_file = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, *names: str, stem: str = "server") -> tuple[Path, Path]:
        """Write a certificate and its key, over what was there."""
        issued = self.authority.issue_cert(*(names or ("127.0.0.1", "localhost")))
        certificate, key = self._directory / f"{stem}.pem", self._directory / f"{stem}.key"
        for file, content in (
            (key, issued.private_key_pem.bytes()),
            (certificate, b"".join(blob.bytes() for blob in issued.cert_chain_pems)),
        ):
            fresh = file.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.replace(file)
        return certificate, key

    def client(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """How a client connects."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if certificate:
            context.load_cert_chain(*certificate)
        return context


class Listening:
    """A running exporter. Its output must be free of tracebacks and of ``S3cret``."""

    def __init__(self, directory: Path, web: dict[str, Any] | None, *, hurried: bool = False, most: int = 512) -> None:
        self.port = free_port()
        self.web_file = directory / "web.yml"
        self.log = directory / "log"
        arguments = ["serve", "--dsn", f"postgresql://nobody@127.0.0.1:{free_port()}/x"]
        arguments += ["--listen", f"127.0.0.1:{self.port}", "--log-level", "debug"]
        if web is not None:
            self.configure(web)
            arguments += ["--web.config.file", str(self.web_file)]
        program = ["-c", HURRIED.format(most=most)] if hurried else ["-m", "exporter"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: "msg=listening" in self.printed() or self.process.poll() is not None)
        assert self.process.poll() is None, self.printed()

    def configure(self, web: dict[str, Any]) -> None:
        """Write the web configuration."""
        self.web_file.write_text(yaml.safe_dump(web))

    def printed(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def handshake(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """A connection over TLS."""
        return context.wrap_socket(self.connect(), server_hostname="localhost")

    def say(self, request: bytes, context: ssl.SSLContext | None = None) -> bytes:
        """All that it answers, until it closes."""
        with self.handshake(context) if context else self.connect() as connection:
            connection.sendall(request)
            return everything(connection)

    def get(self, path: str = "/-/healthy", *headers: str, context: ssl.SSLContext | None = None) -> bytes:
        """The whole answer to a GET."""
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
        return self.say("\r\n".join(lines).encode(), context)

    def files(self) -> int:
        """How many files it has open."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def close(self) -> None:
        """End it, without waiting for anybody."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(PATIENCE) == 0, self.printed()
            assert time.monotonic() - began < ENDS
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        assert "Traceback" not in self.printed(), self.printed()
        assert "S3cret" not in self.printed(), self.printed()


def everything(connection: socket.socket) -> bytes:
    """All that comes, until the end."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def status(answer: bytes) -> int:
    """An answer's status; 0 of none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


#: The fixture `listening`.
Listen = Callable[..., Listening]
