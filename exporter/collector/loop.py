"""One database's collector: a thread with one connection that turns its sources into samples, again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from .. import names
from ..errors import ExporterError, SourceError
from ..model import Fault, Sample
from ..sources.postgres import Session
from ..sources.registry import sources_of
from ..sources.source import Moment
from .budget import share_out
from .ceiling import Ceiling
from .parts import Tracked, backoff, track

if TYPE_CHECKING:
    from ..config import Database

log = logging.getLogger(__name__)

#: Samples of one database, replacing its former ones; None when the database is no longer watched.
Publish = Callable[[str, "tuple[Sample, ...] | None"], None]

#: The longest pause between attempts to connect, in seconds.
_LONGEST_BACKOFF: Final = 15.0

#: Connected to a standby although several hosts are named, a primary is looked for again after so many seconds.
_PRIMARY_SOUGHT: Final = 60.0

_WAITING: Final = "waiting to connect again"


class Collection:
    """All that is collected of one database, in the thread that calls it; ``cycle`` is one collection."""

    def __init__(
        self, database: Database, stopping: threading.Event | None = None, ceiling: Ceiling | None = None
    ) -> None:
        self.database = database
        self._ceiling = ceiling or Ceiling()
        self.session = Session(database, stopping)
        self.up = False
        self.sources = sources_of(database)
        self.parts: list[Tracked] = [part for source in self.sources for part in track(source, database)]
        self._told: dict[tuple[str, str, str], str] = {}
        #: What was told of the outage that lasts: a cut connection is one thing, why there is no new one another.
        self._told_lost: set[str] = set()
        self._failures = 0
        self._connect_at = float("-inf")
        self._connected_at = 0.0

    def reconfigure(self, database: Database) -> None:
        """Go on with another configuration of the same database; counters and memories stay."""
        self.sources = sources_of(database, self.sources)
        self.parts = [part for source in self.sources for part in track(source, database, self.parts)]
        self.database = self.session.database = database
        for tracked in self.parts:
            tracked.spending.every = tracked.part.every(database)
        try:
            same = self.session.uses(database.conninfo(), database.password())
        except ExporterError:
            same = False  # told when connecting
        if not same:
            self.session.close()
            self._connect_at = float("-inf")

    def cycle(self) -> tuple[Sample, ...]:
        """Connect if need be, run the parts that are due, and give everything known and fresh."""
        try:
            self._connect()
            for tracked in self.parts:
                if time.monotonic() >= tracked.due - self.database.interval / 2:
                    self._run(tracked)
            self._heard()
        except ExporterError as error:
            self._lost(str(error))
        share_out(self.database.budget, [tracked.spending for tracked in self.parts])
        for tracked in self.parts:
            tracked.draw_near()
        tenancies = [tenancy for source in self.sources for tenancy in source.tenancies()]
        return self._ceiling.admit(self.database.name, self._samples, tenancies)

    def close(self) -> None:
        """Close the connection."""
        self.session.close()

    def _connect(self) -> None:
        now = time.monotonic()
        if self.session.connected:
            stray = self.session.server.standby and now - self._connected_at > _PRIMARY_SOUGHT
            if not (stray and self.session.several_hosts):
                return
            self.session.close()
        if now < self._connect_at:
            raise SourceError("connection", _WAITING)
        self._failures += 1
        self._connect_at = now + backoff(self._failures, _LONGEST_BACKOFF)
        self.session.connect()
        self._connected_at = now
        for source in self.sources:
            source.reconnected()

    def _heard(self) -> None:
        self._failures = 0
        self._told_lost.clear()
        if not self.up:
            self.up = True
            version = self.session.server.version
            log.info(
                "connected", extra={"database": self.database.name, "server": f"{version // 10000}.{version % 10000}"}
            )

    def _lost(self, why: str) -> None:
        if why != _WAITING and why not in self._told_lost:
            self._told_lost.add(why)
            log.warning("database does not answer: %s", why, extra={"database": self.database.name})
        self.up = False

    def _run(self, tracked: Tracked) -> None:
        spent = self.session.spent
        faults: list[Fault]
        whole = False
        lost: SourceError | None = None
        standby = self.session.server.standby
        try:
            faults = tracked.part.run(self.session, self.database)
        except SourceError as error:
            whole = True
            faults = [Fault("", error.reason, error.detail)]
            lost = error if error.reason == "connection" else None
        if self.session.connected and self.session.server.standby != standby:
            for source in self.sources:  # promoted: as good as another server
                source.reconnected()
        now = time.monotonic()
        tracked.ended(now, time.time(), self.session.spent - spent, faults, whole=whole)
        share_out(self.database.budget, [other.spending for other in self.parts])
        tracked.plan()
        if lost is not None:
            tracked.due = float("-inf")
            raise lost
        self._tell(tracked, faults)

    def _tell(self, tracked: Tracked, faults: list[Fault]) -> None:
        """One line a change of state, not a cycle."""
        source, part = tracked.labels
        # Of several of one queue (or of tables that several share), the first.
        now = {(source, part, fault.queue): fault for fault in reversed(faults)}
        context = {"database": self.database.name, "source": source, "part": part}
        for key, fault in now.items():
            if self._told.get(key) == fault.reason:
                continue
            inherited = fault.reason in self._told_of(key)
            self._told[key] = fault.reason
            if not inherited:
                log.warning("%s", fault.detail, extra={**context, "queue": fault.queue, "reason": fault.reason})
        for key in [key for key in self._told if key[:2] == (source, part) and key not in now]:
            del self._told[key]
            if not self._told_of(key):
                log.info("works again", extra={**context, "queue": key[2]})

    def _told_of(self, key: tuple[str, str, str]) -> set[str]:
        """What was told of the same queue by other parts of its source: what one found, another only inherits."""
        source, part, queue = key
        return {
            reason
            for (other_source, other_part, other_queue), reason in self._told.items()
            if queue and (other_source, other_queue) == (source, queue) and other_part != part
        }

    def _samples(self) -> Iterator[Sample]:
        now = time.monotonic()
        ahead = self.session.ahead
        yield Sample(names.UP, (self.database.name,), int(self.up))
        shown: set[tuple[str, str]] = set()
        for source in self.sources:
            oldest = {
                tracked.part.name: tracked.oldest(self.database, now)
                for tracked in self.parts
                if tracked.source is source
            }
            moment = Moment(now, ahead, now + ahead - time.time(), oldest.__getitem__, shown)
            for sample in source.samples(self.database, moment):
                if sample.metric is names.QUEUE_INFO:
                    shown.add((sample.labels[1], sample.labels[2]))
                yield sample
        for tracked in self.parts:
            yield from tracked.samples(self.database)


class Loop(threading.Thread):
    """Runs one Collection until stopped. Nothing is shared but what it publishes, and the room for that."""

    def __init__(self, database: Database, publish: Publish, ceiling: Ceiling) -> None:
        super().__init__(name=f"collect {database.name}", daemon=True)
        self._database = database
        self._publish = publish
        self._ceiling = ceiling
        self._stopping = threading.Event()
        self._publishing = threading.Lock()
        self._next: Database | None = None

    def reconfigure(self, database: Database) -> None:
        """Take another configuration at the next cycle."""
        self._next = database

    def stop(self) -> None:
        """Ask the loop to end; a query that runs is cancelled. Nothing is published after this. Then ``join``."""
        with self._publishing:
            self._stopping.set()

    def run(self) -> None:
        """Collect until stopped."""
        collection = Collection(self._database, self._stopping, self._ceiling)
        began = time.monotonic()
        while not self._stopping.is_set():
            database, self._next = self._next, None
            if database is not None:
                collection.reconfigure(database)
            try:
                samples = collection.cycle()
            except Exception:
                # Our own bug: loud, and the database counts as unknown until it is mended; the others go on.
                log.exception("collecting failed", extra={"database": collection.database.name})
                collection.up = False
                samples = (Sample(names.UP, (collection.database.name,), 0),)
            with self._publishing:
                if not self._stopping.is_set():
                    self._publish(collection.database.name, samples)
            interval = collection.database.interval
            began = max(began + interval, time.monotonic() - interval)
            self._stopping.wait(max(0.0, began - time.monotonic()))
        collection.close()
