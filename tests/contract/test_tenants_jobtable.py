"""What became of jobs by tenant, as a job table tells it: alone, or beside the queue that it describes."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import names
from exporter.sources.jobtable import JobTable
from exporter.tenants import NONE, OTHER
from tests.contract.test_tenants_outcomes import ODD, folded, later
from tests.exporter import Collected, Driver, driving, settled
from tests.jobtables import create, described, finished
from tests.outcomes import Rates, by_tenant, groups, number, some
from tests.pgmq_install import install_pgmq
from tests.servers import Database, Server, flush

#: Read from the tables, and through the functions of `sql role`.
BOTH_WAYS = True

COMPLETED = {"outcome": names.COMPLETED}

#: Who owns a job stands in the table itself.
OWN: dict[str, Any] = {"source": "none", "queues": ["mail"], "tenant": "job.tenant"}


def with_tenants(connection: psycopg.Connection[Any]) -> None:
    """The table of jobs, with a tenant and a run of each."""
    create(connection)
    connection.execute("alter table public.jobs add tenant text, add run bigint")


def end(connection: psycopg.Connection[Any], tenants: list[Any], column: str = "completed", attempt: int = 3) -> None:
    """A job of each tenant that ends now."""
    for tenant in tenants:
        connection.execute(
            f"insert into public.jobs (queue, tenant, attempt, enqueued, started, {column})"
            " select 'mail', %s, %s, now() - interval '3 s', now() - interval '2 s', clock_timestamp()",
            [tenant, attempt],
        )
    flush(connection)


def take(driver: Driver, rates: Rates) -> Collected:
    """What ended by now is settled and read, and every page on the way looked at."""
    page = settled(driver)
    rates.take(page)
    page = driver.collect()
    rates.take(page)
    return page


def recorded(driver: Driver, queue: str = "mail") -> Any:
    """The job table's memory of a queue."""
    return next(source for source in driver.collection.sources if isinstance(source, JobTable)).queues[queue]


def test_outcomes_by_tenant_are_those_of_the_table(database: Database) -> None:
    with database.connect() as connection:
        with_tenants(connection)
        tables = described(**OWN)
        with driving(database.dsn, job_tables=tables) as driver:
            rates = Rates(driver.collect())
            end(connection, ["a", "b", None])
            page = take(driver, rates)
            # Whoever has only recent work is shown from here on, and begins at 0.
            assert by_tenant(page, names.FINISHED_JOBS, **COMPLETED) == {"a": 0, "b": 0, NONE: 0, OTHER: 3}
            end(connection, ["a", "a", "b", None])
            end(connection, ["a", "c"], "failed")
            end(connection, ["b", "b"], "failed", attempt=1)
            end(connection, ["a"], "cancelled")
            page = take(driver, rates)
            assert some(by_tenant(page, names.FINISHED_JOBS, **COMPLETED)) == {"a": 2, "b": 1, NONE: 1, OTHER: 3}
            assert some(by_tenant(page, names.FINISHED_JOBS, outcome=names.FAILED)) == {"a": 1, OTHER: 1}
            assert some(by_tenant(page, names.FINISHED_JOBS, outcome=names.CANCELLED)) == {"a": 1}
            assert some(by_tenant(page, names.RETRIED)) == {"b": 2}
            runs = {name: run.observations for name, run in by_tenant(page, names.RUN, **COMPLETED).items()}
            assert runs == {"a": 2, "b": 1, "c": 0, OTHER: 4}
            assert page.one(names.TENANTS_SHOWN, queue="mail") == 4
            assert page.one(names.TENANTS_HIDDEN, queue="mail") == 0
            assert rates.of(names.FINISHED_JOBS, "mail") == finished(page) == dict(recorded(driver).finished)


