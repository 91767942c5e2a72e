"""A psycopg connection that never waits for ever."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import psycopg

from ..errors import SourceError

if TYPE_CHECKING:
    import threading

_DONE: Final = object()


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose waits end: at a deadline, or when the exporter stops."""

    stopping: threading.Event | None = None
    deadline: float = float("inf")

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # psycopg's own types are private
        """As psycopg waits, but not longer than allowed."""
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
