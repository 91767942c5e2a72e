"""The listener and the process's signals: uvicorn, ended by SIGTERM or SIGINT, reloading on SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

import uvicorn

from ..config.model import address
from ..errors import ExporterError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

#: Longer than any scrape interval in use, so that scrapes keep their connection, in seconds.
_KEEP_ALIVE: Final = 75

_BACKLOG: Final = 512
_CONCURRENCY: Final = 1000


def bind(listen: str) -> socket.socket:
    """A listening socket. Raises ExporterError when the address cannot be had."""
    host, port = address(listen)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise ExporterError(f"cannot listen on {listen}: {error.strerror or error}") from None
    return listener


def url(listener: socket.socket) -> str:
    """Where a listener is found."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: ASGIApp, listener: socket.socket, reload: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. SIGHUP calls ``reload`` in a thread, one at a time."""
    asyncio.run(_serve(app, listener, reload))


async def _serve(app: ASGIApp, listener: socket.socket, reload: Callable[[], None]) -> None:
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=1,
            limit_concurrency=_CONCURRENCY,
        )
    )
    loop = asyncio.get_running_loop()
    reloading = asyncio.Lock()

    async def reload_once() -> None:
        async with reloading:
            await loop.run_in_executor(None, reload)

    tasks: set[asyncio.Task[None]] = set()

    def hang_up() -> None:
        task = loop.create_task(reload_once())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.end)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    log.info("listening", extra={"url": url(listener)})
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()

    def end(self) -> None:
        """Stop accepting, finish what runs, return."""
        self.should_exit = True
