"""What pg-boss's part of data set S1 costs, on the newest 12, and on versions without an index for a window of time."""

import os
from functools import partial
from typing import Any, NamedTuple

import psycopg
import pytest

from benchmarks.measuring import (
    HEADER,
    Cost,
    Meter,
    collections,
    line,
    median,
    metered,
    query_cost,
    reader,
    role_of_its_own,
    server18,
    settle,
    table,
    tell,
)
from exporter.collector.budget import Spending, share_out
from tests.exporter import Driver
from tests.pgboss import PgBoss, Version
from tests.servers import Database, Server, flush

QUEUES = [f"s1_q{number:02}" for number in range(50)]
NAIVE = "select name, state, count(*) from pgboss.job group by 1, 2"
FAST = "**ages, arrivals, finished**"
#: What the issue sets a limit for: counters, probes and the window, without the live counts.
TOGETHER = {FAST: ("pgboss counters", "pgboss head", "pgboss finished")}
#: pg-boss's statement that counts the jobs of all queues and keeps the counts.
COUNTING = "%deferred_count = %"
#: pg-boss supervises once a second at most: a few passes are enough.
PASSES = 5
#: The default one, which the intervals are told for.
BUDGET = 0.01


class State(NamedTuple):
    """Jobs of one state at scale 1, and the columns that the state has beside its age."""

    state: str
    jobs: int
    start_after: str
    started_on: str
    completed_on: str


# The completed first, so that they share hardly a block with the others; each state's in the order in which they were
# created, as in a table that pg-boss has filled.
STATES = (
    State("completed", 500_000, "created_on", "created_on + interval '1 min'", "created_on + interval '2 min'"),
    State("failed", 5_000, "created_on", "created_on + interval '1 min'", "created_on + interval '2 min'"),
    State("created", 75_000, "created_on", "null", "null"),
    State("created", 25_000, "now() + interval '2 h' + random() * interval '1 day'", "null", "null"),
    State("active", 1_000, "created_on", "now() - random() * interval '1 min'", "null"),
)


def load(database: Database, scale: float) -> None:
    """Jobs of all queues, with payloads of some 200 bytes, in the tables that pg-boss has made."""
    with database.connect() as connection:
        connection.execute("create extension pg_stat_statements")
        connection.execute("create extension pg_buffercache")
        connection.execute("set session_replication_role = replica")  # no look at each job's queue
        for state in STATES:
            jobs = max(len(QUEUES), round(state.jobs * scale))
            connection.execute(
                f"""insert into pgboss.job (name, state, created_on, start_after, started_on, completed_on, data)
                    select 's1_q' || lpad(mod(n, {len(QUEUES)})::text, 2, '0'), '{state.state}', created_on,
                           {state.start_after}, {state.started_on}, {state.completed_on},
                           jsonb_build_object('project_id', n % 100, 'body', repeat('x', 150))
                      from (select n, now() - interval '25 h' + n * interval '1 day' / {jobs} as created_on
                              from generate_series(1, {jobs}) n) s""".encode()
            )
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")
        flush(connection)


def work(connection: psycopg.Connection[Any], queues: list[str]) -> None:
    """What pg-boss does between two collections: ten jobs come, five are fetched, four are completed."""
    for queue in queues:
        connection.execute(
            "insert into pgboss.job (name, data)"
            " select %s, jsonb_build_object('project_id', 1, 'body', repeat('x', 150)) from generate_series(1, 10)",
            [queue],
        )
        fetched = connection.execute(
            """with next as (
                 select id from pgboss.job_common
                  where name = %(queue)s and state < 'active' and start_after < now()
                  order by priority desc, created_on limit 5 for update skip locked)
               update pgboss.job_common j
                  set state = 'active', started_on = now(),
                      retry_count = case when started_on is not null then retry_count + 1 else retry_count end
                 from next where j.name = %(queue)s and j.id = next.id
               returning j.id""",
            {"queue": queue},
        ).fetchall()
        connection.execute(
            "update pgboss.job_common set completed_on = now(), state = 'completed', output = '{}'"
            " where name = %s and id = any (%s) and state = 'active'",
            [queue, [row[0] for row in fetched[:4]]],
        )
    settle(connection)


