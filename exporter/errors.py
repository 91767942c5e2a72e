"""One tree of errors: what can be said to a person in one sentence. Anything else is our own bug, and loud."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, NamedTuple

#: Why a read failed: the values of the label ``reason``.
Reason = Literal["timeout", "lock", "privilege", "hidden", "missing", "connection", "budget", "other"]


class ExporterError(Exception):
    """Something that the world or the user can mend; ``str()`` is the sentence to show."""

    exit_code: ClassVar[int] = 1


class ConfigFault(NamedTuple):
    """One thing wrong with the configuration: where (dotted path, line if known), and what."""

    path: str
    message: str
    line: int | None = None


class ConfigError(ExporterError):
    """The configuration cannot be used. Carries every fault at once; values of secrets are never shown."""

    exit_code: ClassVar[int] = 2

    def __init__(self, where: str, faults: Iterable[ConfigFault]) -> None:
        self.where = where
        self.faults = tuple(faults)
        super().__init__(where, self.faults)

    def __str__(self) -> str:
        if len(self.faults) == 1 and not self.faults[0].path:
            return f"{self.where}: {self.faults[0].message}"
        places = [f"line {fault.line}" if fault.line else "" for fault in self.faults]
        path_width = max((len(fault.path) for fault in self.faults), default=0)
        place_width = max((len(place) for place in places), default=0)
        lines = [
            f"  {place:<{place_width}}  {fault.path:<{path_width}}  {fault.message}".rstrip()
            for place, fault in zip(places, self.faults, strict=True)
        ]
        return "\n".join([f"{self.where}: {len(lines)} fault{'s' if len(lines) > 1 else ''}", *lines])


class SourceError(ExporterError):
    """A read failed, and why; ``detail`` is one sentence without secrets or SQL."""

    def __init__(self, reason: Reason, detail: str, *, sqlstate: str | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.sqlstate = sqlstate
        super().__init__(reason, detail)

    def __str__(self) -> str:
        return self.detail
