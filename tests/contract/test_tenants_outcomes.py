"""What became of pg-boss's jobs by tenant: the sums are the queue's, and SQL's, whoever is shown meanwhile."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from exporter import names
from exporter.membership import Membership
from exporter.sources.pgboss_ended import Ended
from exporter.sources.postgres import Query, Server, statement
from exporter.tenants import NONE, OTHER, label
from tests.exporter import Collected, Driver
from tests.outcomes import UNSHOWN, WATCHED, Rates, by_tenant, groups, number, some
from tests.pgboss import PgBoss, Version
from tests.servers import Database, flush

#: Read from the tables, and through the functions of `sql role`.
BOTH_WAYS = True

BY_DATA = {"from": [{"queues": ["plain"], "none": True}, {"message": "project_id"}]}

OUTCOMES = (names.COMPLETED, names.FAILED, names.DEAD_LETTERED, names.CANCELLED)

#: What Postgres holds of jobs that ended, by tenant.
ENDED = """
select coalesce(data->>'project_id', '_none'),
       case when state = 'failed' and dead_letter is not null then 'dead_lettered' else state::text end,
       count(*), sum(retry_count)::int, count(started_on) filter (where state <> 'cancelled')::int
  from pgboss.job where name = %s and state in ('completed', 'failed', 'cancelled') group by 1, 2"""


def settle(driver: Driver, rates: Rates | None = None) -> Collected:
    """Collect until all that has happened to pg-boss's jobs is read; every page is looked at."""
    page = driver.collect()
    now = driver.collection.session.read(statement("server"), Server)[0].now
    while True:
        if rates is not None:
            rates.take(page)
        if all((source.settled or 0.0) >= now for source in driver.pgboss if source.present):
            break
        page = driver.recount()
    page = driver.recount()
    if rates is not None:
        rates.take(page)
    return page


def send(boss: PgBoss, queue: str, tenants: list[Any], **options: Any) -> None:
    """A job of each tenant."""
    boss.insert(queue, [{"data": {} if tenant is ... else {"project_id": tenant}, **options} for tenant in tenants])


def later(membership: Membership, seconds: float) -> None:
    """As if that much time had passed."""
    membership._chosen_at -= seconds
    membership._worked_at -= seconds
    membership._seen = {name: at - seconds for name, at in membership._seen.items()}


def membership(driver: Driver, queue: str) -> Membership:
    """Who is shown of a queue of pg-boss."""
    tenancy = driver.pgboss[0].queues[queue].tenancy
    assert tenancy is not None
    return tenancy.membership


