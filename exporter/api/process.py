"""The process's own metrics (CPU, memory, garbage collection), from prometheus-client: a page's tail."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.openmetrics import exposition

from ..collector.pages import Tail

#: Scrapes within so many seconds share one tail.
_KEPT: Final = 1.0


class ProcessMetrics:
    """Renders the process's metrics. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._kept: dict[bool, tuple[float, Tail]] = {}

    def tail(self, *, openmetrics: bool) -> Tail:
        """The metrics; in OpenMetrics with the end-of-file mark that the page leaves to them."""
        now = time.monotonic()
        kept = self._kept.get(openmetrics)
        if kept is not None and now - kept[0] < _KEPT:
            return kept[1]
        latest = exposition.generate_latest if openmetrics else generate_latest
        tail = Tail.of(latest(self._registry))
        self._kept[openmetrics] = (now, tail)
        return tail
