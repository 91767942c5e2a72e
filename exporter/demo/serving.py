"""The exporter in the demo: the real `serve`, a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..api.server import bind
from ..config import Config
from ..errors import ExporterError
from .guarded import Guarded
from .readings import Reading, read
from .schema import CONFIG, DSN_VARIABLE

DEFAULT_LISTEN: Final = str(Config.model_fields["listen"].default)

_NAME: Final = "exporter"
_PACKAGES: Final = Path(__file__).parents[2]

#: The first collection waits for the database, and a slow machine for Python.
_NUMBERS_WITHIN: Final = 60.0

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what to read from where all interfaces are listened on


class Address:
    """Where the exporter will listen, kept free for it until then."""

    def __init__(self, listen: str | None, say: Callable[[str], None]) -> None:
        wanted = listen or DEFAULT_LISTEN
        try:
            self._listener = bind(wanted)
        except ExporterError as error:
            if listen is not None:
                raise
            self._listener = bind("127.0.0.1:0")
            say(f"{error}: taking a free port instead")
        host, self.port = self._listener.getsockname()[:2]
        bracketed = f"[{host}]" if self._listener.family == socket.AF_INET6 else host
        self.listen = f"{bracketed}:{self.port}"
        self.host = _ANY.get(host, host)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{self.target}/metrics"

    @property
    def target(self) -> str:
        """Host and port, for whoever reads the page."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def release(self) -> None:
        """Leave the port to the exporter."""
        self._listener.close()


class Exporter:
    """The exporter; ``start()`` makes it, and its guard ends it."""

    def __init__(self, guarded: Guarded, address: Address) -> None:
        self._guarded = guarded
        self._address = address

    def start(self, dsn: str) -> None:
        """Start it on a database."""
        self._address.release()
        environment = {**os.environ, DSN_VARIABLE: dsn}
        if Path(sysconfig.get_path("purelib")) != _PACKAGES:  # a checkout
            paths = [environment.get("PYTHONPATH", ""), str(_PACKAGES)]
            environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        self._guarded.start(
            _NAME,
            # -P: an unrelated `exporter` in the folder where the demo was started is not ours.
            [sys.executable, "-P", "-m", "exporter", "serve", "--config", CONFIG, "--listen", self._address.listen],
            environment,
            account=None,
            folder="/",
            stop=[signal.SIGTERM],
        )

    def first_reading(self, pause: Callable[[float], None]) -> Reading:
        """Wait for the first numbers. ``pause`` may raise to give up. Raises ExporterError."""
        waited = 0.0
        while (reading := self.read()) is None:
            self.check()
            if waited > _NUMBERS_WITHIN:
                raise ExporterError(f"the exporter shows no numbers of the demo's queues: {self._guarded.log(_NAME)}")
            pause(0.1)
            waited += 0.1
        return reading

    def read(self) -> Reading | None:
        """The numbers on its page now; None when it does not answer."""
        return read(self._address.host, self._address.port)

    def check(self) -> None:
        """Raise ExporterError when it has ended."""
        if self._guarded.ended(_NAME) is not None:
            raise ExporterError(f"the exporter ended: {self._guarded.log(_NAME)}")
