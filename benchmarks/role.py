"""What reading through the functions of `sql role` costs, beside reading directly: the same data, in one run.

Measured is the processor time of the exporter's server process (Linux: its schedstat), which other load on the machine
changes least.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import pgboss, s1
from benchmarks.measuring import reader, server18, settle, tell
from tests.exporter import Driver, configured
from tests.roles import set_up_role
from tests.servers import Database

TENANTS = {"from": [{"message": "project_id"}]}
WAYS = ("direct", "functions")

#: By part and way: milliseconds of each run.
Notes = dict[str, dict[str, list[float]]]


def processor(pid: int) -> float:
    """Milliseconds of processor time that a process has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / 1e6


def watched(driver: Driver, way: str, notes: Notes) -> None:
    """Make the driver's parts note what each run cost."""
    pid = driver.collection.session.server.backend_pid

    def watch(name: str, run_part: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any) -> Any:  # noqa: ANN401 - it stands in for any part
            before = processor(pid)
            try:
                return run_part(*arguments)
            finally:
                notes.setdefault(name, {}).setdefault(way, []).append(processor(pid) - before)

        return noting

    for tracked in driver.collection.parts:
        name = f"{tracked.source.label} {tracked.part.name}".strip()
        tracked.part = replace(tracked.part, run=watch(name, tracked.part.run))


def compare(database: Database, schema: str, rounds: int, scenarios: Mapping[str, Callable[[], None]]) -> None:
    """Print both ways' medians by part, and their ratio. ``scenarios``: what is done between two collections."""
    configured_ = configured(database.dsn, tenants=TENANTS).databases[0]
    dsns = {"direct": database.dsn_as(reader(database, schema)), "functions": set_up_role(database.dsn, configured_)}
    notes: Notes = {}
    # The budget is out of the way: every part is to run every time.
    drivers = {way: Driver(dsn, budget="50%", tenants=TENANTS) for way, dsn in dsns.items()}
    for way, driver in drivers.items():
        driver.settle()
        watched(driver, way, notes)
    print("\n| | direct, ms | functions, ms | ratio |\n|---|---:|---:|---:|")
    for title, between in scenarios.items():
        tell(title)
        notes.clear()
        for number in range(rounds):
            between()
            for way in sorted(WAYS, reverse=number % 2 == 1):
                drivers[way].collect()
        found = {part: [median(ways[way]) for way in WAYS] for part, ways in notes.items()}
        for part, (direct, functions) in found.items():
            if direct > 0:
                print(f"| {title}: {part} | {direct:.2f} | {functions:.2f} | {functions / direct:.2f} |")
        direct, functions = (sum(costs[place] for costs in found.values()) for place in range(len(WAYS)))
        print(f"| **{title}: whole collection** | {direct:.2f} | {functions:.2f} | {functions / direct:.2f} |")
    for driver in drivers.values():
        driver.close()


def bench(scale: float, rounds: int) -> None:
    """S1's pgmq, and S1's pg-boss 12, each with tenants."""
    with server18() as server:
        database = server.create_database()
        tell("loading S1's pgmq")
        s1.load(database, scale)
        with database.connect() as worker:

            def work(queues: list[str]) -> None:
                s1.work(worker, queues)
                settle(worker)

            busy = {"quiet": [], "5 queues busy": s1.QUEUES[:5], "all busy": s1.QUEUES}
            scenarios = {title: partial(work, queues) for title, queues in busy.items()}
            compare(database, "pgmq", rounds, scenarios)
        boss = pgboss.Bench(server, "12", scale, rounds)
        busy = {"quiet": [], "5 queues busy": pgboss.QUEUES[:5], "all busy": pgboss.QUEUES}
        scenarios = {title: partial(pgboss.work, boss.worker, queues) for title, queues in busy.items()}
        compare(boss.database, "pgboss", rounds, scenarios)
        boss.close()