def test_outcomes_retries_waits_and_runs_are_those_of_sql(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version, driving: Callable[..., Driver]
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("dead")
    boss.create_queue("mail", retryLimit=0)
    boss.create_queue("orders", retryLimit=1, retryDelay=0, deadLetter="dead")
    boss.create_queue("plain", retryLimit=0)
    plain, driver = driving(database18.dsn), driving(database18.dsn, tenants={**BY_DATA, "histograms": 50})
    tenants = ["a"] * 6 + ["b"] * 4 + [..., "c", None]
    for queue in ("mail", "orders", "plain"):
        send(boss, queue, tenants)
    settle(plain)
    rates = Rates(settle(driver))
    for queue in ("mail", "orders", "plain"):
        for _ in range(4):
            jobs = [job.id for job in boss.fetch(queue, 6)]
            for end, ids in ((boss.complete, jobs[:2]), (boss.fail, jobs[2:5]), (boss.cancel, jobs[5:])):
                if ids:
                    end(queue, *ids)
    expected, page = settle(plain), settle(driver, rates)
    for queue in ("mail", "orders"):
        truth = database18.run(ENDED, [queue])
        for outcome in OUTCOMES:
            found = by_tenant(page, names.FINISHED_JOBS, queue=queue, outcome=outcome)
            assert some(found) == {tenant: jobs for tenant, of, jobs, *_ in truth if of == outcome}
            assert sum(found.values()) == expected.one(names.FINISHED_JOBS, queue=queue, outcome=outcome)
        for outcome, of in ((names.COMPLETED, {names.COMPLETED}), (names.FAILED, {names.FAILED, names.DEAD_LETTERED})):
            runs = by_tenant(page, names.RUN, queue=queue, outcome=outcome)
            started: dict[str, int] = {}
            for tenant, ended, _, _, timed in truth:
                if ended in of:
                    name = OTHER if tenant == NONE else tenant  # none of the first, who have histograms
                    started[name] = started.get(name, 0) + timed
            assert some({name: run.observations for name, run in runs.items()}) == some(started)
            whole = expected.one(names.RUN, queue=queue, outcome=outcome)
            added = [sum(places) for places in zip(*(run.cumulative for run in runs.values()), strict=True)]
            assert added == list(whole.cumulative)
            assert sum(run.total for run in runs.values()) == pytest.approx(whole.total)
        retried: dict[str, int] = {}
        for tenant, _, _, retries, _ in truth:
            retried[tenant] = retried.get(tenant, 0) + retries
        assert some(by_tenant(page, names.RETRIED, queue=queue)) == some(retried)
        waits = by_tenant(page, names.WAIT, queue=queue)
        assert sum(wait.observations for wait in waits.values()) == expected.one(names.WAIT, queue=queue).observations
    assert sum(by_tenant(page, names.RETRIED, queue="orders").values()) > 0
    # Without tenants, beside them in one table: the label is empty.
    for metric in WATCHED:
        series, wanted = page.of(metric, queue="plain"), expected.of(metric, queue="plain")
        assert {labels: number(value) for labels, value in series.items()} == {
            labels: number(value) for labels, value in wanted.items()
        }


def test_rates_add_up_while_tenants_come_and_go(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version, driving: Callable[..., Driver]
) -> None:
    """Of seven tenants two are shown, and one of these has histograms; who that is changes while jobs end."""
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail", retryLimit=0)
    driver = driving(database18.dsn, tenants={**BY_DATA, "shown": 2, "histograms": 1})
    rates = Rates(settle(driver))
    chance = random.Random(7)
    ever: set[str] = set()
    for _ in range(12):
        who = chance.choice("abcdefg")
        send(boss, "mail", [who] * chance.randint(5, 20) + [chance.choice("abcdefg"), ...])
        jobs = boss.fetch("mail", chance.randint(1, 25))
        ended = jobs[: chance.randint(0, len(jobs))]
        if ended:
            chance.choice([boss.complete, boss.fail])("mail", *(job.id for job in ended))
        rates.take(driver.recount())
        shown = membership(driver, "mail").shown
        assert len([name for name in shown if name != NONE]) <= 2
        ever.update(shown)
    settle(driver, rates)
    assert len(ever - {NONE}) > 3, "tenants were to come and go"
    queue = driver.pgboss[0].queues["mail"]
    assert rates.of(names.FINISHED_JOBS, "mail") == some(queue.finished)
    assert rates.of(names.RUN, "mail") == some({outcome: number(run) for outcome, run in queue.run.items()})
    assert rates.of(names.WAIT, "mail") == some({"": number(queue.wait)})
    in_sql: dict[str, int] = {}
    for _, outcome, jobs, *_ in database18.run(ENDED, ["mail"]):
        in_sql[outcome] = in_sql.get(outcome, 0) + jobs
    assert some(queue.finished) == in_sql


def test_who_only_works_is_shown_by_recent_work(
    database18: Database, pgboss: Callable[..., PgBoss], driving: Callable[..., Driver]
) -> None:
    """Jobs so fast that no look ever sees one; and who has jobs that wait stands before them."""
    boss = pgboss("12", database18.dsn)
    boss.create_queue("mail")
    driver = driving(database18.dsn, tenants={**BY_DATA, "shown": 2})
    rates = Rates(settle(driver))
    for _ in range(2):
        send(boss, "mail", ["fast"] * 5 + ["slow"])
        boss.complete("mail", *(job.id for job in boss.fetch("mail", 6)))
        page = settle(driver, rates)
    assert membership(driver, "mail").shown == ["fast", "slow"]
    assert by_tenant(page, names.FINISHED_JOBS, queue="mail", outcome=names.COMPLETED) == {
        "fast": 5,
        "slow": 1,
        OTHER: 6,
    }
    send(boss, "mail", ["waits"])
    settle(driver, rates)
    assert membership(driver, "mail").shown == ["waits", "fast"]
    assert rates.of(names.FINISHED_JOBS, "mail") == {names.COMPLETED: 12}


#: NUL cannot be in jsonb. The megabyte comes once as a tenant of its own.
ODD: list[Any] = [
    *(1, 1.5, True, None, "", "_other", "_none", "_", "_x", 'qu"ote', "back\\slash", "new\nline", "tab\t"),
    *("é \u2028 \U0001f600", {"nested": [1, 2]}, [1], "x" * 128, "x" * 129, "y" * 1_000_000, "a\u0001b"),
    *("%s {0} {x}", "'; drop table q; --", ...),
]


def folded(text: str | None) -> str:
    """The label of a value as it must be."""
    if text is not None and (len(text) > 128 or UNSHOWN.search(text)):
        return f"folded:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return label(text)


def test_odd_values_do_no_harm_to_outcomes(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version, driving: Callable[..., Driver]
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    driver = driving(database18.dsn, tenants=BY_DATA)
    send(boss, "mail", ODD)
    rates = Rates(settle(driver))
    boss.complete("mail", *(job.id for job in boss.fetch("mail", len(ODD))))
    page = settle(driver, rates)
    texts = [row[0] for row in database18.run("select data->>'project_id' from pgboss.job where name = 'mail'")]
    expected: dict[str, int] = {}
    for text in texts:
        expected[folded(text)] = expected.get(folded(text), 0) + 1
    found = by_tenant(page, names.FINISHED_JOBS, queue="mail", outcome=names.COMPLETED)
    assert some(found) == expected
    assert expected[NONE] == 2, "null, and missing"
    assert page.one(names.TENANTS_FOLDED, queue="mail") == 8
    assert max(map(len, found)) <= 130


@pytest.mark.parametrize("pgboss_version", ["11", "12"])
def test_who_goes_leaves_no_series_for_ever(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version, driving: Callable[..., Driver]
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    driver = driving(database18.dsn, tenants={**BY_DATA, "pinned": ["vip"], "forget_after": "60s"})
    send(boss, "mail", ["a", "vip", "stays", ...])
    rates = Rates(settle(driver))
    jobs = {(job.data or {}).get("project_id"): job.id for job in boss.fetch("mail", 4)}
    boss.complete("mail", *(job for tenant, job in jobs.items() if tenant != "stays"))
    page = settle(driver, rates)
    everybody = {"vip": 1, "a": 1, "stays": 0, NONE: 1, OTHER: 0}
    assert by_tenant(page, names.FINISHED_JOBS, queue="mail", outcome=names.COMPLETED) == everybody
    later(membership(driver, "mail"), 59)
    rates.take(page := driver.collect())
    assert by_tenant(page, names.FINISHED_JOBS, queue="mail", outcome=names.COMPLETED) == everybody
    # Nothing happens any more.
    later(membership(driver, "mail"), 61)
    rates.take(page := driver.collect())
    for metric, kind in ((names.FINISHED_JOBS, {"outcome": names.COMPLETED}), (names.JOBS, {"state": names.READY})):
        assert by_tenant(page, metric, queue="mail", **kind).keys() == {"vip", "stays", OTHER}
    assert by_tenant(page, names.RETRIED, queue="mail").keys() == {"vip", "stays", OTHER}
    assert by_tenant(page, names.RUN, queue="mail", outcome=names.FAILED).keys() == {"vip", "stays", OTHER}


@pytest.mark.parametrize("pgboss_version", ["11", "12"])
def test_jobs_that_are_committed_late_are_their_tenants(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version, driving: Callable[..., Driver]
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    driver = driving(database18.dsn, tenants=BY_DATA)
    send(boss, "mail", ["a"] * 3 + ["b"] * 3)
    rates = Rates(settle(driver))
    boss.fetch("mail", 6)
    end = "update pgboss.job set state = 'completed', completed_on = now() where id in ({})"
    some_of = end.format("select id from pgboss.job where data->>'project_id' = %s and state = 'active' limit %s")
    with database18.connect() as writer:
        writer.execute("begin")
        writer.execute(some_of, ["a", 2])
        database18.run("select pg_sleep(0.2)")
        with database18.connect() as other:
            other.execute(some_of, ["b", 1])
            flush(other)
        for _ in range(4):
            rates.take(driver.recount())
        assert rates.of(names.FINISHED_JOBS, "mail") == {}, "an earlier time may still come"
        writer.execute(some_of, ["b", 2])
        writer.execute("commit")
    page = settle(driver, rates)
    assert some(by_tenant(page, names.FINISHED_JOBS, queue="mail", outcome=names.COMPLETED)) == {"a": 2, "b": 3}
    page = settle(driver, rates)
    assert some(by_tenant(page, names.FINISHED_JOBS, queue="mail", outcome=names.COMPLETED)) == {"a": 2, "b": 3}


@pytest.mark.direct
def test_columns_queue_names_and_payloads_in_one_table(
    database18: Database, pgboss: Callable[..., PgBoss], driving: Callable[..., Driver]
) -> None:
    """Each queue by its own rule, all in one SELECT; without tenants no payload is looked into."""
    boss = pgboss("12", database18.dsn)
    for queue in ("by_group", "t_acme_jobs", "by_data", "plain"):
        boss.create_queue(queue)
    rules = [
        {"queues": ["plain"], "none": True},
        {"queues": ["by_group"], "column": "group_id"},
        {"queues": ["t_*"], "queue_name": "^t_([a-z]+)_"},
        {"source": "pgboss", "message": "project_id"},
    ]
    driver, without = driving(database18.dsn, tenants={"from": rules}), driving(database18.dsn)
    for queue in ("by_group", "t_acme_jobs", "by_data", "plain"):
        boss.insert(queue, [{"data": {"project_id": "p"}, "group": {"id": "g"}}] * 2)
    rates = Rates(settle(driver))
    settle(without)
    for queue in ("by_group", "t_acme_jobs", "by_data", "plain"):
        boss.complete(queue, *(job.id for job in boss.fetch(queue, 2)))
    asked, plain = _selects(driver), _selects(without)
    page = settle(driver, rates)
    settle(without)
    completed = {"outcome": names.COMPLETED}
    assert by_tenant(page, names.FINISHED_JOBS, queue="by_group", **completed) == {"g": 2, OTHER: 0}
    assert by_tenant(page, names.FINISHED_JOBS, queue="t_acme_jobs", **completed) == {"acme": 2, OTHER: 0}
    assert by_tenant(page, names.FINISHED_JOBS, queue="by_data", **completed) == {"p": 2, OTHER: 0}
    assert by_tenant(page, names.FINISHED_JOBS, queue="plain", **completed) == {"": 2}
    assert all('t."data" ->> ' in text and 't."group_id"' in text for text in asked)
    assert all(text.count("'plain'") == text.count("'by_data'::text, ") - 1 == 1 for text in asked)
    assert plain
    assert all('"data"' not in text and '"group_id"' not in text and "kept" not in text for text in plain)


def _selects(driver: Driver) -> list[str]:
    """The SELECTs of what ended, as they are sent from now on: one a message."""
    texts: list[str] = []
    session = driver.collection.session
    read = session.read

    def noting(select: Query, into: Any, **keys: Any) -> Any:
        if into is Ended:
            texts.append(select.as_string())
        return read(select, into, **keys)

    session.read = noting  # type: ignore[method-assign]  # a spy
    return texts


@pytest.mark.direct
@pytest.mark.parametrize("pgboss_version", ["11", "12"])
def test_tenants_take_no_more_selects_for_what_ended(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version, driving: Callable[..., Driver]
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    for place in range(30):
        boss.create_queue(f"q{place}")
    with_tenants, without = driving(database18.dsn, tenants=BY_DATA), driving(database18.dsn)
    asked = []
    for driver in (with_tenants, without):
        settle(driver)
        texts = _selects(driver)
        driver.recount()
        driver.recount()
        asked.append(len(texts))
    assert asked[0] == asked[1] == 2


@pytest.mark.direct
def test_the_page_is_bounded(
    database18: Database, pgboss: Callable[..., PgBoss], driving: Callable[..., Driver]
) -> None:
    """1,000 tenants in each of 50 queues; what became of the jobs of ten of these is in a job table."""
    boss = pgboss("12", database18.dsn)
    queues = [f"q{place:02}" for place in range(50)]
    for queue in queues:
        boss.create_queue(queue)
    with database18.connect() as connection:
        connection.execute(
            "create table public.jobs (queue text, tenant text, done timestamptz, started timestamptz);"
            "create index on public.jobs (done)"
        )
        table = {
            "name": "own",
            "table": "public.jobs",
            "source": "pgboss",
            "queues": ["q0?"],
            "queue": "job.queue",
            "tenant": "job.tenant",
            "finished": "job.done",
            "started": "job.started",
        }
        driver = driving(database18.dsn, tenants={"from": [{"message": "project_id"}]}, job_tables=[table])
        rates = Rates(driver.recount())
        _work(connection, "where q % 2 = 0")
        settle(driver, rates)
        settle(driver, rates)
        _work(connection, "")
        page = settle(driver, rates)
    found = groups(page)
    assert found.keys() == set(queues)
    assert max(found.values()) <= 50 + 2
    # A queue that is sampled (on a busy machine, some are) may show only those whose jobs have waited longest.
    assert min(found.values()) >= 10
    assert sum(shown >= 50 for shown in found.values()) >= 25
    assert found.total() <= (50 + 2) * 50
    ended = by_tenant(page, names.FINISHED_JOBS, queue="q01", outcome=names.COMPLETED)
    jobs = by_tenant(page, names.JOBS, queue="q01", state=names.READY)
    assert ended.keys() == jobs.keys(), "the job table shows whom the queue shows"
    for queue in queues:
        expected = 2_000 if int(queue[1:]) % 2 == 0 else 1_000
        assert rates.of(names.FINISHED_JOBS, queue) == {names.COMPLETED: expected}
        timed = by_tenant(page, names.RUN, queue=queue, outcome=names.COMPLETED)
        assert len(timed) == 5 + 1


def _work(connection: psycopg.Connection[Any], which: str) -> None:
    """A job that waits and one that is done of each tenant and queue."""
    every = f"from generate_series(0, 49) q, generate_series(0, 999) n {which}"
    name, data = "'q' || lpad(q::text, 2, '0')", "jsonb_build_object('project_id', 't' || n)"
    connection.execute(f"insert into pgboss.job (name, data) select {name}, {data} {every}")
    connection.execute(
        f"insert into pgboss.job (name, data, state, started_on, completed_on)"
        f" select {name}, {data}, 'completed', now(), clock_timestamp() {every}"
    )
    ended = f"select {name}, 't' || n, clock_timestamp(), now() {every}"
    connection.execute(f"insert into public.jobs select * from ({ended}) s(queue) where queue < 'q10'")
    connection.execute("analyze pgboss.job_common")
    flush(connection)


def test_the_part_is_there_only_with_tenants(pgmq_database: Database, driving: Callable[..., Driver]) -> None:
    def having(driver: Driver) -> set[str]:
        page = driver.recount()
        return {labels[1] for labels in page.of(names.COLLECTION_SUCCESS, part=names.TENANTS)}

    pgmq_database.run("select pgmq.create('mail')")
    assert having(driving(pgmq_database.dsn)) == set()
    assert having(driving(pgmq_database.dsn, tenants={"from": [{"none": True}]})) == set()
    assert having(driving(pgmq_database.dsn, tenants={"from": [{"source": "pgboss", "message": "x"}]})) == {"pgboss"}
    driver = driving(pgmq_database.dsn, tenants={"from": [{"source": "pgmq", "message": "x"}]})
    assert having(driver) == {"pgmq"}
    # Taken at a reload, both ways.
    with_tenants = driver.collection.database
    driver.collection.reconfigure(Driver(pgmq_database.dsn).collection.database)
    assert having(driver) == set()
    driver.collection.reconfigure(with_tenants)
    assert having(driver) == {"pgmq"}
