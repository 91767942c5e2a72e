"""The process's own metrics (CPU, memory, garbage collection), from prometheus-client, a small block a scrape."""

from __future__ import annotations

import gzip
import time

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.openmetrics import exposition

#: Scrapes within so many seconds share one block.
_KEPT = 1.0


class ProcessMetrics:
    """Renders the block, as a gzip member to append to a page's."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._kept: dict[bool, tuple[float, bytes]] = {}

    def member(self, *, openmetrics: bool) -> bytes:
        """The block; in OpenMetrics with the end-of-file mark that the page leaves to it."""
        at, block = self._kept.get(openmetrics, (float("-inf"), b""))
        now = time.monotonic()
        if now - at > _KEPT:
            latest = exposition.generate_latest if openmetrics else generate_latest
            block = gzip.compress(latest(self._registry), compresslevel=1, mtime=0)
            self._kept[openmetrics] = (now, block)
        return block
