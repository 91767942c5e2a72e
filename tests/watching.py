"""Collecting plainly, and comparing every series of a queue with what plain SQL says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from exporter import names
from exporter.model import Distribution
from exporter.sources.fence import SLACK
from tests.exporter import Collected, Driver
from tests.sources.base import Anything, AtMost, Key, Since, Source
from tests.sources.knows import PERHAPS

#: What is read once, behind the fence; the other series are of the moment.
BEHIND_THE_FENCE: Final = ("counter", "histogram")

#: Collections in which a session that we did not open (of autovacuum) may hold the fence up.
PATIENCE: Final = 20


class Watch:
    """An exporter that watches a source. Nothing is forced: a collection is one that runs because it is due."""

    def __init__(self, source: Source, **keys: Any) -> None:
        self.source = source
        self.driver = Driver(source.database.dsn, **{**source.keys, **keys})
        #: What there was before: it is not counted.
        self.before = {queue: source.expected(queue) for queue in source.queues}

    def close(self) -> None:
        """End its session."""
        self.driver.close()

    def collect(self, **how: Any) -> Collected:
        """One collection, of what the statistics have been told of; its moment is between two looks at the clock."""
        self.source.flush()
        before, wall = self.source.now(), time.time()
        page = self.driver.collect(**how)
        after = self.source.now()
        # Its clock was read by a statement, and counts from before that was sent.
        assert how or before <= page.moment.monotonic + page.moment.ahead <= after + (after - before)
        for at in page.of(names.QUEUE_COLLECTION_TIMESTAMP, source=self.source.label).values():
            assert at <= time.time()
        for labels, at in page.of(names.COLLECTION_TIMESTAMP, source=self.source.label).items():
            if page.of(names.COLLECTION_SUCCESS)[labels] and labels[2] != names.FULL_LOOK and not how:
                assert wall <= at <= time.time(), labels
        return page

    def look(self, *queues: str) -> Collected:
        """One collection: every series is there and no other, and those of the moment have SQL's values."""
        page = self.collect()
        for queue in queues or self.source.queues:
            self.compare(page, queue, counters=False)
        return page

    def account(self, *queues: str) -> Collected:
        """One collection after all that was stamped is behind the fence; another finds nothing twice."""
        compared = queues or tuple(self.source.queues)
        self.source.wait_until(self.source.now() + SLACK)
        page = self.collect()
        for _ in range(PATIENCE):
            if not self._others():
                break
            page = self.collect()
        for queue in compared:
            self.compare(page, queue)
        again = self.collect()
        for queue in compared:
            self.compare(again, queue)
        return again

    def _others(self) -> bool:
        """Whether a session that is none of ours holds a transaction that the fence waits for."""
        found = self.source.sql.execute(
            "select 1 from pg_stat_activity where backend_type <> 'client backend' and datname = current_database()"
            " and (backend_xid is not null or backend_xmin is not null)"
        )
        return found.fetchone() is not None

    def compare(self, page: Collected, queue: str, *, counters: bool = True) -> None:
        """The series of one queue are those that the source promises."""
        expected, told = self.source.expected(queue), series(page, self.source, queue)
        missing = [_written(key) for key in expected.keys() - told.keys()]
        unknown = [_written(key) for key in told.keys() - expected.keys() if key[0] not in PERHAPS]
        assert (missing, unknown) == ([], []), f"{queue}: promised and missing, not promised and there"
        for key, value in expected.items():
            if key[0].kind not in BEHIND_THE_FENCE:
                agree(page, f"{queue}: {_written(key)}", told[key], value)
            elif counters:
                agree(page, f"{queue}: {_written(key)}", told[key], _since(value, self.before.get(queue, {}).get(key)))


def agree(page: Collected, about: str, told: Any, expected: object) -> None:
    """A value of the page is what SQL says."""
    if isinstance(expected, Since):
        assert told == page.age(expected.at), about
    elif isinstance(expected, AtMost):
        assert 0 <= told <= page.age(expected.at), about
    elif isinstance(expected, Distribution):
        assert told[:2] == expected[:2], about
        assert told.total == pytest.approx(expected.total, abs=1e-4), about
    elif not isinstance(expected, Anything):
        assert told == expected, about


def _since(value: Any, before: Any) -> object:
    """What was added to a counter or a histogram."""
    if before is None:
        return value
    if isinstance(value, Distribution):
        buckets = tuple(now - then for now, then in zip(value.cumulative, before.cumulative, strict=True))
        return Distribution(buckets, value.observations - before.observations, value.total - before.total)
    return value - before


def series(page: Collected, source: Source, queue: str) -> dict[Key, Any]:
    """The series of a queue, by their labels behind database, source and queue. No other source has any."""
    found: dict[Key, Any] = {}
    for metric in names.CATALOGUE:
        if names.QUEUE not in metric.labels:
            continue
        for labels, value in page.of(metric, queue=queue).items():
            assert labels[:3] == ("main", source.label, queue), (metric.name, labels)
            found[metric, labels[3:]] = value
    return found


def counters(page: Collected, source: Source) -> dict[tuple[str, ...], float]:
    """Every counter, and the count of every histogram."""
    found: dict[tuple[str, ...], float] = {}
    for metric in names.CATALOGUE:
        if metric.kind in BEHIND_THE_FENCE and names.QUEUE in metric.labels:
            for labels, value in page.of(metric, source=source.label).items():
                found[metric.name, *labels] = value.observations if isinstance(value, Distribution) else value
    return found


def _written(key: Key) -> str:
    return f"{key[0].name}{key[1]}"


@contextmanager
def watching(source: Source, **keys: Any) -> Iterator[Watch]:
    """A watch that has looked once: what comes from now on, it counts."""
    watch = Watch(source, **keys)
    try:
        watch.collect()
        yield watch
    finally:
        watch.close()
