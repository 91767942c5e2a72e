"""Exporters of the end-to-end tests, each a process of its own that can be killed and started again."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.servers import REPOSITORY, free_port


class Exporter:
    """A running `pgqueue-exporter serve` on a port that it keeps."""

    def __init__(self, directory: Path, name: str, database: dict[str, Any]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._file = directory / f"{name}.yml"
        self._log = directory / f"{name}.log"
        self._file.write_text(yaml.safe_dump({"listen": self.address, "databases": [database]}))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; nothing where it runs."""
        if self._process is None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "exporter", "serve", "--config", str(self._file)],
                    cwd=REPOSITORY,
                    env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def kill(self) -> None:
        """Kills it: it has no time to say goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def ready(self) -> bool:
        """Whether its database was collected once."""
        assert self._process is not None
        assert self._process.poll() is None, self.printed()
        try:
            return httpx.get(f"http://{self.address}/-/ready", trust_env=False).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def printed(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")
