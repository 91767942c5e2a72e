"""What the demo says: plain lines of at most 80 characters, with a little colour where a terminal takes it."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from collections.abc import Sequence
from typing import Final, TextIO

from .channels import Message
from .readings import Reading

_BOLD: Final = "1"
_DIM: Final = "2"
_RED: Final = "31;1"
_GREEN: Final = "32"
_GREEN_BOLD: Final = "32;1"

_WIDEST: Final = 80
_NARROWEST: Final = 40
#: Under the clock.
_INDENT: Final = " " * 10

_CHANNELS: Final = {"slack": "Slack", "pagerduty": "PagerDuty", "webhook": "a web hook"}


class Screen:
    """Writes lines to a stream; colour only on a terminal, and never with NO_COLOR set."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._encoding = stream.encoding or "utf-8"
        self._bar = "│" if self._encoding.lower().startswith("utf") else "|"

    def say(self, line: str = "") -> None:
        """One line, as it is: it may hold what people copy."""
        print(line.encode(self._encoding, "replace").decode(self._encoding), file=self._stream, flush=True)

    def tell(self, sentence: str) -> None:
        """A sentence, in as many lines as it needs."""
        for line in _wrapped(sentence, 0):
            self.say(line)

    def row(self, word: str, what: str, *, wrap: bool = True) -> None:
        """A word and what belongs to it, in two columns."""
        first, *rest = _wrapped(what, 12) if wrap else [what]
        self.say(f"  {self._painted(_DIM, f'{word:<9}')} {first}")
        for line in rest:
            self.say(f"{'':<12}{line}")

    def turn(self, sentence: str, hint: str = "") -> None:
        """A sentence about what has just changed, and what to look at or wait for now."""
        first, *rest = _wrapped(sentence, len(_INDENT))
        self.say(f"{_clock()}  {self._painted(_BOLD, first)}")
        for line in rest:
            self.say(f"{_INDENT}{self._painted(_BOLD, line)}")
        for line in _wrapped(hint, len(_INDENT)):
            self.say(f"{_INDENT}{self._painted(_DIM, line)}")

    def numbers(self, now: Reading, rate: float | None) -> None:
        """The status line."""
        rate_text = "-" if rate is None else f"{rate:.1f}"
        parts = [
            ("ready", f"{now.ready:>4}", ""),
            ("oldest", f"{now.ready_age:>5.1f} s", _RED if now.ready_age > 10 else _GREEN),  # seconds
            ("stalled", f"{now.stalled:>3.0f} s", _RED if now.stalled >= 0.5 else _GREEN),
            ("finished", f"{rate_text:>5}/s", ""),
            ("dead", f"{now.dead_letters:>3}", ""),
        ]
        shown = "  ".join(f"{self._painted(_DIM, name)} {self._painted(code, value)}" for name, value, code in parts)
        self.say(f"{_clock()}  {shown}")

    def messages(self, messages: Sequence[Message]) -> None:
        """What Alertmanager sent: Slack's message as a person reads it, and who else was told."""
        others = [f"{message.to} by e-mail" if message.channel == "email" else _CHANNELS[message.channel]
                  for message in messages if message.channel != "slack"]  # fmt: skip
        for message in messages:
            if message.channel == "slack":
                self._message(message, others)
                others = []
        if others:
            self.turn(f"Alertmanager told {_listed(others)}")

    def _message(self, message: Message, others: Sequence[str]) -> None:
        word, strong, weak = ("RESOLVED", _GREEN_BOLD, _GREEN) if message.resolved else ("ALERT", _RED, "31")
        bar = f"{_INDENT}{self._painted(weak, self._bar)}"
        self.say()
        first, *rest = _wrapped(f"Alertmanager sent this to Slack, for {message.to}:", len(_INDENT) + len(word) + 2)
        self.say(f"{_clock()}  {self._painted(strong, word)}  {first}")
        for line in rest:
            self.say(f"{_INDENT}{line}")
        for line in _wrapped(message.title, len(_INDENT) + 2):
            self.say(f"{bar} {self._painted(strong, line)}")
        self.say(bar)
        for paragraph in message.text.splitlines():
            for line in _wrapped(paragraph, len(_INDENT) + 2) or [""]:
                self.say(f"{bar} {line}".rstrip())
        if others:
            for line in _wrapped(f"also sent: {', '.join(others)}", len(_INDENT)):
                self.say(f"{_INDENT}{self._painted(_DIM, line)}")
        self.say()

    def _painted(self, colour: str, text: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colour and colour and text else text


def _wrapped(text: str, indent: int) -> list[str]:
    """Lines that fit beside an indent; addresses stay whole."""
    width = max(_NARROWEST, min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST))
    return textwrap.wrap(text, width - indent, break_long_words=False, break_on_hyphens=False)


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _clock() -> str:
    return time.strftime("%H:%M:%S")
