"""The page that scrapes get: rendered once a change, compressed once, swapped whole."""

from __future__ import annotations

import platform
import threading
import time
import zlib
from typing import NamedTuple

from .. import __version__, names
from ..model import Sample
from .exposition import Block, render

#: The renderer gives way for so long between pieces, in seconds, so that scrapes are not held up.
_PAUSE = 0.0005

_GZIP = 31
_LEVEL = 1


class Page(NamedTuple):
    """Both formats, each a gzip member without its end marker, so that more may be appended."""

    text_gzip: bytes
    openmetrics_gzip: bytes
    series: int
    databases: frozenset[str]
    """The databases whose first collection is on the page."""


class Pages:
    """Takes each database's samples and keeps one finished page of all. Every method may be called by any thread."""

    def __init__(self, series_limit: int) -> None:
        self.series_limit = series_limit
        self._changed = threading.Condition()
        self._samples: dict[str, tuple[Sample, ...]] = {}
        self._reloaded = 1
        self._stale = True
        self._stopped = False
        self._page = self._render({}, 1)
        self._thread = threading.Thread(target=self._run, name="render", daemon=True)

    @property
    def current(self) -> Page:
        """The newest finished page."""
        return self._page

    def publish(self, database: str, samples: tuple[Sample, ...] | None) -> None:
        """Replace a database's samples; None forgets the database."""
        with self._changed:
            if samples is None:
                self._samples.pop(database, None)
            else:
                self._samples[database] = samples
            self._stale = True
            self._changed.notify()

    def reload_succeeded(self, success: bool) -> None:  # noqa: FBT001  # the outcome is all there is
        """Show the outcome of the last reload of the configuration."""
        with self._changed:
            self._reloaded = int(success)
            self._stale = True
            self._changed.notify()

    def start(self) -> None:
        """Start rendering."""
        self._thread.start()

    def stop(self) -> None:
        """Stop rendering."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stale or self._stopped)
                if self._stopped:
                    return
                self._stale = False
                samples, reloaded = dict(self._samples), self._reloaded
            self._page = self._render(samples, reloaded)

    def _render(self, databases: dict[str, tuple[Sample, ...]], reloaded: int) -> Page:
        samples = [sample for published in databases.values() for sample in published]
        samples += [
            Sample(names.SERIES_LIMIT, (), self.series_limit),
            Sample(names.CONFIG_RELOAD_SUCCESS, (), reloaded),
            Sample(names.BUILD_INFO, (__version__, platform.python_version()), 1),
        ]
        text, openmetrics = _Member(), _Member()
        series = 1

        def add(block: Block) -> None:
            text.add(block.text_header)
            openmetrics.add(block.openmetrics_header)
            for piece in block.pieces:
                text.add(piece)
                openmetrics.add(piece)

        for block in render(samples, lambda: time.sleep(_PAUSE)):
            series += block.series
            add(block)
        for block in render([Sample(names.SERIES, (), series)]):
            add(block)
        return Page(text.end(), openmetrics.end(), series, frozenset(databases))


class _Member:
    """One gzip member, written piece by piece; zlib lets other threads run meanwhile."""

    def __init__(self) -> None:
        self._compress = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._parts: list[bytes] = []

    def add(self, data: bytes) -> None:
        self._parts.append(self._compress.compress(data))

    def end(self) -> bytes:
        return b"".join((*self._parts, self._compress.flush()))
