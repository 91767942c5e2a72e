"""How long the demo lives: until a signal, until its time is up, or as long as the `make` that started it."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import Any, Final, Self

_SLICE: Final = 0.1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):  # noqa: N818  # no error: the demo's regular end
    """It is time to stop; ``str()`` says why."""


class Life:
    """Hears the signals while entered; ``pause()`` is where the demo learns that it is over."""

    def __init__(self, seconds: float | None = None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self._why = ""
        # A shell that ends may leave the demo running, as it may any program; a make that was killed may not.
        self._parent = os.getppid() if os.environ.get("MAKELEVEL") else None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # nohup
            self._handlers[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Let time pass. Raises Stopped."""
        until = time.monotonic() + seconds
        while True:
            self._check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _SLICE))

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        self._why = "interrupted" if number == signal.SIGINT else signal.Signals(number).name

    def _check(self) -> None:
        if not self._why and self._until is not None and time.monotonic() >= self._until:
            self._why = "time is up"
        if not self._why and self._parent is not None and os.getppid() != self._parent:
            self._why = "make is gone"
        if self._why:
            raise Stopped(self._why)
