"""The page that scrapes get: rendered once a change, compressed once, swapped whole."""

from __future__ import annotations

import logging
import platform
import struct
import threading
import time
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from .. import __version__, names
from ..model import Sample
from .exposition import render, series

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

#: The renderer gives way for so long between pieces, in seconds, so that scrapes are not held up.
_PAUSE: Final = 0.0005

_LEVEL: Final = 1
_RAW: Final = -15
_GZIP: Final = 31

#: Compressed bytes that are decompressed at once.
_SLICE: Final = 4096

#: A gzip member's first bytes: no name, no time, fastest compression, unknown system.
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


class Tail(NamedTuple):
    """What goes behind a page, in plain and ready to be put there."""

    plain: bytes
    deflated: bytes

    @classmethod
    def of(cls, plain: bytes) -> Self:
        """The tail of these bytes."""
        compress = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
        return cls(plain, compress.compress(plain) + compress.flush())


class OpenGzip(NamedTuple):
    """A gzip member but for its end.

    One member, not two: concatenated members are legal, but curl fails at the second and httpx leaves it out.
    """

    data: bytes
    crc: int
    size: int
    """Bytes of the plain text."""

    def closed(self, tail: Tail) -> bytes:
        """The whole member, with a tail."""
        size = (self.size + len(tail.plain)) & 0xFFFFFFFF
        return b"".join((self.data, tail.deflated, struct.pack("<II", zlib.crc32(tail.plain, self.crc), size)))

    def plain(self) -> Iterator[bytes]:
        """The plain text without a tail, in pieces of some ten kilobytes."""
        decompress = zlib.decompressobj(_GZIP)
        for start in range(0, len(self.data), _SLICE):
            yield decompress.decompress(self.data[start : start + _SLICE])


class Page(NamedTuple):
    """A finished page in both formats, each but for its tail (in OpenMetrics, also but for ``# EOF``)."""

    text_gzip: OpenGzip
    openmetrics_gzip: OpenGzip
    series: int
    databases: frozenset[str]
    """The databases whose first collection is on the page."""


class Pages:
    """Takes each database's samples and keeps one finished page of all. Any thread may call every method."""

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

    def reload_succeeded(self, *, success: bool) -> None:
        """Show the outcome of the last reload of the configuration."""
        with self._changed:
            self._reloaded = int(success)
            self._stale = True
            self._changed.notify()

    def start(self) -> None:
        """Start rendering."""
        self._thread.start()

    def stop(self) -> None:
        """Stop rendering; the current page stays."""
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
                databases, reloaded = dict(self._samples), self._reloaded
            try:
                self._page = self._render(databases, reloaded)
            except Exception:
                # Our own bug: loud; the page's timestamps tell its age, and the next change is tried again.
                log.exception("rendering failed")

    def _render(self, databases: dict[str, tuple[Sample, ...]], reloaded: int) -> Page:
        samples = [sample for published in databases.values() for sample in published]
        samples += [
            Sample(names.SERIES_LIMIT, (), self.series_limit),
            Sample(names.CONFIG_RELOAD_SUCCESS, (), reloaded),
            Sample(names.BUILD_INFO, (__version__, platform.python_version()), 1),
        ]
        count = series(samples) + 1
        samples.append(Sample(names.SERIES, (), count))
        text, openmetrics = _Member(), _Member()
        for block in render(samples, lambda: time.sleep(_PAUSE)):
            # The formats share the compressed samples: only their headers differ.
            text.add([block.text_header], _deflated([block.text_header]))
            openmetrics.add([block.openmetrics_header], _deflated([block.openmetrics_header]))
            deflated = _deflated(block.pieces)
            text.add(block.pieces, deflated)
            openmetrics.add(block.pieces, deflated)
        return Page(text.opened(), openmetrics.opened(), count, frozenset(databases))


class _Member:
    """Collects what is compressed already into one gzip member."""

    def __init__(self) -> None:
        self._parts = [_GZIP_HEADER]
        self._crc = 0
        self._size = 0

    def add(self, pieces: Iterable[bytes], deflated: bytes) -> None:
        self._parts.append(deflated)
        for piece in pieces:
            self._crc = zlib.crc32(piece, self._crc)
            self._size += len(piece)

    def opened(self) -> OpenGzip:
        return OpenGzip(b"".join(self._parts), self._crc, self._size)


def _deflated(pieces: Iterable[bytes]) -> bytes:
    """The pieces compressed, ending on a whole byte and referring to nothing before them: they fit anywhere."""
    compress = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
    # zlib lets other threads run while it works.
    parts = [compress.compress(piece) for piece in pieces]
    return b"".join((*parts, compress.flush(zlib.Z_SYNC_FLUSH)))
