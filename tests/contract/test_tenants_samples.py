"""Samples of large queues: the shares of large tenants are right, and the ages of the longest waiting are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from exporter import names
from exporter.sources.tenancy import Cost, Tenancy
from tests.exporter import Driver
from tests.outcomes import by_tenant
from tests.pgboss import PgBoss, Version
from tests.pgmq_install import install_pgmq
from tests.servers import Database, Server, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True

BY_MESSAGE = {"from": [{"message": "project_id"}]}


@pytest.fixture
def sampling(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Large queues are sampled, whatever looks cost on a busy machine; `undo()` lets measured costs decide."""
    monkeypatch.setattr(Cost, "cheaper_whole", lambda _self, _rows: False)
    return monkeypatch


@pytest.fixture(scope="module")
def million(postgres18: Server) -> Iterator[tuple[Database, dict[str, float]]]:
    """A million jobs of pg-boss in bursts, and how many each tenant has; loaded once for both ways of reading.

    Those of a page are one tenant's. Rows differ in size, and two in five are gone.
    """
    database = postgres18.create_database()
    boss = PgBoss("12", database.dsn)
    boss.create_queue("big")
    boss.close()
    with database.connect() as connection:
        connection.execute("alter table pgboss.job_common set (autovacuum_enabled = false)")
        indexes = connection.execute(
            """select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
                where indrelid = 'pgboss.job_common'::regclass and not indisprimary"""
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"drop index {name}".encode())
        connection.execute("set session_replication_role = replica")  # no foreign key is looked up a million times
        connection.execute(
            """insert into pgboss.job_common (name, data, start_after)
               select 'big', jsonb_build_object('project_id', tenant, 'n', n,
                                                'body', repeat('x', 20 + 300 * (tenant = 't2')::int)),
                      now() - random() * interval '1 h'
                 from (select n, 't' || floor(exp(ln(200) * ((n / 300) * 7919 % 1000) / 1000.0))::int as tenant
                         from generate_series(1, 1000000) n) s"""
        )
        connection.execute(
            "delete from pgboss.job_common where (data->>'n')::int % 5 in (1, 2) and data->>'project_id' <> 't3'"
        )
        for _, definition in indexes:
            connection.execute(definition.encode())
        flush(connection)
        connection.execute("vacuum analyze pgboss.job_common")
        rows = connection.execute("select data->>'project_id', count(*)::float8 from pgboss.job_common group by 1")
        truth = dict(rows.fetchall())
    yield database, truth
    postgres18.drop_database(database.name)


@pytest.mark.usefixtures("sampling")
def test_a_sample_of_pgboss_is_unbiased_and_its_error_is_what_is_documented(
    million: tuple[Database, dict[str, float]],
) -> None:
    database, truth = million
    total = sum(truth.values())
    large = {name for name, jobs in truth.items() if jobs >= 0.05 * total}
    assert len(large) >= 3
    driver = Driver(database.dsn, tenants=BY_MESSAGE)
    driver.settle()
    good = looks = 0
    for _ in range(15):
        tenancy = driver.pgboss[0].queues["big"].tenancy
        assert tenancy is not None
        tenancy.signature = None  # as if jobs had changed
        page = driver.collect()
        assert not tenancy.shares.looks[-1].exact
        jobs = by_tenant(page, names.JOBS, queue="big", state=names.READY)
        for name in large:
            looks += 1
            good += abs(jobs[name] / sum(jobs.values()) - truth[name] / total) <= 0.10 * truth[name] / total
    assert good >= 0.9 * looks, f"{good} of {looks} shares within 10 %"
    driver.close()


#: Of 20,000 ready jobs, the oldest 5,000: some of two tenants with many jobs, and of thirty that have one or two. Each
#: begins 40 seconds after the one before, and is as long ready as its oldest.
OLDEST = 5000
AGES = {f"rare{number}": 9000.0 - 40 * number for number in range(30)} | {"t0": 7000.5, "t1": 6000.5}