class Bench:
    """One version of pg-boss with its data, on a server that other versions use as well."""

    def __init__(self, server: Server, version: Version, scale: float, rounds: int) -> None:
        self.database = server.create_database()
        self.rounds = rounds
        self.lines: list[str] = []
        self.role_of_boss = role_of_its_own(self.database)
        self.boss = PgBoss(version, self.database.dsn_as(self.role_of_boss))
        self.title = f"pg-boss {self.boss.release}"
        tell(f"{self.title}: loading S1 at scale {scale:g}")
        for queue in QUEUES:
            self.boss.create_queue(queue)
        load(self.database, scale)
        self.worker = self.database.connect()
        self.role = reader(self.database, "pgboss")

    def driver(self, budget: str) -> Driver:
        """A collection by a role that may read pg-boss's tables."""
        return Driver(self.database.dsn_as(self.role), budget=budget, pgmq={"enabled": False})

    def measure(self) -> None:
        """One collection's costs in each scenario, then what others cost, then the budget's intervals."""
        # The budget is out of the way: every part is to run every time.
        driver = self.driver("50%")
        meter = Meter(self.database, self.role)
        notes = metered(driver, meter)
        costs: dict[str, dict[str, Cost]] = {}
        tell("warming up")
        driver.settle()
        driver.collect()
        for title, queues in (("quiet", []), ("5 queues busy", QUEUES[:5]), ("all busy", QUEUES)):
            tell(title)
            between = partial(work, self.worker, queues)
            costs[title] = collections(driver, notes, self.rounds, between, TOGETHER)
            self.lines += table(title, costs[title])
        notes.clear()
        driver.collect(full=True)
        self.lines.append(line("full look, once a minute", notes["pgboss full_look"]))
        touched = self.touched(driver)
        if faults := [fault for tracked in driver.collection.parts for fault in tracked.faults]:
            raise SystemExit(f"bench: not all was read, so nothing was measured: {faults}")
        intervals = self.intervals(driver, costs["5 queues busy"])
        meter.close()
        driver.close()
        tell("the naive query")
        self.lines.append(line(f"**`{NAIVE}`**", query_cost(self.database, NAIVE, self.rounds)))
        tell("pg-boss's own supervise()")
        self.lines += self.supervise()
        print(f"\n{self.title}, medians of {self.rounds} collections\n\n{HEADER}")
        print("\n".join(self.lines))
        print("\n| | |\n|---|---:|")
        print(
            f"| heap blocks of job rows, of them all of completed jobs from before | {touched[0]:,}, {touched[1]:,} |"
        )
        print(f"| of them touched by one collection, 5 queues busy | {touched[2]:,}, {touched[3]:,} |")
        print("\n".join(intervals))

    def touched(self, driver: Driver) -> tuple[int, int, int, int]:
        """Heap blocks of jobs, those that hold only completed jobs of before, and of both those that are touched.

        All of the table's blocks leave the server's buffers, then one collection fetches what it needs. A scan, which
        goes through few buffers again and again, touches all.
        """
        tell("blocks touched")
        sql = self.worker
        work(sql, QUEUES[:5])
        sql.execute("checkpoint")
        sql.execute("select pg_buffercache_evict_relation('pgboss.job_common'::regclass)")
        driver.collect()
        sql.execute(
            """create temp table touched as
               select distinct relblocknumber::bigint as block from pg_buffercache
                where relfilenode = pg_relation_filenode('pgboss.job_common') and relforknumber = 0
                  and reldatabase = (select oid from pg_database where datname = current_database())"""
        )
        row = sql.execute(
            """select count(*), count(*) filter (where former), count(touched.block),
                      count(touched.block) filter (where former)
                 from (select (ctid::text::point)[0]::bigint as block,
                              bool_and(state = 'completed' and completed_on < now() - interval '30 min') as former
                         from pgboss.job_common group by 1) blocks
                 left join touched using (block)"""
        ).fetchone()
        assert row is not None
        if not all(queue.table.windowed for queue in driver.pgboss[0].queues.values()):
            return row[0], row[1], row[0], row[1]
        return row[0], row[1], row[2], row[3]

    def supervise(self) -> list[str]:
        """One pass of pg-boss's own supervision, and of it the statement that counts the jobs."""
        whole, counting = Meter(self.database, self.role_of_boss), Meter(self.database, self.role_of_boss, COUNTING)
        passes: list[Cost] = []
        counts: list[Cost] = []
        for _ in range(PASSES + 1):
            work(self.worker, QUEUES[:5])
            whole.read()
            self.boss.supervise()
            for costs, found in ((counts, counting.read(keep=True)), (passes, whole.read())):
                assert found.calls
                costs.append(Cost(found.statements, float("nan"), found.blocks, found.calls))
        whole.close()
        counting.close()
        return [
            line("**pg-boss's own `supervise()`, 5 queues busy**", median(passes[1:])),
            line("its counting of jobs alone", median(counts[1:])),
        ]

    def intervals(self, driver: Driver, costs: dict[str, Cost]) -> list[str]:
        """What the budget makes of parts that cost so much every time."""
        database = driver.collection.database

        def shared(budget: float) -> dict[str, Spending]:
            found = {}
            for tracked in driver.collection.parts:
                name = f"{tracked.source.label} {tracked.part.name}".strip()
                spending = Spending(tracked.part.every(database), tracked.part.cheap, tracked.part.feeds_rates)
                spending.ran(costs[name].elapsed / 1000 if name in costs else 0.0)
                found[name] = spending
            share_out(budget, list(found.values()))
            return found

        lines = []
        for part in ("pgboss head", "pgboss finished", "pgboss counts"):
            spending = shared(BUDGET)[part]
            told = f"{spending.needed:.0f} s"
            if spending.feeds_rates and spending.needed > spending.longest:
                enough = next(n for n in range(1, 51) if shared(n / 100)[part].needed <= spending.longest)
                told += f": more than {spending.longest:.0f} s, so mostly off; a budget of {enough} % would hold it"
            lines.append(f"| interval of {part} that a budget of {BUDGET:.0%} needs, 5 queues busy | {told} |")
        return lines

    def close(self) -> None:
        """End pg-boss, close the connection, drop the data."""
        self.worker.close()
        self.boss.close()
        self.database.server.drop_database(self.database.name)


def bench(scale: float, rounds: int) -> None:
    """One version after the other, on a server of their own."""
    with server18() as server:
        for version in ("12", "12mid", "11"):
            try:
                bench_ = Bench(server, version, scale, rounds)
            except pytest.skip.Exception as missing:
                raise SystemExit(f"bench: {missing}") from None
            try:
                tell(f"load average {os.getloadavg()[0]:.1f}")
                bench_.measure()
            finally:
                bench_.close()
