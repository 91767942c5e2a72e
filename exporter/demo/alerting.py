"""Prometheus and Alertmanager in the demo: real ones, on free ports of 127.0.0.1, with the repository's own bundle."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ..errors import ExporterError
from . import bundle
from .channels import HOST, Channels
from .guarded import Guarded
from .postgres import free_port
from .programs import Program, Programs

_READY_WITHIN: Final = 30.0
_ATTEMPTS: Final = 3
_TIMEOUT: Final = 3.0

#: What a few hundred series need, several times over.
_SMALL: Final = {"GOMEMLIMIT": "200MiB", "GOMAXPROCS": "2", "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
_RETENTION: Final = ("--storage.tsdb.retention.time=2h", "--storage.tsdb.retention.size=100MB")

#: Prometheus knows its Alertmanagers some seconds later than its rules. What fired before is sent again then.
_RESEND: Final = "--rules.alert.resend-delay=5s"

#: Where alerts are shown: of newer versions, and of Debian's, which has other pages.
_PAGES: Final = ("/alerts", "/classic/alerts")
_NO_PAGES: Final = "does not include a web"
_ALERTS: Final = "/api/v2/alerts"


class Alerting:
    """Both; ``start()`` makes them, and their guard ends them."""

    def __init__(self, guarded: Guarded, programs: Programs, channels: Channels, exporter: str) -> None:
        self._guarded = guarded
        self._programs = programs
        self._channels = channels
        self._exporter = exporter
        self._addresses: dict[str, str] = {}

    def start(self, pause: Callable[[float], None]) -> None:
        """Start both and wait for them. ``pause`` may raise to give up. Raises ExporterError."""
        directory = self._guarded.directory
        config = directory / "alertmanager.yml"
        config.write_text(bundle.alertmanager(self._channels), "utf-8")
        self._start(
            "alertmanager",
            self._programs.alertmanager,
            lambda address: [
                f"--config.file={config}",
                f"--storage.path={directory / 'alertmanager'}",
                f"--web.listen-address={address}",
                f"--web.external-url=http://{address}",
                "--cluster.listen-address=",
            ],
            pause,
        )
        rules = directory / "pgqueue.rules.yml"
        rules.write_text(bundle.rules(), "utf-8")
        self._start("prometheus", self._programs.prometheus, lambda address: self._prometheus(address, rules), pause)

    def check(self) -> None:
        """Raise ExporterError when one of them has ended."""
        for name in self._addresses:
            if self._guarded.ended(name) is not None:
                raise ExporterError(f"{name.title()} ended: {self._guarded.log(name)}")

    def pages(self) -> Iterator[tuple[str, str]]:
        """What to look at: a word, and an address."""
        prometheus, alertmanager = (self._addresses[name] for name in ("prometheus", "alertmanager"))
        page = next((page for page in _PAGES if _get(prometheus, page) is not None), "/")
        yield "alerts", f"http://{prometheus}{page}"
        has_pages = _NO_PAGES not in (_get(alertmanager, "/") or "")
        yield "messages", f"http://{alertmanager}{'/' if has_pages else f'{_ALERTS} (JSON: it has no pages)'}"

    def _prometheus(self, address: str, rules: Path) -> list[str]:
        config = self._guarded.directory / "prometheus.yml"
        targets = {"pgqueue": self._exporter, "prometheus": address, "alertmanager": self._addresses["alertmanager"]}
        config.write_text(bundle.prometheus(targets, rules), "utf-8")
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={self._guarded.directory / 'prometheus'}",
            f"--web.listen-address={address}",
            *_RETENTION,
            _RESEND,
        ]

    def _start(
        self, name: str, program: Program, arguments: Callable[[str], list[str]], pause: Callable[[float], None]
    ) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            address = f"{HOST}:{free_port()}"
            command: list[str | Path] = [program.path, *arguments(address)]
            self._guarded.start(name, command, _SMALL, account=None, folder=program.folder, stop=[signal.SIGTERM])
            if self._answers(name, address, pause):
                self._addresses[name] = address
                return
            said = self._guarded.log(name)
            if attempt == _ATTEMPTS or "in use" not in said:  # somebody else was quicker
                raise ExporterError(f"{program.title} did not start: {said}")

    def _answers(self, name: str, address: str, pause: Callable[[float], None]) -> bool:
        until = time.monotonic() + _READY_WITHIN
        while self._guarded.ended(name) is None and time.monotonic() < until:
            if _get(address, "/-/ready") is not None:
                return True
            pause(0.05)
        return False


def _get(address: str, path: str) -> str | None:
    """What is there; None where nothing is, or nobody answers."""
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return text if answer.status == http.client.OK else None
