"""Driving one collection in a test: no sleeps, everything due at once, samples by name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from exporter import names
from exporter.collector.loop import Collection
from exporter.config import Config, Database
from exporter.model import Sample
from exporter.names import Metric
from exporter.sources.fence import SLACK
from exporter.sources.pgboss import PgBoss
from exporter.sources.pgmq import Pgmq
from exporter.sources.postgres import Server, statement
from exporter.sources.source import Moment, Source
from tests.roles import set_up_role


def configured(dsn: str, **keys: Any) -> Config:
    """A configuration of one database, ``main``."""
    return Config.model_validate({"databases": [{"name": "main", "dsn": dsn.replace("${", "$${"), **keys}]})


class Collected:
    """One collection's samples."""

    def __init__(self, samples: tuple[Sample, ...], moment: Moment | None = None) -> None:
        self.samples = samples
        self._moment = moment

    @property
    def moment(self) -> Moment:
        """When they were made."""
        assert self._moment is not None
        return self._moment

    def age(self, since: float | None) -> float:
        """The age that a time of the server's clock has on this page, to the last digit; 0 of None."""
        return 0.0 if since is None else max(0.0, self.moment.monotonic + self.moment.ahead - since)

    def of(self, metric: Metric, **labels: str) -> dict[tuple[str, ...], Any]:
        """Values of a metric by its label values, where the given labels match."""
        found = {}
        for sample in self.samples:
            if sample.metric is metric:
                named = dict(zip(metric.labels, sample.labels, strict=True))
                if all(named[label] == value for label, value in labels.items()):
                    assert sample.labels not in found, f"twice on the page: {metric.name} {sample.labels}"
                    found[sample.labels] = sample.value
        return found

    def one(self, metric: Metric, **labels: str) -> Any:
        """The value of exactly one series."""
        values = list(self.of(metric, **labels).values())
        assert len(values) == 1, f"{metric.name} {labels}: {len(values)} series"
        return values[0]

    def maybe(self, metric: Metric, **labels: str) -> Any:
        """The value of one series, None when there is none."""
        values = list(self.of(metric, **labels).values())
        assert len(values) <= 1
        return values[0] if values else None

    def jobs(self, queue: str) -> tuple[int, int, int]:
        """Ready, scheduled and in flight."""
        states = (names.READY, names.SCHEDULED, names.IN_FLIGHT)
        return tuple(self.one(names.JOBS, queue=queue, state=state) for state in states)


def states(page: Collected, queue: str) -> dict[str, int]:
    """Jobs by state, those above 0."""
    return {labels[4]: jobs for labels, jobs in page.of(names.JOBS, queue=queue).items() if jobs}


def outcomes(page: Collected, queue: str) -> dict[str, int]:
    """Finished jobs by outcome, all tenants together, those above 0."""
    found: dict[str, int] = {}
    for labels, jobs in page.of(names.FINISHED_JOBS, queue=queue).items():
        if jobs:
            found[labels[4]] = found.get(labels[4], 0) + jobs
    return found


class Driver:
    """A Collection whose parts run when the test says so."""

    #: Whether to read through the functions of `sql role`, made for the configuration: fixture `reads`.
    through_functions = False

    def __init__(self, dsn: str, **keys: Any) -> None:
        # On a busy machine, what tests read would pass the usual budget, and a part be switched off.
        keys = {"budget": "50%", **keys}
        database = configured(dsn, **keys).databases[0]
        if self.through_functions:
            database = configured(set_up_role(dsn, database), **keys).databases[0]
        self.collection = Collection(database)
        self._moment: Moment | None = None
        for source in self.collection.sources[:1]:
            self._note_moments(source)

    def _note_moments(self, source: Source) -> None:
        samples = source.samples

        def noting(database: Database, moment: Moment) -> Iterator[Sample]:
            self._moment = moment
            return samples(database, moment)

        source.samples = noting  # type: ignore[method-assign]  # a spy

    @property
    def pgmq(self) -> Pgmq:
        """The source pgmq."""
        return next(source for source in self.collection.sources if isinstance(source, Pgmq))

    @property
    def pgboss(self) -> list[PgBoss]:
        """The sources pg-boss, one a schema."""
        return [source for source in self.collection.sources if isinstance(source, PgBoss)]

    def collect(self, *, full: bool = False, without: tuple[str, ...] = ()) -> Collected:
        """Run every part now, the full look only when asked for."""
        left_out = without if full else (*without, names.FULL_LOOK)
        for tracked in self.collection.parts:
            tracked.due = float("inf") if tracked.part.name in left_out else float("-inf")
            tracked.off_until = float("-inf")
        self.collection._connect_at = float("-inf")
        return Collected(self.collection.cycle(), self._moment)

    def recount(self) -> Collected:
        """Count everything from the beginning."""
        for source in self.collection.sources:
            source.recount()
        return self.collect(full=True)

    def settle(self) -> Collected:
        """Collect until all that has happened to pg-boss's jobs is settled, then count everything."""
        self.collect()
        session = self.collection.session
        now = session.read(statement("server"), Server)[0].now
        while any((source.settled or 0.0) < now for source in self.pgboss if source.present):
            time.sleep(SLACK)  # nothing newer is taken for settled: looks before that would be for nothing
            self.recount()
        return self.recount()

    def close(self) -> None:
        """Close the connection."""
        self.collection.close()


@contextmanager
def driving(dsn: str, **keys: Any) -> Iterator[Driver]:
    """A driver that has looked once, so that all that comes is counted."""
    driver = Driver(dsn, **keys)
    try:
        driver.collect()
        yield driver
    finally:
        driver.close()


def settled(driver: Driver) -> Collected:
    """Collections until what finished by now is settled and read: SLACK after it, and one look more."""
    time.sleep(0.15)
    driver.collect()
    return driver.collect()
