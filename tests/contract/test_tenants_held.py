"""What must hold of tenants on real pgmq, who is shown stays, who is gone goes, ages are right."""

from __future__ import annotations

from typing import Any

from exporter import names
from exporter.membership import Membership
from exporter.sources.tenancy import TenantRow
from exporter.tenants import OTHER
from tests.exporter import Driver
from tests.outcomes import by_tenant
from tests.servers import Database

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True

BY_MESSAGE = {"from": [{"message": "project_id"}]}


def insert(database: Database, tenant: str, jobs: int, waiting: str, queue: str = "mail") -> None:
    """Jobs of a tenant that have been ready for so long."""
    database.run(
        f"insert into pgmq.q_{queue} (vt, enqueued_at, message)"
        " select now() - %s::interval, now() - interval '1 d', jsonb_build_object('project_id', %s::text)"
        " from generate_series(1, %s)",
        [waiting, tenant, jobs],
    )


def delete(database: Database, tenant: str, jobs: int) -> None:
    """Some of a tenant's jobs."""
    database.run(
        "delete from pgmq.q_mail where msg_id in"
        " (select msg_id from pgmq.q_mail where message->>'project_id' = %s order by msg_id desc limit %s)",
        [tenant, jobs],
    )


def membership(driver: Driver) -> Membership:
    tenancy = driver.pgmq.queues["mail"].tenancy
    assert tenancy is not None
    return tenancy.membership


def test_who_is_shown_does_not_change_when_two_differ_by_one_job(pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    for tenant, jobs, waiting in (("oldest", 1, "1 h"), ("a", 8, "1 min"), ("b", 7, "1 min")):
        insert(pgmq_database, tenant, jobs, waiting)
    driver = Driver(pgmq_database.dsn, tenants={**BY_MESSAGE, "shown": 2})
    driver.collect()
    page = driver.recount()
    for turn in range(6):
        ahead, behind = ("b", "a") if turn % 2 == 0 else ("a", "b")
        insert(pgmq_database, ahead, 1, "1 min")
        delete(pgmq_database, behind, 1)
        [(more, fewer)] = pgmq_database.run(
            "select count(*) filter (where message->>'project_id' = %s),"
            " count(*) filter (where message->>'project_id' = %s) from pgmq.q_mail",
            [ahead, behind],
        )
        assert more == fewer + 1, "they do take turns"
        page = driver.recount()
        shown = by_tenant(page, names.JOBS, state=names.READY)
        assert shown == {"oldest": 1, "a": more if ahead == "a" else fewer, OTHER: more if ahead == "b" else fewer}
    # One that is well ahead does take the place.
    insert(pgmq_database, "b", 20, "1 min")
    assert set(by_tenant(driver.recount(), names.JOBS, state=names.READY)) == {"oldest", "b", OTHER}
    driver.close()


def test_who_is_gone_leaves_no_series_for_ever(pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    insert(pgmq_database, "gone", 3, "1 min")
    tenants = {**BY_MESSAGE, "pinned": ["vip"], "forget_after": "60s"}
    driver = Driver(pgmq_database.dsn, tenants=tenants)
    driver.collect()
    driver.recount()
    delete(pgmq_database, "gone", 3)
    page = driver.recount()
    assert set(by_tenant(page, names.JOBS, state=names.READY)) == {"vip", "gone", OTHER}
    member = membership(driver)
    member._chosen_at -= 61
    member._seen = {name: at - 61 for name, at in member._seen.items()}  # a minute later
    driver.collect()
    page = driver.collect()
    assert set(by_tenant(page, names.JOBS, state=names.READY)) == {"vip", OTHER}
    assert not [sample for sample in page.samples if "gone" in sample.labels]
    driver.close()


def test_of_a_sample_ages_are_exact_for_every_tenant_among_the_oldest(pgmq_database: Database) -> None:
    """A random sample knows nobody's oldest job: those are read beside it, up to `count_limit`."""
    pgmq_database.run("select pgmq.create('mail')")
    for place in range(10):
        insert(pgmq_database, f"rare{place}", 1, f"{2 * 3600 - place * 60} s")
    for tenant in ("large", "larger"):
        insert(pgmq_database, tenant, 3000, "10 min")
        insert(pgmq_database, tenant, 1, "90 min" if tenant == "large" else "30 min")
    driver = Driver(pgmq_database.dsn, tenants=BY_MESSAGE, count_limit=1000)
    driver.collect()
    page = driver.recount()
    tenancy = driver.pgmq.queues["mail"].tenancy
    assert tenancy is not None
    assert not tenancy.shares.looks[-1].exact
    rows = pgmq_database.run(
        "select message->>'project_id', extract(epoch from min(vt))::float8 from"
        " (select * from pgmq.q_mail order by vt limit 1000) oldest group by 1"
    )
    assert len(rows) == 12
    ages = by_tenant(page, names.OLDEST_READY_AGE)
    jobs = by_tenant(page, names.JOBS, state=names.READY)
    assert min(jobs[tenant] for tenant, _ in rows) >= 1
    assert sum(jobs.values()) == 6012
    assert {tenant: round(ages[tenant], 3) for tenant, _ in rows} == {
        tenant: round(page.age(since), 3) for tenant, since in rows
    }
    driver.close()


def test_tenants_of_queues_that_did_not_change_are_not_looked_up_again(pgmq_database: Database) -> None:
    for queue in ("mail", "other", "third"):
        pgmq_database.run("select pgmq.create(%s)", [queue])
        insert(pgmq_database, "a", 3, "1 min", queue)
    driver = Driver(pgmq_database.dsn, tenants=BY_MESSAGE)
    for _ in range(2):
        driver.recount()
    asked: list[str] = []
    session = driver.collection.session
    read = session.read

    def spied(select: Any, into: Any, **how: Any) -> Any:
        if into is TenantRow:
            asked.append(select.as_string(session._connection))
        return read(select, into, **how)

    session.read = spied  # type: ignore[method-assign]  # a spy
    driver.collect()
    assert asked == []
    insert(pgmq_database, "b", 1, "1 min", "other")
    page = driver.collect()
    (text,) = asked
    assert "'other'" in text
    assert "'mail'" not in text
    assert "'third'" not in text
    assert by_tenant(page, names.JOBS, queue="other", state=names.READY) == {"a": 3, "b": 1, OTHER: 0}
    driver.close()
