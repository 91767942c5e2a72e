"""The ASGI application: /metrics, /-/healthy, /-/ready and a landing page."""

from __future__ import annotations

import base64
import hashlib
import html
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from .. import __version__
from .guard import Guard
from .process import ProcessMetrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ..collector.pages import OpenGzip, Pages, Tail
    from ..config.webfile import Web

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_METHODS: Final = ["GET"]  # starlette adds HEAD

_STYLE: Final = """
body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;overflow-wrap:anywhere}
dt{font-weight:600;margin-top:.75rem}dd{margin:0}code{font-size:.95em}
"""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_LANDING_HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
}

_LANDING: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>pgqueue-exporter</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>{style}</style></head><body>
<h1>pgqueue-exporter</h1>
<p>Health of job queues that live in Postgres, for Prometheus. Version {version}.</p>
<dl><dt><a href="/metrics">/metrics</a></dt><dd>{series} series of {databases}</dd>
<dt><a href="/-/ready">/-/ready</a></dt><dd>whether every database was collected once</dd>
<dt><a href="/-/healthy">/-/healthy</a></dt><dd>whether the process lives</dd></dl>
</body></html>
"""


def create_app(pages: Pages, databases: Callable[[], Collection[str]], web: Callable[[], Web]) -> ASGIApp:
    """The application over finished pages, guarded as ``web`` says. ``databases`` names those configured now."""
    process = ProcessMetrics()

    async def metrics(request: Request) -> Response:
        openmetrics = prefers_openmetrics(_joined(request, "accept"))
        page, tail = pages.current, process.tail(openmetrics=openmetrics)
        body = page.openmetrics_gzip if openmetrics else page.text_gzip
        headers = {"Content-Type": OPENMETRICS if openmetrics else TEXT, "Vary": "Accept, Accept-Encoding"}
        if accepts_gzip(_joined(request, "accept-encoding")):
            headers["Content-Encoding"] = "gzip"
            return Response(body.closed(tail), headers=headers)
        headers["Content-Length"] = str(body.size + len(tail.plain))
        if request.method == "HEAD":
            return Response(headers=headers)
        return StreamingResponse(_decompressed(body, tail), headers=headers)

    async def healthy(_request: Request) -> Response:
        return PlainTextResponse("pgqueue-exporter is healthy.\n")

    async def ready(_request: Request) -> Response:
        missing = sorted(set(databases()) - pages.current.databases)
        if missing:
            return PlainTextResponse(f"Not ready: no collection yet of {', '.join(missing)}.\n", status_code=503)
        return PlainTextResponse("pgqueue-exporter is ready.\n")

    async def landing(_request: Request) -> Response:
        named = ", ".join(f"<code>{html.escape(name)}</code>" for name in sorted(databases()))
        series = pages.current.series
        page = _LANDING.format(style=_STYLE, version=html.escape(__version__), series=series, databases=named)
        return HTMLResponse(page, headers=_LANDING_HEADERS)

    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for it alone
        return PlainTextResponse(f"{error.detail}.\n", status_code=error.status_code, headers=error.headers)

    app = Starlette(
        routes=[
            Route("/metrics", metrics, methods=_METHODS),
            Route("/-/healthy", healthy, methods=_METHODS),
            Route("/-/ready", ready, methods=_METHODS),
            Route("/", landing, methods=_METHODS),
        ],
        exception_handlers={HTTPException: refused},
    )
    # A redirect would repeat whatever host name the client gave.
    app.router.redirect_slashes = False
    return Guard(app, web)


async def _decompressed(body: OpenGzip, tail: Tail) -> AsyncIterator[bytes]:
    """A page in plain, seldom asked for (Prometheus takes gzip): piece by piece, so that no client holds it whole."""
    for piece in body.plain():
        yield piece
    yield tail.plain


def _joined(request: Request, header: str) -> str:
    return ",".join(request.headers.getlist(header))


def prefers_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics is asked for, at no lower quality than plain text."""
    asked = _qualities(accept)
    openmetrics = asked.get("application/openmetrics-text", 0.0)
    return openmetrics > 0 and openmetrics >= asked.get("text/plain", 0.0)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip is asked for."""
    asked = _qualities(accept_encoding)
    return asked.get("gzip", asked.get("*", 0.0)) > 0


def _qualities(header: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        if name:
            found[name] = max(found.get(name, 0.0), quality)
    return found
