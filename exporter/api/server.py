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
from ..errors import ConfigError, ConfigFault, ExporterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

#: Longer than any scrape interval in use, so that scrapes keep their connection, in seconds.
_KEEP_ALIVE: Final = 75

_BACKLOG: Final = 512

#: Open connections beyond which an answer is 503: below the 1,024 files that systems commonly allow a process.
_CONCURRENCY: Final = 900


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


def url(listener: socket.socket) -> str:
    """Where a listener is found."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: ASGIApp, listener: socket.socket, reload: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, and return within 1.5 seconds of it.

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
        limit_concurrency=_CONCURRENCY,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(_Server(config), listener, _reloader(reload)))


async def _serve(server: _Server, listener: socket.socket, hung_up: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.end)
    loop.add_signal_handler(signal.SIGHUP, hung_up.set)
    log.info("listening", extra={"url": url(listener)})
    await server.serve(sockets=[listener])


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
    """uvicorn without signal handlers of its own, which would raise the signal again at the end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """Stop accepting, finish what runs, return."""
        self.should_exit = True
