"""Every source in turn, for the suite over all of them; and suites that hold for both ways of reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.exporter import Driver
from tests.servers import Server
from tests.sources.base import Source
from tests.sources.jobtable import DescribedSource, JobTableSource
from tests.sources.knows import KNOWS, Kind
from tests.sources.pgboss import PgBossSource
from tests.sources.pgmq import PgmqSource

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


@pytest.fixture(scope="session", params=PLACES, ids=lambda place: f"{place[0]} on {place[1]}")
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


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """As if so many seconds had passed for the exporter."""
    clock = time.monotonic

    def pass_by(seconds: float) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: clock() + seconds)

    return pass_by


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs every test of a module that says `BOTH_WAYS = True` twice, but those marked `direct`."""
    if getattr(metafunc.module, "BOTH_WAYS", False) and not metafunc.definition.get_closest_marker("direct"):
        metafunc.parametrize("reads", ["direct", "functions"], indirect=True)


@pytest.fixture(autouse=True)
def reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How drivers read: a role with nothing but the functions, for `functions`."""
    monkeypatch.setattr(Driver, "through_functions", getattr(request, "param", "direct") == "functions")
