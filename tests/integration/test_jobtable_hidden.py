"""Rows of a job table that row-level security hides are told, and never a zero."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter import names
from tests.exporter import Collected, Driver, settled
from tests.jobtables import create, create_runs, described, finish, finished
from tests.servers import Database, Server, flush

HIDDEN = "alter table public.{} enable row level security"
SHOWN = "alter table public.{} disable row level security"


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = server.create_database()
    with database.connect() as connection:
        create(connection)
        create_runs(connection)
        flush(connection)
    yield database
    server.drop_database(database.name)


def reader(database: Database) -> str:
    """A connection string of a role that may read all tables."""
    name = database.server.add_user()
    database.run(f'grant select on all tables in schema public to "{name}"')
    return database.dsn_as(name)


def hidden(page: Collected) -> dict[tuple[str, ...], float]:
    """The metric by source and queue."""
    return {labels[1:]: value for labels, value in page.of(names.ROWS_HIDDEN).items()}


def test_a_job_table_that_is_hidden_is_told_apart_and_shows_nothing(database: Database) -> None:
    other = {**described(source="none")[0], "name": "other", "table": "public.others"}
    with database.connect() as connection:
        connection.execute("create table public.others (like public.jobs including all)")
    driver = Driver(reader(database), job_tables=[*described(source="none"), other])
    driver.collect()
    with database.connect() as connection:
        finish(connection, jobs=2)
    assert finished(settled(driver)) == {"completed": 2}
    database.run(HIDDEN.format("jobs"))
    page = driver.recount()
    assert hidden(page) == {("jobtable:tracking", ""): 1, ("jobtable:other", ""): 0}
    assert not page.of(names.FINISHED_JOBS, source="jobtable:tracking")
    assert not page.of(names.QUEUE_INFO, source="jobtable:tracking")
    # What ended meanwhile is read once it may be.
    with database.connect() as connection:
        finish(connection, jobs=3)
    database.run(SHOWN.format("jobs"))
    driver.recount()
    page = settled(driver)
    assert set(hidden(page).values()) == {0}
    assert finished(page) == {"completed": 5}
    driver.close()


def test_that_what_it_is_joined_with_is_hidden_stops_only_whose_the_jobs_were(database: Database) -> None:
    joined = described(source="none", tenant="run.owner", join="public.runs run on run.id = job.id")
    database.run(HIDDEN.format("runs"))
    driver = Driver(reader(database), job_tables=joined)
    driver.collect()
    with database.connect() as connection:
        finish(connection, jobs=2)
    page = settled(driver)
    assert hidden(page) == {("jobtable:tracking", ""): 1}
    assert finished(page) == {"completed": 2}
    database.run(SHOWN.format("runs"))
    assert hidden(driver.recount()) == {("jobtable:tracking", ""): 0}
    for _ in range(2):  # a tenant begins at 0
        with database.connect() as connection:
            finish(connection)
        page = settled(driver)
    assert page.one(names.FINISHED_JOBS, tenant="acme", outcome="completed") == 1
    driver.close()
