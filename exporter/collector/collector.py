"""All databases' loops: started, given another configuration, stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .ceiling import Ceiling
from .loop import Loop, Publish

if TYPE_CHECKING:
    from ..config import Config


class Collector:
    """Keeps one loop a configured database. Not for use by several threads at once."""

    def __init__(self, config: Config, publish: Publish) -> None:
        self._publish = publish
        self._config = config
        self._loops: dict[str, Loop] = {}
        self._ceiling = Ceiling()

    def start(self) -> None:
        """Start collecting."""
        self._take(self._config)

    def reconfigure(self, config: Config) -> None:
        """Go on with another configuration: loops of databases that stay keep their connection and counters.

        Raises ConfigError, and changes nothing, when a secret cannot be read.
        """
        for database in config.databases:
            database.conninfo()
            database.password()
        self._take(config)

    def _take(self, config: Config) -> None:
        self._config = config
        self._ceiling.limit = config.series_limit
        wanted = {database.name: database for database in config.databases}
        gone = [name for name in self._loops if name not in wanted]
        ended = [self._loops.pop(name) for name in gone]
        for loop in ended:
            loop.stop()
        for name, loop in zip(gone, ended, strict=True):
            loop.join(1.0)
            self._publish(name, None)
            self._ceiling.forget(name)
        for name, database in wanted.items():
            known = self._loops.get(name)
            if known is not None:
                known.reconfigure(database)
            else:
                self._loops[name] = loop = Loop(database, self._publish, self._ceiling)
                loop.start()

    def stop(self, timeout: float) -> None:
        """End all loops, waiting for them up to ``timeout`` seconds in all; the threads are daemons."""
        deadline = time.monotonic() + timeout
        for loop in self._loops.values():
            loop.stop()
        for loop in self._loops.values():
            loop.join(max(0.0, deadline - time.monotonic()))
        self._loops.clear()
