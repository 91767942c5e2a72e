"""The same behaviours of every source: each series that it promises equals plain SQL, and no other is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from exporter import names
from exporter.sources.fence import SLACK
from tests.servers import Server
from tests.sources.base import FAR, Source
from tests.sources.jobtable import DescribedSource, JobTableSource
from tests.sources.knows import KNOWS, Kind
from tests.sources.pgboss import PgBossSource
from tests.sources.pgmq import PgmqSource
from tests.watching import Watch, series, watching

#: Every kind on PostgreSQL 18, and the newest of each on 15.
ON_15: tuple[Kind, ...] = ("pgmq 1.13", "pg-boss 12", "job table")
PLACES = [(kind, 18) for kind in KNOWS] + [(kind, 15) for kind in ON_15]


def made(kind: Kind, server: Server) -> Source:
    """That source in a database of its own."""
    database = server.create_database()
    if kind == "job table":
        return JobTableSource(kind, database)
    if kind == "pgmq with a job table":
        return DescribedSource(kind, database)
    return (PgmqSource if kind.startswith("pgmq") else PgBossSource)(kind, database)


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: f"{place[0]} on {place[1]}")
def system(request: pytest.FixtureRequest) -> Iterator[Source]:
    """One queue system for all tests of it: installing pg-boss takes longer than a test."""
    kind, version = request.param
    server: Server = request.getfixturevalue(f"postgres{version}")
    source = made(kind, server)
    yield source
    source.close()
    server.drop_database(source.database.name)


@pytest.fixture
def source(system: Source) -> Iterator[Source]:
    """The same without queues."""
    yield system
    system.clear()


def test_every_kind_says_what_it_knows() -> None:
    assert set(KNOWS) == set(get_args(Kind))


def test_an_empty_queue_has_zeros_where_zero_is_known(source: Source) -> None:
    source.create("mail", "other")
    with watching(source) as watch:
        page = watch.account()
        for key, value in series(page, source, "mail").items():
            if key[0] in (names.JOBS, names.FINISHED_JOBS, names.RETRIED):
                assert value == 0


def test_jobs_in_every_state(source: Source) -> None:
    source.create("mail", "other")
    with watching(source) as watch:
        source.send("mail", 5)
        source.send("mail", 2, at=source.now() + FAR)
        source.send("other")
        watch.look()
        source.take("mail", 2)
        watch.look()
        source.take("mail", 1)
        page = watch.account()
        if source.knows.states:
            assert page.jobs("mail") == (2, 2, 3)
            assert page.jobs("other") == (1, 0, 0)
