"""The demo's side of the guard: programs that end with the demo, in a directory that goes with it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from ..errors import ExporterError
from . import guard as script
from .account import Account

_STOP_WITHIN: Final = 20.0
_LOG_LINES: Final = 3
_GUARD_GONE: Final = "somebody ended the process that guards the demo's Postgres: all has stopped"


class Guarded:
    """Programs under guard: ``directory`` and all they started are gone after ``close()``, or when this process is."""

    def __init__(self, place: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own script
            [sys.executable, "-I", script.__file__, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the demo, which then ends this
        )
        assert self._process.stdout is not None  # noqa: S101  # asked for above
        self._ended: dict[str, tuple[int, str]] = {}
        self._lock = threading.Lock()
        first = json.loads(self._process.stdout.readline() or '{"refused": "its guard process does not start"}')
        if "refused" in first:
            self._process.wait(_STOP_WITHIN)
            raise ExporterError(f"the demo cannot have a directory of its own in {place}: {first['refused']}")
        self.directory = Path(first["directory"])
        threading.Thread(target=self._listen, name="guard", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        account: Account | None,
        folder: str | Path,
        stop: Sequence[int],
    ) -> None:
        """Start a program; its output goes to a log that ``log(name)`` reads."""
        request: script.Request = {
            "name": name,
            "command": [str(part) for part in command],
            "environment": dict(environment),
            "account": None if account is None else (account.uid, account.gid),
            "folder": str(folder),
            "stop": [int(number) for number in stop],
        }
        with self._lock:
            self._ended.pop(name, None)
        assert self._process.stdin is not None  # noqa: S101  # asked for above
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ExporterError(_GUARD_GONE) from None

    def ended(self, name: str) -> int | None:
        """The exit code of a program that ended; None while it runs. Raises ExporterError when the guard is gone."""
        if self._process.poll() is not None:
            raise ExporterError(_GUARD_GONE)
        with self._lock:
            return self._ended[name][0] if name in self._ended else None

    def wait(self, name: str, within: float, pause: Callable[[float], None]) -> int:
        """Wait for a program's end; its exit code. ``pause`` may raise to give up. Raises ExporterError."""
        until = time.monotonic() + within
        while (code := self.ended(name)) is None:
            if time.monotonic() > until:
                raise ExporterError(f"{name} took longer than {within:g} seconds")
            pause(0.02)
        return code

    def log(self, name: str) -> str:
        """The last lines of what a program said, as one line."""
        try:
            text = (self.directory / f"{name}.log").read_text(errors="replace").strip()
        except OSError:
            text = ""
        with self._lock:
            reason = self._ended.get(name, (0, ""))[1]
        return reason or " / ".join(line.strip() for line in text.splitlines()[-_LOG_LINES:]) or "it said nothing"

    def close(self) -> None:
        """Stop everything, remove the directory, and return when that is done."""
        assert self._process.stdin is not None  # noqa: S101  # asked for above
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        script.remove(self.directory)  # in case the guard itself was killed

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # asked for above
        for line in self._process.stdout:
            message = json.loads(line)
            with self._lock:
                self._ended[message["ended"]] = (message["code"], message.get("reason", ""))
