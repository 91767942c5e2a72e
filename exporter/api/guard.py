"""What stands before the application: headers on every answer, the rate limit, users, and no bodies."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..config.web import RateLimit
from ..config.webfile import Web
from .auth import Users
from .turns import BusyError

log = logging.getLogger(__name__)

#: Refused logins are told so often at most, in seconds: who guesses must not fill the log.
_QUIET: Final = 60.0

#: On every answer, unless it or the web configuration says otherwise.
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: Only over TLS. Not for subdomains, which are not ours to speak for.
_STRICT: Final = ("Strict-Transport-Security", "max-age=31536000")

#: Under this key of a request's state stands the answer of a connection that refuses the request.
REFUSED: Final = "pgqueue.refused"
#: And under this one, that its answer is the connection's last.
LAST: Final = "pgqueue.last"

_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="pgqueue-exporter", charset="UTF-8"'}


def refusal(status: int, headers: dict[str, str] | None = None) -> Response:
    """An answer in short."""
    return PlainTextResponse(f"{HTTPStatus(status).phrase}.\n", status_code=status, headers=headers)


def put_headers(headers: MutableHeaders, web: Web) -> None:
    """Complete the headers of an answer."""
    for name, value in (*_HEADERS.items(), *([_STRICT] if web.tls else [])):
        headers.setdefault(name, value)
    for name, value in web.config.http_server_config.headers.items():
        if value:
            headers[name] = value
        else:
            del headers[name]


class Guard:
    """Stands before an application. ``web`` is asked at each request: what it says holds at once."""

    def __init__(self, app: ASGIApp, web: Callable[[], Web]) -> None:
        self._app = app
        self._web = web
        self._users: Users | None = None
        self._bucket = _Bucket()
        self._logins = _Logins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        web = self._web()
        headers = Headers(scope=scope)
        state: MutableMapping[str, Any] = scope.get("state") or {}
        body = _has_body(headers)
        # What is left of a body is not read.
        last = body or LAST in state or REFUSED in state

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                put_headers(answered, web)
                if last:
                    answered["Connection"] = "close"
            await send(message)

        answer = await self._refusal(web, scope, state, headers, body=body)
        if answer is not None and answer.status_code == HTTPStatus.UNAUTHORIZED and "authorization" in headers:
            self._logins.refused(scope.get("client"))
        await (self._app if answer is None else answer)(scope, receive, complete)

    async def _refusal(
        self, web: Web, scope: Scope, state: MutableMapping[str, Any], headers: Headers, *, body: bool
    ) -> Response | None:
        if REFUSED in state:
            return refusal(state[REFUSED])
        if not self._bucket.allows(web.config.rate_limit):
            return refusal(429, {"Retry-After": "1"})
        if (stranger := await self._stranger(web, scope, headers)) is not None:
            return stranger
        if scope["method"] not in {"GET", "HEAD"}:
            return refusal(405, {"Allow": "GET, HEAD"})  # whatever the path, also where there is none
        if body:
            return refusal(413)
        return None

    async def _stranger(self, web: Web, scope: Scope, headers: Headers) -> Response | None:
        """The answer to who is none of the users; None for who is, and where there are none."""
        users = web.config.basic_auth_users
        if not users:
            return None
        self._users = self._users or Users()
        given = headers.getlist("authorization")
        address, _ = scope.get("client") or ("", 0)
        try:
            admitted = len(given) == 1 and await self._users.admits(users, given[0], address)
        except BusyError:
            return refusal(503, {"Retry-After": "1"})
        return None if admitted else refusal(401, _CHALLENGE)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


class _Logins:
    """Tells of refused logins, with how many there were since it last did."""

    def __init__(self) -> None:
        self._refused = 0
        self._told_at = float("-inf")

    def refused(self, client: tuple[str, int] | None) -> None:
        """Take one, from this address."""
        self._refused += 1
        if time.monotonic() - self._told_at >= _QUIET:
            log.warning("login refused", extra={"client": client[0] if client else "", "refused": self._refused})
            self._refused, self._told_at = 0, time.monotonic()


class _Bucket:
    """Tokens for requests, ``burst`` at most, one more every ``interval``."""

    def __init__(self) -> None:
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._at = 0.0

    def allows(self, limit: RateLimit) -> bool:
        """Take a token, if there is one."""
        if not limit.interval:
            return True
        now = time.monotonic()
        if limit != self._limit:
            self._limit, self._tokens = limit, float(limit.burst)
        else:
            self._tokens = min(float(limit.burst), self._tokens + (now - self._at) / limit.interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
