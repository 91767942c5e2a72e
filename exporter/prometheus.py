"""The only HTTP client: asks a Prometheus server."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final, NamedTuple

from .errors import ExporterError

_TIMEOUT: Final = 10.0
_LARGEST: Final = 50_000_000


class Found(NamedTuple):
    """One series of an answer, and its value."""

    labels: dict[str, str]
    value: float


def query(url: str, expression: str) -> list[Found]:
    """An instant vector. Raises ExporterError when the server does not give one."""
    base = url.rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise ExporterError(f"{url} is no address of a Prometheus: expected http://… or https://…")
    body = urllib.parse.urlencode({"query": expression}).encode()
    request = urllib.request.Request(f"{base}/api/v1/query", data=body)  # noqa: S310  # http or https, as just seen
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310  # the same
            content: Any = json.loads(answer.read(_LARGEST))
        series = content["data"]["result"]
        return [Found(dict(one["metric"]), float(one["value"][1])) for one in series]
    except urllib.error.HTTPError as error:
        raise ExporterError(f"Prometheus at {base} answers {error.code}") from None
    except (OSError, urllib.error.URLError) as error:
        raise ExporterError(f"Prometheus at {base} does not answer: {getattr(error, 'reason', error)}") from None
    except (ValueError, KeyError, TypeError):
        raise ExporterError(f"what answers at {base} is no Prometheus") from None
