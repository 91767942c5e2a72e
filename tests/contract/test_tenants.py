"""Tenants on real pgmq: every number by tenant adds up to the queue's, whatever stands in the messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import names
from exporter.collector.exposition import series
from exporter.tenants import NONE, OTHER, label
from tests.exporter import Driver
from tests.outcomes import UNSHOWN, by_tenant
from tests.pgboss import PgBoss, Version
from tests.pgmq_install import install_pgmq
from tests.servers import Database, Server, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True

BY_MESSAGE = {"from": [{"message": "project_id"}]}


def send(database: Database, queue: str, tenants: list[Any], delay: int = 0) -> None:
    """A job of each tenant."""
    with database.connect() as connection:
        for tenant in tenants:
            message = json.dumps({"project_id": tenant} if tenant is not ... else {"other": 1})
            connection.execute("select pgmq.send(%s, %s::jsonb, %s)", [queue, message, delay])
        flush(connection)


def test_jobs_and_ages_by_tenant_add_up_to_the_queue(pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    send(pgmq_database, "mail", ["a"] * 5 + ["b"] * 3 + [...])
    send(pgmq_database, "mail", ["a", "c"], delay=600)
    pgmq_database.run("select pgmq.read('mail', 600, 2)")
    driver = Driver(pgmq_database.dsn, tenants=BY_MESSAGE)
    driver.collect()
    page = driver.recount()
    assert by_tenant(page, names.JOBS, state=names.READY) == {"a": 3, "b": 3, "c": 0, NONE: 1, OTHER: 0}
    assert by_tenant(page, names.JOBS, state=names.SCHEDULED) == {"a": 1, "b": 0, "c": 1, NONE: 0, OTHER: 0}
    assert by_tenant(page, names.JOBS, state=names.IN_FLIGHT) == {"a": 2, "b": 0, "c": 0, NONE: 0, OTHER: 0}
    ages = by_tenant(page, names.OLDEST_READY_AGE)
    assert ages["a"] == max(ages.values())
    assert ages["a"] > ages["b"] > ages[NONE] > 0
    assert ages["c"] == ages[OTHER] == 0
    assert page.one(names.TENANTS_SHOWN, queue="mail") == 4
    assert page.one(names.TENANTS_HIDDEN, queue="mail") == 0
    driver.close()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_values_are_folded_in_other_encodings_too(database18: Database, encoding: str) -> None:
    server = database18.server
    name = f"{database18.name}_{encoding.lower()}"
    with server.connect() as connection:
        connection.execute(f"create database {name} encoding '{encoding}' locale 'C' template template0")
    other = Database(server, name)
    try:
        install_pgmq(other.dsn)
        other.run("select pgmq.create('mail')")
        send(other, "mail", ["plain", "esc\u001b[31m", "x" * 200])
        # A byte that is no UTF-8, as the one encoding without rules lets in.
        other.run("""select pgmq.send('mail', ('{"project_id": "caf' || chr(233) || '"}')::jsonb)""")
        driver = Driver(other.dsn, tenants=BY_MESSAGE)
        driver.collect()
        jobs = by_tenant(driver.recount(), names.JOBS, state=names.READY)
        assert sum(jobs.values()) == 4
        assert jobs["plain"] == 1
        assert sum(name.startswith("folded:") for name in jobs) == {"LATIN1": 2, "SQL_ASCII": 3}[encoding]
        assert jobs.get("caf\u00e9", 0) == {"LATIN1": 1, "SQL_ASCII": 0}[encoding]
        driver.close()
    finally:
        server.drop_database(name)


def test_the_page_never_passes_its_ceiling(pgmq_database: Database) -> None:
    for queue in range(4):
        pgmq_database.run(f"select pgmq.create('q{queue}')")
        send(pgmq_database, f"q{queue}", [f"t{n}" for n in range(40) for _ in range(1 + n % 3)])
    driver = Driver(pgmq_database.dsn, tenants=BY_MESSAGE)
    driver.collect()
    whole = driver.recount()
    assert series(whole.samples) > 600
    driver.collection._ceiling.limit = 600
    page = driver.collect()
    assert series(page.samples) <= 600
    assert page.one(names.SERIES_LIMITED) == 1
    for queue in range(4):
        jobs = by_tenant(page, names.JOBS, queue=f"q{queue}", state=names.READY)
        assert sum(jobs.values()) == sum(by_tenant(whole, names.JOBS, queue=f"q{queue}", state=names.READY).values())
        assert 1 < len(jobs) < 41
        assert max(by_tenant(page, names.OLDEST_READY_AGE, queue=f"q{queue}").values()) > 0
    send(pgmq_database, "q0", ["newcomer"] * 50)
    assert series(driver.recount().samples) <= 600
    driver.close()


def test_without_tenants_the_label_is_empty(pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('mail'), pgmq.create('internal')")
    driver = Driver(
        pgmq_database.dsn, tenants={"from": [{"queues": ["internal"], "none": True}, {"message": "project_id"}]}
    )
    page = driver.recount()
    assert set(by_tenant(page, names.JOBS, queue="internal")) == {""}
    assert set(by_tenant(page, names.JOBS, queue="mail")) == {OTHER}
    assert page.of(names.TENANTS_SHOWN, queue="internal") == {}
    driver.close()


ODD: list[Any] = [
    *(1, 1.5, True, None, "", "_other", "_none", "_", 'qu"ote', "back\\slash", "new\nline", "tab\t"),
    *("é \u2028 \U0001f600", {"nested": [1, 2]}, [1], "x" * 128, "x" * 129, "y" * 100_000, "a\u0001b"),
    *("%s {0} {x}", "'; drop table q; --", "evil\u202ecba", "zero\u200bwidth", "c1\u009b31m", "\ufeffbom"),
]


def test_odd_values_do_no_harm(pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    send(pgmq_database, "mail", ODD)
    driver = Driver(pgmq_database.dsn, tenants=BY_MESSAGE)
    driver.collect()
    page = driver.recount()
    jobs = by_tenant(page, names.JOBS, state=names.READY)
    assert sum(jobs.values()) == len(ODD)
    texts: list[str | None] = [
        row[0] for row in pgmq_database.run("select message->>'project_id' from pgmq.q_mail order by msg_id")
    ]

    def expected(text: str | None) -> str:
        if text is not None and (len(text) > 128 or UNSHOWN.search(text)):
            return f"folded:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        return label(text)

    assert dict.fromkeys(map(expected, texts), 1) == {name: count for name, count in jobs.items() if count}
    assert page.one(names.TENANTS_FOLDED, queue="mail") == sum(name.startswith("folded:") for name in jobs) == 12
    assert not any(map(UNSHOWN.search, jobs))
    assert all(len(name) <= 130 for name in jobs)
    driver.close()


def test_the_bound_holds_and_sums_hold_with_it(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('mail')")
        connection.execute(
            """insert into pgmq.q_mail (vt, enqueued_at, message)
               select now() - n * interval '1 ms', now() - interval '1 h',
                      jsonb_build_object('project_id', 't' || n % 300)
                 from generate_series(1, 3000) n"""
        )
        flush(connection)
    tenants = {**BY_MESSAGE, "shown": 20, "pinned": ["t299", "absent"]}
    driver = Driver(pgmq_database.dsn, tenants=tenants)
    driver.collect()
    page = driver.recount()
    jobs = by_tenant(page, names.JOBS, state=names.READY)
    assert len(jobs) == 21
    assert (jobs["t299"], jobs["absent"]) == (10, 0)
    assert sum(jobs.values()) == 3000
    assert jobs[OTHER] == 3000 - 19 * 10
    ages = by_tenant(page, names.OLDEST_READY_AGE)
    assert max(ages.values()) == pytest.approx(max(ages["t0"], ages[OTHER]))
    assert page.one(names.TENANTS_HIDDEN, queue="mail") == 300 - 19
    # Sent meanwhile, counted at once: sums hold before the tenants are looked at again.
    pgmq_database.run("select pgmq.send('mail', '{\"project_id\": \"t1\"}')")
    driver.collect(without=(names.TENANTS,))
    page = driver.collect(without=(names.TENANTS,))
    assert sum(by_tenant(page, names.JOBS, state=names.READY).values()) == 3001
    driver.close()


def test_archived_jobs_by_tenant(pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    driver = Driver(
        pgmq_database.dsn, tenants={**BY_MESSAGE, "shown": 2, "histograms": 1}, pgmq={"wait_histogram": True}
    )
    driver.collect()
    send(pgmq_database, "mail", ["a"] * 6 + ["b"] * 4 + ["c"] * 2)
    driver.recount()
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.read('mail', 600, 12)")
        connection.execute("select pgmq.archive('mail', array(select msg_id from pgmq.q_mail where msg_id % 2 = 0))")
        connection.execute("select pgmq.delete('mail', 1)")
        flush(connection)
    until = pgmq_database.run("select extract(epoch from clock_timestamp())::float8")[0][0]
    page = driver.collect()
    while (driver.pgmq._finished.fence.settled or 0) < until:
        driver.pgmq.queues["mail"].archive_changed = until
        page = driver.collect()
    page = driver.collect()
    archived = by_tenant(page, names.FINISHED_JOBS, outcome=names.ARCHIVED)
    assert archived == {"a": 3, "b": 2, OTHER: 1}
    assert by_tenant(page, names.FINISHED_JOBS, outcome=names.COMPLETED) == {OTHER: 1}
    runs = by_tenant(page, names.RUN)
    assert {name: run.observations for name, run in runs.items()} == {"a": 3, OTHER: 3}
    assert {name: wait.observations for name, wait in by_tenant(page, names.WAIT).items()} == {"a": 3, OTHER: 3}
    driver.close()


def test_the_tenant_in_the_queues_name(pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('t_acme_jobs'), pgmq.create('plain')")
    send(pgmq_database, "t_acme_jobs", [1, 2])
    send(pgmq_database, "plain", [1])
    driver = Driver(pgmq_database.dsn, tenants={"from": [{"queue_name": "^t_([a-z]+)_"}]})
    driver.collect()
    page = driver.recount()
    assert by_tenant(page, names.JOBS, queue="t_acme_jobs", state=names.READY) == {"acme": 2, OTHER: 0}
    assert by_tenant(page, names.JOBS, queue="plain", state=names.READY) == {NONE: 1, OTHER: 0}
    driver.close()


def test_a_column_or_headers_that_a_version_does_not_have_give_none(server: Server) -> None:
    database = server.create_database()
    install_pgmq(database.dsn, "1.4")
    database.run("select pgmq.create('mail')")
    send(database, "mail", ["a"])
    driver = Driver(database.dsn, tenants={"from": [{"headers": "tenant"}]})
    driver.collect()
    assert by_tenant(driver.recount(), names.JOBS, state=names.READY) == {NONE: 1, OTHER: 0}
    driver.close()
    server.drop_database(database.name)


def test_a_file_of_pinned_tenants_is_read_again(pgmq_database: Database, tmp_path: Any) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    send(pgmq_database, "mail", ["a"])
    file = tmp_path / "pinned.tenants"
    file.write_text("# generated\nvip\n")
    driver = Driver(pgmq_database.dsn, tenants={**BY_MESSAGE, "pinned_file": str(file)})
    driver.collect()
    assert set(by_tenant(driver.recount(), names.JOBS, state=names.READY)) == {"vip", "a", OTHER}
    file.write_text("gold\nsilver\n")
    send(pgmq_database, "mail", ["a"])
    assert set(by_tenant(driver.recount(), names.JOBS, state=names.READY)) == {"gold", "silver", "a", OTHER}
    file.unlink()
    send(pgmq_database, "mail", ["a"])
    assert set(by_tenant(driver.recount(), names.JOBS, state=names.READY)) == {"gold", "silver", "a", OTHER}
    driver.close()


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=st.lists(st.tuples(st.sampled_from("sdrat"), st.sampled_from("abcdef"), st.integers(1, 6)), max_size=25))
def test_every_sum_is_the_queues_own(postgres18: Server, script: list[tuple[str, str, int]]) -> None:
    database = postgres18.create_database()
    install_pgmq(database.dsn)
    database.run("select pgmq.create('mail')")
    plain, tenants = Driver(database.dsn), Driver(database.dsn, tenants={**BY_MESSAGE, "shown": 2})
    plain.collect()
    tenants.collect()
    for step, tenant, number in script:
        if step in "sd":
            send(database, "mail", [tenant] * number, 600 if step == "d" else 0)
        elif step == "r":
            database.run(f"select pgmq.read('mail', 600, {number})")
        elif step == "a":
            database.run(f"select pgmq.archive('mail', array(select msg_id from pgmq.q_mail limit {number}))")
        else:
            tenants.collect()
    expected, page = plain.recount(), tenants.recount()
    for state in (names.READY, names.SCHEDULED, names.IN_FLIGHT):
        total = expected.one(names.JOBS, state=state)
        assert sum(by_tenant(page, names.JOBS, state=state).values()) == total
        when = {
            names.READY: "vt <= now()",
            names.SCHEDULED: "vt > now() and read_ct = 0",
            names.IN_FLIGHT: "vt > now() and read_ct > 0",
        }[state]
        rows = database.run(f"select message->>'project_id', count(*) from pgmq.q_mail where {when} group by 1")
        truth = dict(rows)
        for name, jobs in by_tenant(page, names.JOBS, state=state).items():
            if name != OTHER:
                assert jobs == truth.get(name, 0)
    oldest = database.run("select extract(epoch from min(vt))::float8 from pgmq.q_mail where vt <= now()")[0][0]
    ages = by_tenant(page, names.OLDEST_READY_AGE)
    assert (max(ages.values()) == 0) == (oldest is None)
    plain.close()
    tenants.close()
    postgres18.drop_database(database.name)


@pytest.fixture(scope="module")
def bursts(postgres18: Server) -> Iterator[Database]:
    """A million jobs in bursts, of tenants whose rows differ in size; half of them deleted since. Only to be read."""
    database = postgres18.create_database()
    install_pgmq(database.dsn)
    with database.connect() as connection:
        connection.execute("select pgmq.create('big')")
        connection.execute("alter table pgmq.q_big set (autovacuum_enabled = false)")
        connection.execute(
            """insert into pgmq.q_big (vt, enqueued_at, message)
               select now() - random() * interval '1 h', now() - interval '2 h',
                      jsonb_build_object('project_id', tenant, 'body', repeat('x', 20 + 300 * (tenant = 't2')::int))
                 from (select 't' || floor(exp(ln(200) * ((n / 300) * 7919 %% 1000) / 1000.0))::int as tenant
                         from generate_series(1, 1000000) n) s""".replace("%%", "%")
        )
        connection.execute("delete from pgmq.q_big where msg_id % 5 in (1, 2) and message->>'project_id' <> 't3'")
        connection.execute("vacuum analyze pgmq.q_big")
        flush(connection)
    yield database
    postgres18.drop_database(database.name)


def test_a_sample_is_unbiased_and_its_error_is_what_is_documented(bursts: Database) -> None:
    truth = dict(bursts.run("select message->>'project_id', count(*)::float8 from pgmq.q_big group by 1"))
    total = sum(truth.values())
    large = {name for name, jobs in truth.items() if jobs >= 0.05 * total}
    assert len(large) >= 3
    driver = Driver(bursts.dsn, tenants=BY_MESSAGE)
    good = looks = 0
    for _ in range(15):
        driver.collect()
        tenancy = driver.pgmq.queues["big"].tenancy
        assert tenancy is not None
        assert not tenancy.shares.looks[-1].exact
        tenancy.signature = None  # as if jobs had changed
        page = driver.collect()
        jobs = by_tenant(page, names.JOBS, queue="big", state=names.READY)
        queue_total = sum(jobs.values())
        for name in large:
            looks += 1
            good += abs(jobs[name] / queue_total - truth[name] / total) <= 0.10 * truth[name] / total
    assert good >= 0.9 * looks, f"{good} of {looks} shares within 10 %"
    driver.close()


# pg-boss.


def test_pgboss_jobs_by_tenant_add_up(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail", retryLimit=0)
    tenants = ["a"] * 6 + ["b"] * 4 + [None]
    boss.insert("mail", [{"data": {} if tenant is None else {"project_id": tenant}} for tenant in tenants])
    boss.insert("mail", [{"data": {"project_id": "c"}, "startAfter": 600}])
    first, second, third = boss.fetch("mail", 3)
    boss.complete("mail", first.id)
    boss.fail("mail", second.id)
    driver = Driver(database18.dsn, tenants=BY_MESSAGE)
    driver.settle()
    page = driver.settle()
    rows = database18.run(
        """select coalesce(data->>'project_id', '_none'),
                  case when state = 'active' then 'in_flight' when state = 'failed' then 'failed'
                       when start_after > now() then 'scheduled' else 'ready' end, count(*)
             from pgboss.job where name = 'mail' and state not in ('completed', 'cancelled') group by 1, 2"""
    )
    truth = {(tenant, state): jobs for tenant, state, jobs in rows}
    for state in (names.READY, names.SCHEDULED, names.IN_FLIGHT, names.FAILED):
        jobs = by_tenant(page, names.JOBS, queue="mail", state=state)
        assert jobs[OTHER] == 0
        assert {name: count for name, count in jobs.items() if count} == {
            tenant: count for (tenant, of), count in truth.items() if of == state
        }
    ages = by_tenant(page, names.OLDEST_READY_AGE, queue="mail")
    assert ages["a"] == max(ages.values()) > 0
    assert ages["c"] == 0
    assert third is not None
    driver.close()


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_large_pgboss_queues_are_sampled_together(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    for queue in ("one", "two", "small"):
        boss.create_queue(queue)
    with database18.connect() as connection:
        connection.execute("alter table pgboss.job_common set (autovacuum_enabled = false)")
        connection.execute(
            """insert into pgboss.job (name, data)
               select case when n % 2 = 0 then 'one' else 'two' end,
                      jsonb_build_object('project_id', 't' || floor(sqrt((n * 7919) % 400)))
                 from generate_series(1, 40000) n"""
        )
        connection.execute(
            """insert into pgboss.job (name, data) select 'small', jsonb_build_object('project_id', 'tiny')
                 from generate_series(1, 5)"""
        )
        connection.execute("vacuum analyze pgboss.job_common")
        flush(connection)
    driver = Driver(database18.dsn, tenants=BY_MESSAGE)
    driver.settle()
    page = driver.settle()
    looks = {name: queue.tenancy.shares.looks[-1] for name, queue in driver.pgboss[0].queues.items() if queue.tenancy}
    assert {name: look.exact for name, look in looks.items()} == {"one": False, "two": False, "small": True}
    for queue in ("one", "two"):
        jobs = by_tenant(page, names.JOBS, queue=queue, state=names.READY)
        total = page.one(names.JOBS_ESTIMATED, queue=queue) and sum(jobs.values())
        assert total >= 10_000
        truth = dict(
            database18.run(
                "select data->>'project_id', count(*)::float8 / 20000 from pgboss.job where name = %s group by 1",
                [queue],
            )
        )
        for tenant, share in truth.items():
            if share >= 0.05 and tenant in jobs:
                assert jobs[tenant] / total == pytest.approx(share, rel=0.25)
        ages = by_tenant(page, names.OLDEST_READY_AGE, queue=queue)
        assert all(ages[name] > 0 for name, count in jobs.items() if count)
    assert by_tenant(page, names.JOBS, queue="small", state=names.READY) == {"tiny": 5, OTHER: 0}
    driver.close()


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_a_sample_leaves_out_no_end_of_a_table(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    """Two queues, one behind the other in the table, which has few pages and more rows than a sample may return."""
    boss = pgboss(pgboss_version, database18.dsn)
    for queue in ("first", "last"):
        boss.create_queue(queue)
    with database18.connect() as connection:
        for queue in ("first", "last"):
            connection.execute(
                """insert into pgboss.job (name, data) select %s, jsonb_build_object('project_id', 't' || n %% 3)
                     from generate_series(1, 25000) n""",
                [queue],
            )
        connection.execute("vacuum analyze pgboss.job_common")
        flush(connection)
    driver = Driver(database18.dsn, tenants=BY_MESSAGE)
    driver.settle()
    page = driver.settle()
    for queue in ("first", "last"):
        jobs = by_tenant(page, names.JOBS, queue=queue, state=names.READY)
        shares = [jobs[f"t{number}"] / sum(jobs.values()) for number in range(3)]
        assert shares == pytest.approx([1 / 3] * 3, rel=0.15)
    driver.close()
