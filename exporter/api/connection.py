"""One client's connection: uvicorn's, with limits on the request's size and time and on a reader's slowness."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import deque
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import MutableHeaders
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..config.webfile import Web
from .guard import REFUSED, put_headers

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

#: A request's line and headers, in bytes and in number. Scrapers send less than a kilobyte.
HEAD_BYTES: Final = 16_384
HEAD_FIELDS: Final = 100
URL_BYTES: Final = 8_192

#: Seconds for a TLS handshake; for a request, from a connection's or its own first byte; for an answer until it was
#: taken, to the last byte; for a connection that is closed to be gone.
HANDSHAKE: Final = 10.0
_REQUEST: Final = 10.0
_ANSWER: Final = 60.0
_CLOSING: Final = 5.0


class Connection(HttpToolsProtocol):
    """Answers refusals itself where there is no request yet; else the guard does, in the order of requests."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        *,
        web: Callable[[], Web],
        gone: Callable[[Connection], None],
        unknown: Callable[[], None],
    ) -> None:
        """``gone`` is told when it ends, ``unknown`` when its certificate is nobody's who may come."""
        self._loop = asyncio.get_running_loop()
        super().__init__(config=config, server_state=server_state, app_state={}, _loop=self._loop)
        self._web = web
        self._gone = gone
        self._unknown = unknown
        self._accepted = web()
        self.opening: asyncio.Task[None] | None = None
        #: Whether the handshake is over.
        self.made = False
        #: Whether it ever sent a request, and when it last came or did.
        self.served = False
        self.last = self._loop.time()
        self._deadline: float | None = None
        self._begun = False
        self._in_head = False
        self._head = 0
        #: Requests that are not answered to the end, oldest first.
        self._asked: deque[RequestResponseCycle] = deque()

    @property
    def tls(self) -> ssl.SSLContext | None:
        """TLS as it was when this was accepted."""
        return self._accepted.tls

    @property
    def busy(self) -> bool:
        """Whether an answer is under way."""
        return bool(self._asked)

    def end(self) -> None:
        """Close at once."""
        if self.made:
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin; a client whose certificate is not among those allowed is cut off."""
        super().connection_made(transport)
        self.made = True
        self._within(_REQUEST)
        tls = self._accepted.config.tls_server_config
        if tls and tls.client_allowed_sans:
            certificate = transport.get_extra_info("peercert")
            given = tls.client_auth_type == "RequireAndVerifyClientCert" or certificate
            if given and not _allowed(certificate, tls.client_allowed_sans):
                self._unknown()
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; uvicorn tells the last request only, and the others would write to nowhere."""
        self._forget()
        super().connection_lost(exc)
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that grows too large is refused before it is whole."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(431)
        elif not self.busy and not self._begun:
            # Empty lines: no request yet, and no keep-alive any more.
            self._begun = True
            self._within(_REQUEST)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._head = True, 0
        self._within(_REQUEST)

    def on_headers_complete(self) -> None:
        """The request is there: bodies are not waited for."""
        self._begun = self._in_head = False
        self._within(_ANSWER)
        if (status := self._refusal()) is not None:
            self.scope["state"][REFUSED] = status
        super().on_headers_complete()
        self._asked.append(self.cycle)
        self.served, self.last = True, self._loop.time()
        # After an upgrade nothing more is read; and TLS that has changed since takes a new connection.
        if self.parser.should_upgrade() or self.tls is not self._web().tls:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """The answer is on its way; until it was taken, the time runs."""
        if self._asked:
            self._asked.popleft()
        super().on_response_complete()
        self._within(_ANSWER)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP; ``msg`` is uvicorn's, and says no more."""
        del msg
        self._refuse(400)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: it is answered as if no upgrade were asked for, which is what the client expects."""

    def expire(self) -> None:
        """End it, if its time is over; to be called every second or so."""
        if not self.made:
            return  # the handshake has a time of its own
        closing = self.transport.is_closing()
        waits = not (closing or self.busy or self._begun or self._in_head)
        if self._deadline is None:
            if closing:
                self._within(_CLOSING)
        elif self._loop.time() < self._deadline:
            if waits and self.served and not self.transport.get_write_buffer_size():
                self._deadline = None  # taken: keep-alive's time runs
        elif self._in_head and not closing and not self.busy:
            self._refuse(408)
        else:
            self.transport.abort()

    def _forget(self) -> None:
        """Nothing more is written for requests under way."""
        for cycle in self._asked:
            cycle.disconnected = True
            cycle.message_event.set()
        self._asked.clear()

    def _within(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds

    def _refusal(self) -> int | None:
        if len(self.url) > URL_BYTES:
            return 414
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES or len(self.headers) > HEAD_FIELDS:
            return 431
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            return 400
        return None

    def _refuse(self, status: int) -> None:
        """Answer what is no request, and close; where other answers come first, only close."""
        self._in_head = False
        self._within(_CLOSING)
        # One whose headers were fine may stand there already; what came behind them was not.
        alone = len(self._asked) <= 1 and not any(cycle.response_started for cycle in self._asked)
        self._forget()
        if alone:
            phrase = HTTPStatus(status).phrase
            headers = MutableHeaders({"Content-Type": "text/plain; charset=utf-8", "Connection": "close"})
            headers["Content-Length"] = str(len(phrase) + 2)
            put_headers(headers, self._web())
            lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), ""]
            self.transport.write("\r\n".join([*lines, f"{phrase}.\n"]).encode())
        self.transport.close()


def _allowed(certificate: Any, allowed: Collection[str]) -> bool:  # noqa: ANN401  # as ssl gives it
    names = {_canonical(value) for _, value in (certificate or {}).get("subjectAltName", ())}
    return not names.isdisjoint(_canonical(each) for each in allowed)


def _canonical(name: str) -> str:
    """An address as it is commonly written; another name as it is."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name
