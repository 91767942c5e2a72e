"""What a job table costs: job_tracking as examples/meshhook.yml describes it, of 500,000 rows."""

from functools import partial
from typing import Any

import psycopg
import yaml

from benchmarks.measuring import (
    HEADER,
    ROOT,
    Meter,
    collections,
    line,
    metered,
    query_cost,
    server18,
    settle,
    table,
    tell,
)
from exporter.demo import schema
from tests.exporter import Driver
from tests.servers import Database, flush

ROWS = 500_000
FINISHED = 100
#: The tables are read, not the functions of `sql role`, which benchmarks/role.py measures.
DIRECT = f"""
    drop schema pgqueue_exporter cascade;
    alter role {schema.EXPORTER_ROLE} bypassrls;
    grant usage on schema pgmq, public to {schema.EXPORTER_ROLE};
    grant select on all tables in schema pgmq, public to {schema.EXPORTER_ROLE};
    grant select on all sequences in schema pgmq to {schema.EXPORTER_ROLE};
    grant pg_read_all_stats to {schema.EXPORTER_ROLE}
"""
NAIVE = (
    "select queue_name, count(*), avg(completed_at - started_at) from public.job_tracking"
    " where completed_at is not null group by 1"
)


def load(database: Database, scale: float) -> None:
    """Finished attempts of the last day, one of ten failed, a run and a project for each."""
    with database.connect() as connection:
        connection.execute("create extension pg_stat_statements")
        schema.install(connection)
        schema.add_exporter_role(connection, "secret")
        connection.execute(DIRECT.encode())
        connection.execute("set session_replication_role = replica")  # no look at each run's project
        connection.execute(
            f"""with run as (
                  insert into public.workflow_runs (project_id, workflow_id, status, finished_at)
                  select (array(select id from public.projects))[1 + n % {len(schema.TENANTS)}], gen_random_uuid(),
                         'succeeded', now()
                    from generate_series(1, {round(ROWS * scale)}) n
                  returning id),
                numbered as (
                  select id, row_number() over () as n, now() - interval '1 h' - random() * interval '1 day' as ended
                    from run)
                insert into public.job_tracking (msg_id, run_id, queue_name, enqueued_at, started_at, completed_at,
                                                 failed_at)
                select n, id, '{schema.QUEUE}', ended - interval '5 s', ended - interval '3 s',
                       case when n % 10 <> 0 then ended end, case when n % 10 = 0 then ended end
                  from numbered""".encode()
        )
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")
        flush(connection)


def work(connection: psycopg.Connection[Any], jobs: int) -> None:
    """Attempts that come, begin and end between two collections, one of ten failed."""
    if jobs:
        rows = connection.execute(
            """insert into public.job_tracking (msg_id, run_id, queue_name, started_at)
               select (select max(msg_id) from public.job_tracking) + n,
                      (select id from public.workflow_runs limit 1), %s, clock_timestamp()
                 from generate_series(1, %s) n
               returning id""",
            [schema.QUEUE, jobs],
        ).fetchall()
        for column, some in (
            ("failed_at", rows[::10]),
            ("completed_at", [row for n, row in enumerate(rows) if n % 10]),
        ):
            connection.execute(
                f"update public.job_tracking set {column} = clock_timestamp() where id = any (%s)".encode(),
                [[row[0] for row in some]],
            )
    settle(connection)


def bench(scale: float, rounds: int) -> None:
    """The table and the two queues of pgmq that belong to it, on a server of their own."""
    with server18() as server:
        database = server.create_database()
        tell(f"loading a job table of {round(ROWS * scale):,} rows")
        load(database, scale)
        example = yaml.safe_load((ROOT / "examples" / "meshhook.yml").read_text())["databases"][0]
        keys = {key: value for key, value in example.items() if key not in ("name", "dsn")}
        driver = Driver(database.dsn_as(schema.EXPORTER_ROLE, "secret"), budget="50%", **keys)
        meter = Meter(database, schema.EXPORTER_ROLE)
        notes = metered(driver, meter)
        lines = []
        with database.connect() as worker:
            tell("warming up")
            driver.collect(full=True)
            driver.collect()
            for title, jobs in (("quiet", 0), (f"{FINISHED} finished", FINISHED)):
                tell(title)
                lines += table(title, collections(driver, notes, rounds, partial(work, worker, jobs)))
        meter.close()
        driver.close()
        tell("the naive query")
        lines.append(line(f"**`{NAIVE}`**", query_cost(database, NAIVE, rounds)))
    print(f"\nA job table of {round(ROWS * scale):,} rows, medians of {rounds} collections\n\n{HEADER}")
    print("\n".join(lines))
