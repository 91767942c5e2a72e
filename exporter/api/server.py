"""The listener and the process's signals: uvicorn, ended by SIGTERM or SIGINT, reloading on SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from typing import TYPE_CHECKING, Final

import uvicorn
import uvloop

from ..config.address import address
from ..config.document import shown
from ..config.webfile import Web
from ..errors import ConfigError, ConfigFault, ExporterError
from .accepting import Acceptor
from .connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

#: Longer than any scrape interval in use, so that scrapes keep their connection, in seconds.
_KEEP_ALIVE: Final = 75

_BACKLOG: Final = 512


def bind(listen: str) -> socket.socket:
    """A listening socket. Raises ConfigError for what is no address, ExporterError for one that cannot be had."""
    try:
        host, port = address(listen)
    except ValueError as error:
        raise ConfigError("listen", [ConfigFault("", f"{error}; found {shown(listen)}")]) from None
    reason = "no such address"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: what can be no host name
        found, reason = [], getattr(error, "strerror", None) or reason
    for family, kind, protocol, _, where in found:
        try:
            return _listening(socket.socket(family, kind, protocol), where)
        except OSError as error:
            reason = error.strerror or str(error)
    raise ExporterError(f"cannot listen on {listen}: {reason}")


def _listening(listener: socket.socket, where: tuple[object, ...]) -> socket.socket:
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def url(listener: socket.socket, web: Web) -> str:
    """Where a listener is found."""
    host, port = listener.getsockname()[:2]
    return f"http{'s' if web.tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: ASGIApp, listener: socket.socket, reload: Callable[[], None], web: Callable[[], Web]) -> None:
    """Serve until SIGTERM or SIGINT, and return within 1.5 seconds of it; ``web`` is asked at each connection.

    SIGHUP calls ``reload`` in a thread of its own, one call at a time; signals that come meanwhile make one more.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=1,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(_Server(config, listener, web), _reloader(reload)))


async def _serve(server: _Server, hung_up: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.end)
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    await server.serve(sockets=[])
    server.raise_what_went_wrong()


def _reloader(reload: Callable[[], None]) -> threading.Event:
    """The event that makes a thread reload: a daemon, because a slow reload must not hold up the end."""
    hung_up = threading.Event()

    def run() -> None:
        while True:
            hung_up.wait()
            hung_up.clear()
            try:
                reload()
            except Exception:
                log.exception("reloading failed")  # our own bug: loud, and the next signal is heard

    threading.Thread(target=run, name="reload", daemon=True).start()
    return hung_up


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which raise the signal again, and its accepting, which has no bounds."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, web: Callable[[], Web]) -> None:
        super().__init__(config)
        self._listener = listener
        self._web = web
        self._accepting: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept."""
        await super().startup(sockets)
        acceptor = Acceptor(self._listener, self._web, self._connection)
        self._accepting = asyncio.get_running_loop().create_task(acceptor.run())
        self._accepting.add_done_callback(lambda _task: self.end())
        log.info("listening", extra={"url": url(self._listener, self._web())})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, finish what runs."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._listener.close()
        await super().shutdown(sockets)

    def end(self) -> None:
        """Stop accepting, finish what runs, return."""
        self.should_exit = True

    def raise_what_went_wrong(self) -> None:
        """Accepting ends only by being told to: anything else is our bug, and loud."""
        if self._accepting is not None and self._accepting.done() and not self._accepting.cancelled():
            self._accepting.result()

    def _connection(self, acceptor: Acceptor) -> Connection:
        return Connection(self.config, self.server_state, web=self._web, gone=acceptor.gone, unknown=acceptor.unknown)
