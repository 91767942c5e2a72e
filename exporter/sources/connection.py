"""A connection whose waits end, and where to look for a server."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import conninfo, pq

from ..errors import SourceError

if TYPE_CHECKING:
    import threading


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose waits end: at a deadline, or when the exporter stops."""

    stopping: threading.Event | None = None
    deadline: float = float("inf")
    #: Functions to call instead of reading tables, by name: which parts of the SELECT are their arguments.
    functions: Mapping[str, Sequence[str]] = {}  # replaced, never changed

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # psycopg's own types are private
        """Wait, until one of both."""
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        state = next(gen, _DONE)
        while state is not _DONE:
            ready = yield state
            if self.stopping is not None and self.stopping.is_set():
                raise SourceError("connection", "the exporter is stopping")
            if time.monotonic() > self.deadline:
                raise SourceError("connection", "the server did not answer in time; the connection was given up")
            try:
                state = gen.send(ready)
            except StopIteration as done:
                return done.value
        return None


_DONE: Final = object()


def attempts(info: str, password: str | None) -> list[dict[str, Any]]:
    """Connection parameters to try in order: of several hosts, the primary first, then any that answers."""
    given = {"password": password} if password is not None else {}
    parameters = conninfo.conninfo_to_dict(info)
    several = "," in str(parameters.get("host", "")) or "," in str(parameters.get("hostaddr", ""))
    if several and "target_session_attrs" not in parameters:
        return [{**given, "target_session_attrs": "read-write"}, {**given, "target_session_attrs": "any"}]
    return [dict(given)]


def keywords() -> set[str]:
    """What libpq knows."""
    return {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
