"""Accepts connections: bounded in number, each with TLS as it is at that moment."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

from ..config.webfile import Web
from .connection import HANDSHAKE, Connection

log = logging.getLogger(__name__)

#: Below the 1,024 files that systems commonly allow a process.
MOST: Final = 512

#: Seconds between looks for connections whose time is over.
_EVERY: Final = 1.0

#: Seconds that a client may take to agree to the end of TLS.
_GOODBYE: Final = 0.5

#: Seconds in which a complaint is made once.
_QUIET: Final = 60.0


class Acceptor:
    """Accepts from a listening socket. When there are too many, the newest comes in and the idlest goes."""

    def __init__(self, listener: socket.socket, web: Callable[[], Web], make: Callable[[Acceptor], Connection]) -> None:
        """``make`` makes a connection that tells ``gone`` and ``unknown``."""
        self._listener = listener
        self._web = web
        self._make = make
        self._open: set[Connection] = set()
        self._complained: dict[str, float] = {}

    def gone(self, connection: Connection) -> None:
        """A connection has ended."""
        self._open.discard(connection)

    def unknown(self) -> None:
        """A client's certificate names nobody in client_allowed_sans."""
        self._complain("a client's certificate has no name of client_allowed_sans: refused")

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        sweeping = loop.create_task(self._sweep())
        try:
            while True:
                try:
                    accepted, _ = await loop.sock_accept(self._listener)
                except OSError as error:
                    # Most likely no more files: one that idles makes room.
                    self._complain(f"cannot accept connections: {error.strerror}")
                    self._evict()
                    await asyncio.sleep(0.05)
                    continue
                self._take(accepted)
        finally:
            sweeping.cancel()
            for connection in list(self._open):
                if not connection.made:
                    connection.end()

    def _take(self, accepted: socket.socket) -> None:
        if len(self._open) >= MOST:
            self._complain(f"{MOST} connections are open: idle ones make room")
            if not self._evict():
                accepted.close()
                return
        connection = self._make(self)
        self._open.add(connection)
        connection.opening = asyncio.get_running_loop().create_task(self._begin(accepted, connection))

    async def _begin(self, accepted: socket.socket, connection: Connection) -> None:
        tls = connection.tls
        try:
            accepted.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE if tls else None,
                ssl_shutdown_timeout=_GOODBYE if tls else None,
            )
        except (OSError, ssl.SSLError) as error:  # TimeoutError is one
            log.debug("no connection", extra={"reason": getattr(error, "reason", None) or str(error)})
            self._drop(accepted, connection)
        except BaseException:
            self._drop(accepted, connection)
            raise

    def _drop(self, accepted: socket.socket, connection: Connection) -> None:
        if not connection.made:
            accepted.close()
        self.gone(connection)

    def _evict(self) -> bool:
        """End one connection that is not being answered: one that never sent a request first. Whether there was one."""
        idle = [connection for connection in self._open if not connection.busy]
        chosen = min(idle, key=lambda connection: (connection.served, connection.last), default=None)
        if chosen is None:
            return False
        self._open.discard(chosen)
        chosen.end()
        return True

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            for connection in list(self._open):
                connection.expire()

    def _complain(self, what: str) -> None:
        now = time.monotonic()
        if now - self._complained.get(what, -_QUIET) >= _QUIET:
            self._complained[what] = now
            log.warning("%s", what)
