"""The web configuration in force: read again when it, or a file it names, changes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from ..config.webfile import Web, load_web
from ..errors import ConfigError

log = logging.getLogger(__name__)

#: Files are looked at so often, in seconds, and read once they were the same twice: a half-written file is none.
_EVERY: Final = 1.0


class WebWatch:
    """Holds what the listener works with. Any thread may call every method."""

    def __init__(self, path: str | None, told: Callable[[bool], None]) -> None:
        """Read the file, if there is one. Raises ConfigError.

        ``told`` is called with each later outcome: whether the newest file is in force.
        """
        self._path = path
        self._told = told
        self._web = load_web(path) if path else Web()
        self._fault = ""
        self._one = threading.Lock()
        self._note()

    def current(self) -> Web:
        """What holds now."""
        return self._web

    def start(self) -> None:
        """Look at the files from now on, until the process ends."""
        if self._path:
            threading.Thread(target=self._run, name="web", daemon=True).start()

    def renew(self) -> bool:
        """Read the file; one that cannot be used leaves the former in force. Whether it was taken."""
        if not self._path:
            return True
        with self._one:
            try:
                self._web = load_web(self._path)
            except ConfigError as error:
                if str(error) != self._fault:
                    log.error("web configuration refused, the former one stays in force: %s", error)  # noqa: TRY400  # no bug of ours
                self._fault = str(error)
            else:
                self._fault = ""
                log.info("web configuration reloaded")
                self._note()
            taken = not self._fault
        self._told(taken)
        return taken

    def _note(self) -> None:
        for note in self._web.config.notes:
            log.warning("%s", note, extra={"file": self._path})

    def _run(self) -> None:
        seen = self._web.seen()
        waited = threading.Event()
        while not waited.wait(_EVERY):
            before, seen = seen, self._web.seen()
            # A file at fault may name others that are mended while it stays: it is tried until it can be used.
            if (seen != self._web.stamps and seen == before) or self._fault:
                try:
                    self.renew()
                except Exception:
                    log.exception("reading the web configuration failed")  # our own bug: loud, and tried again
