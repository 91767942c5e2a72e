"""The only HTTP client: asks a Prometheus server."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlencode, urlsplit

from .errors import ExporterError

_TIMEOUT: Final = 10.0
_LARGEST: Final = 50_000_000
_EXPECTED: Final = "expected http://… or https://…, with user:password@ where it asks for them"
_UNPRINTABLE: Final = re.compile(r"[^\x21-\x7e]")


class Found(NamedTuple):
    """One series of an answer, and its value."""

    labels: dict[str, str]
    value: float


class Server(NamedTuple):
    """A Prometheus: its address, which may be shown, and the header that says who asks."""

    base: str
    authorization: str | None


def server(url: str) -> Server:
    """The server of an address; ``user:password@`` in it is taken for basic authentication.

    Raises ExporterError, which shows nothing of an address that may hold a password.
    """
    name = "what --prometheus says" if "@" in url else url
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        sound = None
    if not sound or _UNPRINTABLE.search(url):
        raise ExporterError(f"{name} is no address of a Prometheus: {_EXPECTED}")
    who, at, place = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    given = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    base = f"{parts.scheme}://{place}{parts.path}".rstrip("/")
    return Server(base, f"Basic {given}" if at else None)


def query(url: str, expression: str) -> list[Found]:
    """An instant vector. Raises ExporterError when the server does not give one."""
    base, authorization = server(url)
    body = urlencode({"query": expression}).encode()
    try:
        request = urllib.request.Request(f"{base}/api/v1/query", data=body)  # noqa: S310  # http or https, as just seen
        if authorization is not None:
            request.add_unredirected_header("Authorization", authorization)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310  # the same
            content: Any = json.loads(answer.read(_LARGEST))
        series = content["data"]["result"]
        return [Found(dict(one["metric"]), float(one["value"][1])) for one in series]
    except urllib.error.HTTPError as error:
        raise ExporterError(f"Prometheus at {base} answers {error.code}") from None
    except OSError as error:
        raise ExporterError(f"Prometheus at {base} does not answer: {getattr(error, 'reason', error)}") from None
    except (HTTPException, ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise ExporterError(f"what answers at {base} is no Prometheus") from None
