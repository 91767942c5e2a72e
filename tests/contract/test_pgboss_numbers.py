"""Every number of a pg-boss queue equals what plain SQL says, whatever real pg-boss did to the jobs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exporter import names
from exporter.names import BUCKETS
from tests.exporter import Collected, Driver
from tests.pgboss import POLICIES, PgBoss, Version
from tests.servers import Database, Server

#: Plain, with dead letters, a table of its own, one job a key at a time; and where the dead letters go.
QUEUES = ("mail", "orders", "parted", "strict", "dead")

queue = st.sampled_from(QUEUES)
number = st.integers(1, 12)
steps = st.one_of(
    st.tuples(st.just("send"), queue, number),
    st.tuples(st.just("send_later"), queue, number),
    st.tuples(st.just("fetch"), queue, number),
    st.tuples(st.just("complete"), queue, number),
    st.tuples(st.just("fail"), queue, number),
    st.tuples(st.just("cancel"), queue, number),
    st.tuples(st.just("due"), queue, number),
    st.tuples(st.just("collect"), queue, number),
)

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


def queues(boss: PgBoss) -> None:
    boss.create_queue("dead")
    boss.create_queue("mail", retryLimit=2)
    boss.create_queue("orders", retryLimit=1, deadLetter="dead")
    own_table: dict[str, Any] = {} if boss.version == "10" else {"partition": True}  # in 10, every queue has one
    boss.create_queue("parted", retryLimit=0, **own_table)
    boss.create_queue("strict", POLICIES[boss.version][-1], retryLimit=1)


class World:
    """Queues that things are done to through pg-boss."""

    def __init__(self, boss: PgBoss, database: Database) -> None:
        self.boss = boss
        self.database = database
        self.keys = itertools.count()

    def ids(self, queue: str, states: str, number: int) -> list[str]:
        found = self.database.run(
            f"select id::text from {self.boss.schema}.job where name = %s and state in ({states})"
            f" order by created_on, id limit {number}",
            [queue],
        )
        return [row[0] for row in found]

    def do(self, step: str, queue: str, number: int) -> None:
        boss = self.boss
        if step in ("send", "send_later"):
            options: dict[str, Any] = {"startAfter": 3600} if step == "send_later" else {}
            for _ in range(number):
                boss.send(queue, {"n": number}, singletonKey=f"key {next(self.keys)}", **options)
        elif step == "fetch":
            boss.fetch(queue, number)
        elif step == "due":
            # As if the time of delayed jobs had come.
            self.database.run(
                f"update {boss.schema}.job set start_after = clock_timestamp() - interval '1 s'"
                " where name = %s and state < 'active'",
                [queue],
            )
        else:
            states = {"complete": "'active'", "fail": "'active'", "cancel": "'created', 'retry', 'active'"}[step]
            ids = self.ids(queue, states, number)
            if ids:
                getattr(boss, step)(queue, *ids)


def compare(page: Collected, world: World) -> None:
    """Every count and every age of the page against one look at the tables."""
    schema = world.boss.schema
    blocked = "blocked" if world.boss.version.startswith("12") else "false"
    found = world.database.run(
        f"""select q.name,
                   count(*) filter (where state < 'active' and not {blocked} and start_after <= now()),
                   count(*) filter (where state < 'active' and not {blocked} and start_after > now()),
                   count(*) filter (where state = 'active'),
                   count(*) filter (where state = 'failed'),
                   count(*) filter (where state = 'completed'),
                   count(*) filter (where state = 'cancelled'),
                   count(*) filter (where state = 'failed' and j.dead_letter is null),
                   count(*) filter (where state = 'failed' and j.dead_letter is not null),
                   coalesce(sum(retry_count) filter (where state > 'active'), 0),
                   count(j.id),
                   extract(epoch from min(start_after)
                     filter (where state < 'active' and not {blocked} and start_after <= now()))::float8,
                   extract(epoch from min(j.created_on) filter (where state < 'completed'))::float8,
                   extract(epoch from min(started_on) filter (where state = 'active'))::float8
              from {schema}.queue q left join {schema}.job j on j.name = q.name
             where q.name not like '\\_\\_%' group by 1"""
    )
    assert {row[0] for row in found} == set(QUEUES)
    for row in found:
        name, ready, scheduled, active, failed_now = row[:5]
        states = {
            names.READY: ready,
            names.SCHEDULED: scheduled,
            names.IN_FLIGHT: active,
            names.FAILED: failed_now,
        }
        if blocked == "blocked":
            states[names.BLOCKED] = 0
        told = {labels[4]: jobs for labels, jobs in page.of(names.JOBS, queue=name).items()}
        assert told == states, name
        assert page.one(names.JOBS_ESTIMATED, queue=name) == 0
        completed, cancelled, failed, dead_lettered, retried, all_jobs = row[5:11]
        outcomes = {
            names.COMPLETED: completed,
            names.CANCELLED: cancelled,
            names.FAILED: failed,
            names.DEAD_LETTERED: dead_lettered,
        }
        assert {labels[4]: jobs for labels, jobs in page.of(names.FINISHED_JOBS, queue=name).items()} == outcomes, name
        assert page.one(names.ENQUEUED, queue=name) == all_jobs, name
        assert page.one(names.RETRIED, queue=name) == retried, name
        for metric, since in (
            (names.OLDEST_READY_AGE, row[11]),
            (names.OLDEST_JOB_AGE, row[12]),
            (names.OLDEST_IN_FLIGHT_AGE, row[13]),
        ):
            assert (page.one(metric, queue=name) == 0) == (since is None), (name, metric.name)
        histograms(page, world, name)


def histograms(page: Collected, world: World, name: str) -> None:
    """Counts, buckets and sums of the durations."""
    rows = world.database.run(
        f"""select state::text, extract(epoch from completed_on - started_on)::float8,
                   extract(epoch from started_on - greatest(created_on, start_after))::float8
              from {world.boss.schema}.job
             where name = %s and state in ('completed', 'failed') and started_on is not null""",
        [name],
    )
    for outcome in (names.COMPLETED, names.FAILED):
        runs = [max(0.0, row[1]) for row in rows if row[0] == outcome]
        told = page.one(names.RUN, queue=name, outcome=outcome)
        assert told.observations == len(runs), (name, outcome)
        assert told.cumulative == tuple(sum(run <= bound for run in runs) for bound in BUCKETS)
        assert abs(told.total - sum(runs)) < 1e-3
    waits = [max(0.0, row[2]) for row in rows]
    assert page.one(names.WAIT, queue=name).observations == len(waits)


def test_a_time_as_long_as_a_bound_lies_below_it(
    database: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database.dsn)
    boss.create_queue("mail")
    driver = Driver(database.dsn)
    driver.settle()
    times = [0.0, *map(float, BUCKETS), *(bound + 0.001 for bound in BUCKETS)]
    with database.connect() as connection:
        for state in ("completed", "failed", "cancelled"):
            connection.execute(
                """insert into pgboss.job (name, state, created_on, start_after, started_on, completed_on)
                   select 'mail', %s, now() - 2 * ran, now() - 2 * ran, now() - ran, now()
                     from unnest(%s::float8[]) seconds, lateral (select seconds * interval '1 s' as ran) r""",
                [state, times],
            )
        # It never ran: no time of it is known.
        connection.execute("insert into pgboss.job (name, state, completed_on) values ('mail', 'cancelled', now())")
    page = driver.settle()
    expected = tuple(sum(seconds <= bound for seconds in times) for bound in BUCKETS)
    for outcome in (names.COMPLETED, names.FAILED):
        told = page.one(names.RUN, queue="mail", outcome=outcome)
        assert (told.cumulative, told.observations) == (expected, len(times))
        assert abs(told.total - sum(times)) < 1e-3
    told = page.one(names.WAIT, queue="mail")
    assert (told.cumulative, told.observations) == (tuple(2 * n for n in expected), 2 * len(times))
    assert page.one(names.FINISHED_JOBS, queue="mail", outcome=names.CANCELLED) == len(times) + 1
    driver.close()


# A failing script is shown as it was found: making it smaller takes minutes of starting pg-boss.
@settings(
    max_examples=6,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(script=st.lists(steps, min_size=15, max_size=50))
def test_every_number_equals_what_plain_sql_counts(
    postgres18: Server, pgboss: Callable[..., PgBoss], pgboss_version: Version, script: list[tuple[str, str, int]]
) -> None:
    database = postgres18.create_database()
    boss = pgboss(pgboss_version, database.dsn)
    driver = Driver(database.dsn)
    try:
        queues(boss)
        world = World(boss, database)
        # On a machine that is busy with others, a first look may fail: counting begins with one that does not.
        while len(driver.collect().of(names.ENQUEUED)) < len(QUEUES):
            time.sleep(0.1)
        for name in ("mail", "orders", "parted"):
            world.do("send", name, 6)
            world.do("fetch", name, 4)
        for step, name, count in script:
            if step == "collect":
                driver.collect()
            else:
                world.do(step, name, count)
        compare(driver.settle(), world)
    finally:
        driver.close()
        boss.close()
        postgres18.drop_database(database.name)