def ready_jobs() -> tuple[list[str], list[float]]:
    """Tenants and ages in seconds: the oldest ones last, for what was sent first is not what is ready first."""
    newer = [(f"t{number % 2}", 60.0 + number / 1000) for number in range(15_000)]
    older = [(name, age) for name, age in AGES.items()]
    older += [(f"rare{number}", AGES[f"rare{number}"] - 1000) for number in range(0, 30, 2)]
    older += [(f"t{n % 2}", 5900.0 - n / 10) for n in range(OLDEST - len(older))]
    return [name for name, _ in newer + older], [age for _, age in newer + older]


def assert_ages_are_exact(driver: Driver) -> None:
    page = driver.recount()
    ages = by_tenant(page, names.OLDEST_READY_AGE, queue="big")
    jobs = by_tenant(page, names.JOBS, queue="big", state=names.READY)
    # Whom the sample missed has no share of the count, and no age but the queue's that is in _other.
    known = {name: age for name, age in ages.items() if name in AGES and jobs[name]}
    assert {"t0", "t1"} <= known.keys()
    assert max(ages.values()) - AGES["rare0"] == pytest.approx(known["t0"] - AGES["t0"], abs=0.05)
    for name, age in known.items():
        assert age - known["t0"] == pytest.approx(AGES[name] - AGES["t0"], abs=0.05), name


@pytest.mark.usefixtures("sampling")
def test_the_age_of_every_tenant_among_the_oldest_is_exact_whatever_the_sample_found(database18: Database) -> None:
    install_pgmq(database18.dsn)
    with database18.connect() as connection:
        connection.execute("select pgmq.create('big')")
        connection.execute(
            """insert into pgmq.q_big (vt, enqueued_at, message)
               select now() - make_interval(secs => age), now() - interval '3 h', jsonb_build_object('project_id', name)
                 from unnest(%s::text[], %s::float8[]) u(name, age)""",
            ready_jobs(),
        )
        flush(connection)
        connection.execute("vacuum analyze pgmq.q_big")
    driver = Driver(database18.dsn, tenants=BY_MESSAGE, count_limit=OLDEST)
    driver.collect()
    driver.recount()
    tenancy = driver.pgmq.queues["big"].tenancy
    assert tenancy is not None
    assert_the_look_knows_the_oldest(tenancy)
    assert_ages_are_exact(driver)
    driver.close()


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_the_age_of_every_tenant_of_pgboss_among_the_oldest_is_exact_whatever_the_sample_found(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version, sampling: pytest.MonkeyPatch
) -> None:
    pgboss(pgboss_version, database18.dsn).create_queue("big")
    with database18.connect() as connection:
        connection.execute(
            """insert into pgboss.job_common (name, state, data, start_after)
               select 'big', case when name = 'rare3' then 'retry'::pgboss.job_state else 'created' end,
                      jsonb_build_object('project_id', name), now() - make_interval(secs => age)
                 from unnest(%s::text[], %s::float8[]) u(name, age)""",
            ready_jobs(),
        )
        flush(connection)
        connection.execute("vacuum analyze pgboss.job_common")
    driver = Driver(database18.dsn, tenants=BY_MESSAGE, count_limit=OLDEST)
    driver.settle()
    tenancy = driver.pgboss[0].queues["big"].tenancy
    assert tenancy is not None
    assert_the_look_knows_the_oldest(tenancy)
    assert_ages_are_exact(driver)
    # Where a sample is dear: beyond the counting limit, so many jobs as were counted are not all.
    sampling.undo()
    driver.pgboss[0]._tenants._cost.learn_sample(100.0)
    driver.recount()
    look = tenancy.shares.looks[-1]
    assert look.exact
    assert sum(sum(standing.jobs.values()) for standing in look.named.values()) == 20_000
    driver.close()


def assert_the_look_knows_the_oldest(tenancy: Tenancy) -> None:
    """Every one of them, also those whom the sample did not find."""
    look = tenancy.shares.looks[-1]
    assert not look.exact
    began = {name: standing.oldest_ready for name, standing in look.named.items()}
    assert began.keys() >= AGES.keys()
    first = began["rare0"]
    assert first is not None
    for name, age in AGES.items():
        assert began[name] == pytest.approx(first + AGES["rare0"] - age, abs=0.01), name
