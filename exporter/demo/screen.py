"""What the demo says: plain lines, with a little colour where a terminal takes it."""

from __future__ import annotations

import os
import time
from typing import Final, TextIO

from .readings import Reading

_BOLD: Final = "1"
_DIM: Final = "2"
_RED: Final = "31;1"
_GREEN: Final = "32"


class Screen:
    """Writes lines to a stream; colour only on a terminal, and never with NO_COLOR set."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def say(self, line: str = "") -> None:
        """One line."""
        print(line, file=self._stream, flush=True)

    def turn(self, sentence: str) -> None:
        """A sentence about what has just changed."""
        self.say(f"{_clock()}  {self._painted(_BOLD, sentence)}")

    def numbers(self, now: Reading, rate: float | None) -> None:
        """The status line."""
        rate_text = "-" if rate is None else f"{rate:.1f}"
        parts = [
            ("ready", f"{now.ready:>5}", ""),
            ("scheduled", f"{now.scheduled:>4}", ""),
            ("in flight", f"{now.in_flight:>3}", ""),
            ("ready age", f"{now.ready_age:>6.1f} s", _RED if now.ready_age > 10 else _GREEN),  # seconds
            ("stalled", f"{now.stalled:>4.0f} s", _RED if now.stalled > 0 else _GREEN),
            ("finished", f"{rate_text:>5}/s", ""),
            ("retried", f"{now.retried:>4.0f}", ""),
            ("dead letters", f"{now.dead_letters:>3}", ""),
        ]
        shown = "  ".join(f"{self._painted(_DIM, name)} {self._painted(code, value)}" for name, value, code in parts)
        self.say(f"{_clock()}  {shown}")

    def _painted(self, colour: str, text: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colour and colour else text


def _clock() -> str:
    return time.strftime("%H:%M:%S")
