"""What pgmq's part of data set S1 costs, beside pgmq's own `metrics_all()`."""

from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.measuring import Meter, collections, line, metered, query_cost, reader, table, tell
from tests.exporter import Driver
from tests.pgmq_install import install_pgmq
from tests.servers import Database, flush

QUEUES = [f"s1_q{number:02}" for number in range(50)]
LARGE = QUEUES[0]


def load(database: Database, scale: float) -> None:
    """Data set S1: fifty queues, one of them large, a large archive, 1,000 tenants."""
    install_pgmq(database.dsn)
    with database.connect() as connection:
        connection.execute("create extension pg_stat_statements")
        for queue in QUEUES:
            connection.execute("select pgmq.create(%s)", [queue])
            jobs = round(1_000_000 * scale) if queue == LARGE else max(10, round(1_000 * scale))
            insert(connection, f"q_{queue}", "vt", "now() - random() * interval '1 h'", jobs)
        insert(
            connection,
            f"a_{LARGE}",
            "vt, archived_at",
            "now(), now() - random() * interval '1 day'",
            round(1_000_000 * scale),
        )
        connection.execute("vacuum (analyze)")
        flush(connection)


def insert(connection: psycopg.Connection[Any], table: str, columns: str, values: str, rows: int) -> None:
    """Rows with payloads of some 200 bytes. An archive has no sequence: below 0, its ids meet no job."""
    key, ids = (", msg_id", ", -n") if table.startswith("a_") else ("", "")
    connection.execute(
        sql.SQL(
            "insert into {table} ({columns}{key}, read_ct, enqueued_at, last_read_at, message)"
            " select {values}{ids}, 1, now() - interval '2 h', now() - interval '90 min',"
            " jsonb_build_object('project_id', n % 1000, 'body', repeat('x', 150)) from generate_series(1, {rows}) n"
        ).format(
            table=sql.Identifier("pgmq", table),
            columns=sql.SQL(columns),
            values=sql.SQL(values),
            key=sql.SQL(key),
            ids=sql.SQL(ids),
            rows=rows,
        )
    )


def work(connection: psycopg.Connection[Any], queues: list[str]) -> None:
    """What workers do between two collections: ten jobs come, five are read, four go."""
    for queue in queues:
        connection.execute("select pgmq.send(%s, '{\"project_id\": 1}') from generate_series(1, 10)", [queue])
        ids = [row[0] for row in connection.execute("select msg_id from pgmq.read(%s, 30, 5)", [queue])]
        connection.execute("select pgmq.delete(%s, %s::bigint[])", [queue, ids[:2]])
        connection.execute("select pgmq.archive(%s, %s::bigint[])", [queue, ids[2:4]])
    flush(connection)


def measure(database: Database, rounds: int) -> list[str]:
    """One collection's costs in each scenario, and those of `metrics_all()`."""
    role = reader(database, "pgmq")
    # The budget is out of the way: every part is to run every time.
    driver = Driver(database.dsn_as(role), budget="50%")
    meter = Meter(database, role)
    notes = metered(driver, meter)
    lines = []
    with database.connect() as worker:
        tell("warming up")
        driver.collect(full=True)
        driver.collect()
        for title, queues in (("quiet", []), ("5 queues busy", QUEUES[:5]), ("all busy", QUEUES)):
            tell(title)
            lines += table(title, collections(driver, notes, rounds, partial(work, worker, queues)))
        notes.clear()
        driver.collect(full=True)
        lines.append(line("full look, once a minute", notes["pgmq full_look"]))
    tell("metrics_all()")
    lines.append(line("**pgmq.metrics_all()**", query_cost(database, "select * from pgmq.metrics_all()", rounds)))
    meter.close()
    driver.close()
    return lines
