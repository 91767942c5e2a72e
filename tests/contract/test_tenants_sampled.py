"""How many jobs a look at tenants reads, how much it errs, and that it names whom it must."""

from __future__ import annotations

import hashlib
import json
from statistics import fmean

import pytest

from exporter import names
from exporter.tenants import OTHER
from tests.exporter import Driver
from tests.outcomes import by_tenant
from tests.pgmq_install import install_pgmq
from tests.servers import Database, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True

BY_MESSAGE = {"from": [{"message": "project_id"}]}


@pytest.mark.parametrize(("gone", "found"), [(0, 2000), (6, 1200)])
def test_a_sample_finds_so_many_jobs_and_errs_no_more_than_is_documented(
    database18: Database, gone: int, found: int
) -> None:
    """In random order, the worst: nothing is gained by taking one of each stratum. ``gone``: of ten jobs so many."""
    install_pgmq(database18.dsn)
    with database18.connect() as connection:
        connection.execute("select pgmq.create('big')")
        connection.execute("alter table pgmq.q_big set (autovacuum_enabled = false)")
        connection.execute("select setseed(0.5)")
        connection.execute(
            """insert into pgmq.q_big (vt, enqueued_at, message)
               select now() - random() * interval '1 h', now() - interval '2 h',
                      jsonb_build_object('project_id', 't' || floor(exp(ln(200) * random()))::int)
                 from generate_series(1, 200000)"""
        )
        connection.execute("delete from pgmq.q_big where mod(msg_id, 10) < %s", [gone])
        connection.execute("vacuum analyze pgmq.q_big")
        flush(connection)
        truth = dict(
            connection.execute("select message->>'project_id', count(*)::float8 from pgmq.q_big group by 1").fetchall()
        )
    total = sum(truth.values())
    large = {name: jobs / total for name, jobs in truth.items() if jobs >= 0.05 * total}
    assert len(large) >= 3
    # The count has to be the true one here: the estimate beyond a limit may see other densities.
    driver = Driver(database18.dsn, tenants=BY_MESSAGE, count_limit=250_000)
    errors, seen = [], []
    for _ in range(40):
        driver.collect()
        tenancy = driver.pgmq.queues["big"].tenancy
        assert tenancy is not None
        look = tenancy.shares.looks[-1]
        assert not look.exact
        jobs = {name: sum(standing.jobs.values()) for name, standing in look.named.items()}
        seen.append(sum(jobs.values()) + sum(look.rest.values()))
        errors += [jobs[name] / seen[-1] / share - 1 for name, share in large.items()]
        tenancy.signature = None  # as if jobs had changed
    assert fmean(seen) == pytest.approx(found, rel=0.02)
    assert fmean(errors) == pytest.approx(0, abs=0.03)
    # Of the mean of three, nine in ten are within 10 % where one's standard deviation is below 10.5 %.
    if not gone:
        assert fmean(error**2 for error in errors) ** 0.5 < 0.105
    driver.close()


def test_who_is_shown_by_a_shortened_name_stays_named(pgmq_database: Database) -> None:
    """Beyond the most jobs and the longest waiting, among whom nobody would find it."""
    odd = "x" * 200
    short = f"folded:{hashlib.sha256(odd.encode()).hexdigest()[:16]}"
    pgmq_database.run("select pgmq.create('mail')")
    pgmq_database.run(
        "insert into pgmq.q_mail (vt, enqueued_at, message)"
        " select now() - make_interval(secs => 1000 - n), now() - interval '1 h',"
        " jsonb_build_object('project_id', 't' || n / 2) from generate_series(0, 199) n"
    )
    message = json.dumps({"project_id": odd})
    pgmq_database.run(f"select pgmq.send('mail', '{message}'), pgmq.send('mail', '{message}', 600)")
    for pinned, expected in (([short], {short: 1}), ([], {})):
        driver = Driver(pgmq_database.dsn, tenants={**BY_MESSAGE, "shown": 5, "pinned": pinned})
        driver.collect()
        jobs = by_tenant(driver.recount(), names.JOBS, state=names.READY)
        assert {name: count for name, count in jobs.items() if name.startswith("folded:")} == expected
        assert sum(jobs.values()) == 201
        assert jobs[OTHER] > 0
        driver.close()