@settings(max_examples=12, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(
    script=st.lists(
        st.tuples(
            st.sampled_from(["completed", "failed", "retried", "cancelled", "send", "collect", "collect"]),
            st.sampled_from("abcdefg") | st.none(),
            st.integers(1, 12),
        ),
        min_size=4,
        max_size=30,
    ),
    beside=st.booleans(),
)
def test_rates_and_sums_hold_on_the_whole_path(
    postgres18: Server, script: list[tuple[str, str | None, int]], beside: bool
) -> None:
    """From rows to pages: alone, or beside a queue whose backlog decides who is shown; two are, one with histograms."""
    database = postgres18.create_database()
    with database.connect() as connection:
        with_tenants(connection)
        keys: dict[str, Any] = {"tenants": {"shown": 2, "histograms": 1}}
        if beside:
            install_pgmq(database.dsn)
            connection.execute("select pgmq.create('mail')")
            keys["tenants"]["from"] = [{"message": "tenant"}]
        tables = described(**OWN | ({"source": "pgmq"} if beside else {}))
        with driving(database.dsn, job_tables=tables, **keys) as driver:
            rates = Rates(driver.collect())
            for step, tenant, jobs in script:
                if step == "collect":
                    page = driver.recount()
                    rates.take(page)
                    assert max(groups(page).values()) <= 2 + 2
                elif step == "send" and beside:
                    message = '{"tenant": null}' if tenant is None else f'{{"tenant": "{tenant}"}}'
                    connection.execute("select pgmq.send('mail', %s) from generate_series(1, %s)", [message, jobs])
                    flush(connection)
                elif step != "send":
                    column = "failed" if step == "retried" else step
                    end(connection, [tenant] * jobs, column, attempt=1 if step == "retried" else 3)
            page = take(driver, rates)
            memory = recorded(driver) if recorded_any(driver) else None
            if memory is not None:
                assert rates.of(names.FINISHED_JOBS, "mail") == some(dict(memory.finished))
                assert rates.of(names.RETRIED, "mail") == some({"": memory.retried})
                assert rates.of(names.RUN, "mail") == some({of: number(run) for of, run in memory.run.items()})
                assert rates.of(names.WAIT, "mail") == some({"": number(memory.wait)})
            truth: dict[tuple[str, str], int] = {}
            ended = "case when completed is not null then 'completed' when cancelled is not null then 'cancelled'"
            rows = connection.execute(
                f"select {ended} when attempt < max_attempts then 'retried' else 'failed' end, tenant, count(*)"
                " from public.jobs group by 1, 2"
            )
            for outcome, tenant, jobs in rows:
                truth[outcome, NONE if tenant is None else tenant] = jobs
            for outcome in (names.COMPLETED, names.FAILED, names.CANCELLED):
                values = by_tenant(page, names.FINISHED_JOBS, queue="mail", outcome=outcome)
                in_all = sum(jobs for (of, _), jobs in truth.items() if of == outcome)
                assert rates.of(names.FINISHED_JOBS, "mail").get(outcome, 0) == in_all
                assert all(value <= truth.get((outcome, name), 0) for name, value in values.items() if name != OTHER)
            if beside:
                shown = by_tenant(page, names.JOBS, queue="mail", state=names.READY).keys()
                told = by_tenant(page, names.FINISHED_JOBS, queue="mail", **COMPLETED)
                assert not told or told.keys() == shown
    postgres18.drop_database(database.name)


def recorded_any(driver: Driver) -> bool:
    """Whether the job table has shown the queue."""
    return any(isinstance(source, JobTable) and "mail" in source.queues for source in driver.collection.sources)


def test_recent_work_told_by_a_job_table_shows_a_tenant_of_the_queue(pgmq_database: Database) -> None:
    """Pinned, longest waiting, backlog, recent work: in this order, whoever tells it; and the same ones everywhere."""
    with pgmq_database.connect() as connection:
        with_tenants(connection)
        connection.execute("select pgmq.create('mail')")
        connection.execute("select pgmq.send('mail', '{\"tenant\": \"waits\"}')")
        flush(connection)
        tenants = {"from": [{"message": "tenant"}], "shown": 3, "pinned": ["vip"]}
        tables = described(**OWN | {"source": "pgmq"})
        with driving(pgmq_database.dsn, job_tables=tables, tenants=tenants) as driver:
            rates = Rates(driver.collect())
            for _ in range(2):
                end(connection, ["fast"] * 5 + ["slow"] * 2)
                page = take(driver, rates)
            assert by_tenant(page, names.JOBS, state=names.READY) == {"vip": 0, "waits": 1, "fast": 0, OTHER: 0}
            assert by_tenant(page, names.FINISHED_JOBS, **COMPLETED) == {"vip": 0, "waits": 0, "fast": 5, OTHER: 9}
            assert page.one(names.TENANTS_SHOWN, queue="mail") == 3
            assert page.one(names.TENANTS_HIDDEN, queue="mail") == 1
            assert rates.of(names.FINISHED_JOBS, "mail") == {names.COMPLETED: 14}


def test_odd_values_are_folded_and_counted(database: Database) -> None:
    with database.connect() as connection:
        with_tenants(connection)
        texts = [None if value is None or value is ... else str(value) for value in ODD]
        with driving(database.dsn, job_tables=described(**OWN)) as driver:
            rates = Rates(driver.collect())
            end(connection, texts)
            take(driver, rates)
            end(connection, texts)
            page = take(driver, rates)
            expected: dict[str, int] = {}
            for text in texts:
                expected[folded(text)] = expected.get(folded(text), 0) + 1
            assert some(by_tenant(page, names.FINISHED_JOBS, **COMPLETED)) == {**expected, OTHER: len(texts)}
            assert page.one(names.TENANTS_FOLDED, queue="mail") == 8


def test_who_goes_leaves_no_series_for_ever(database: Database) -> None:
    with database.connect() as connection:
        with_tenants(connection)
        tenants = {"pinned": ["vip"], "forget_after": "60s"}
        with driving(database.dsn, job_tables=described(**OWN), tenants=tenants) as driver:
            rates = Rates(driver.collect())
            end(connection, ["a", "vip", None])
            page = take(driver, rates)
            assert by_tenant(page, names.FINISHED_JOBS, **COMPLETED).keys() == {"vip", "a", NONE, OTHER}
            later(recorded(driver).by_tenant.membership, 61)
            page = driver.collect()
            rates.take(page)
            for metric, kind in ((names.FINISHED_JOBS, COMPLETED), (names.RETRIED, {}), (names.RUN, COMPLETED)):
                assert by_tenant(page, metric, **kind).keys() == {"vip", OTHER}


def test_what_is_committed_late_is_its_tenants(database: Database) -> None:
    with database.connect() as connection, database.connect() as late:
        with_tenants(connection)
        with driving(database.dsn, job_tables=described(**OWN)) as driver:
            rates = Rates(driver.collect())
            end(connection, ["a", "b"])
            take(driver, rates)
            late.execute("begin")
            late.execute("insert into public.jobs (queue, tenant, completed) values ('mail', 'b', now())")
            end(connection, ["a", "a"])
            for _ in range(3):
                page = take(driver, rates)
            assert some(by_tenant(page, names.FINISHED_JOBS, **COMPLETED)) == {OTHER: 2}
            late.execute("commit")
            flush(late)
            page = take(driver, rates)
            assert some(by_tenant(page, names.FINISHED_JOBS, **COMPLETED)) == {"a": 2, "b": 1, OTHER: 2}
            assert rates.of(names.FINISHED_JOBS, "mail") == {names.COMPLETED: 5}


LOOKED_UP = {**OWN, "tenant": "run.owner", "join": "public.runs run on run.id = job.run"}


@pytest.mark.parametrize(
    ("keys", "runs", "fault"),
    [
        ({}, "id bigint primary key, owner text", ""),
        ({}, "id bigint, owner text", "join: no index serves it"),
        ({"tenant": "run.owner::int"}, "id bigint primary key, owner text", "tenant: invalid input syntax"),
        ({"tenant": "run.none"}, "id bigint primary key, owner text", "tenant: column run.none does not exist"),
    ],
    ids=["well", "no index", "fails on a row", "no column"],
)
def test_a_tenant_that_cannot_be_looked_up_keeps_no_job_from_being_counted(
    database: Database, keys: dict[str, str], runs: str, fault: str
) -> None:
    with database.connect() as connection:
        with_tenants(connection)
        connection.execute(f"create table public.runs ({runs})")
        connection.execute("insert into public.runs select n, 'owner' || n % 2 from generate_series(1, 100) n")
        with driving(database.dsn, job_tables=described(**LOOKED_UP | keys)) as driver:
            rates = Rates(driver.collect())
            for _ in range(2):
                connection.execute(
                    "insert into public.jobs (queue, run, started, completed)"
                    " select 'mail', n, now(), clock_timestamp() from generate_series(1, 5) n"
                )
                flush(connection)
                page = take(driver, rates)
            found = some(by_tenant(page, names.FINISHED_JOBS, **COMPLETED))
            assert found == ({OTHER: 10} if fault else {"owner0": 2, "owner1": 3, OTHER: 5})
            told = [text.detail for tracked in driver.collection.parts for text in tracked.faults]
            # The functions do not tell what an error says: it might quote a job.
            masked = "refused by the functions: SQLSTATE"
            assert [fault in detail or masked in detail for detail in told] == ([True] if fault else [])


def test_queues_without_tenants_beside_those_with(pgmq_database: Database) -> None:
    """What `tenants.from` says of a queue counts; a table that does not tell whose jobs it records gives `_other`."""
    with pgmq_database.connect() as connection:
        with_tenants(connection)
        connection.execute("select pgmq.create('mail'), pgmq.create('plain'), pgmq.create('t_acme')")
        rules = [
            {"queues": ["plain"], "none": True},
            {"queues": ["t_*"], "queue_name": "^t_(.+)"},
            {"source": "pgmq", "message": "tenant"},
        ]
        for tenant, of_mail in (("job.tenant", {"a": 0, OTHER: 1}), (None, {OTHER: 1})):
            tables = described(source="pgmq", tenant=tenant)
            with driving(pgmq_database.dsn, job_tables=tables, tenants={"from": rules}) as driver:
                rates = Rates(driver.collect())
                for queue in ("mail", "plain", "t_acme"):
                    connection.execute(
                        "insert into public.jobs (queue, tenant, completed) values (%s, 'a', clock_timestamp())",
                        [queue],
                    )
                flush(connection)
                page = take(driver, rates)
                assert by_tenant(page, names.FINISHED_JOBS, queue="mail", **COMPLETED) == of_mail
                assert by_tenant(page, names.FINISHED_JOBS, queue="plain", **COMPLETED) == {"": 1}
                assert sum(by_tenant(page, names.FINISHED_JOBS, queue="t_acme", **COMPLETED).values()) == 1
                assert by_tenant(page, names.JOBS, queue="plain", state=names.READY).keys() == {""}


def test_more_groups_than_are_read_by_tenant_are_counted_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.sources.jobtable_selects.MOST_BY_TENANT", 3)
    monkeypatch.setattr("exporter.sources.jobtable_tenants.MOST_BY_TENANT", 3)
    with database.connect() as connection:
        with_tenants(connection)
        with driving(database.dsn, job_tables=described(**OWN)) as driver:
            rates = Rates(driver.collect())
            end(connection, ["a", "b", "c", "d"])
            page = take(driver, rates)
            assert by_tenant(page, names.FINISHED_JOBS, **COMPLETED) == {OTHER: 4}
            assert rates.of(names.FINISHED_JOBS, "mail") == {names.COMPLETED: 4}
