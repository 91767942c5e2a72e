"""What reading through the functions of `sql role` costs, beside reading directly: the same data, in one run."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from measuring import HEADER, Cost, Meter, line, median, metered, reader, tell, total

from tests.exporter import Driver, configured
from tests.roles import ROLE, set_up_role
from tests.servers import Database


def compare(
    database: Database,
    schema: str,
    rounds: int,
    scenarios: Mapping[str, Callable[[], None]],
    **keys: Any,
) -> None:
    """Print both ways' medians by part, and their ratio. ``scenarios``: what is done between two collections."""
    asker = reader(database, schema)
    through = set_up_role(database.dsn, configured(database.dsn, **keys).databases[0])
    ways = {"direct": (asker, database.dsn_as(asker)), "functions": (ROLE, through)}
    # The budget is out of the way: every part is to run every time.
    drivers = {way: Driver(dsn, budget="50%", **keys) for way, (_, dsn) in ways.items()}
    meters = {way: Meter(database, role) for way, (role, _) in ways.items()}
    notes = {way: metered(drivers[way], meters[way]) for way in ways}
    for driver in drivers.values():
        driver.collect(full=True)
        driver.collect()
    print(HEADER.replace("| |", "| | ratio |", 1).replace("|---|", "|---|---:|", 1))
    for title, between in scenarios.items():
        tell(title)
        found: dict[str, dict[str, list[Cost]]] = {way: {} for way in ways}
        for number in range(rounds):
            between()
            for way in sorted(ways, reverse=number % 2 == 1):
                notes[way].clear()
                drivers[way].collect(full=True)
                for part, cost in notes[way].items():
                    found[way].setdefault(part, []).append(cost)
                found[way].setdefault("whole collection", []).append(total(list(notes[way].values())))
        costs = {way: {part: median(all_of) for part, all_of in parts.items()} for way, parts in found.items()}
        for part, direct in costs["direct"].items():
            if direct.selects:
                _print(f"{title}: {part}", direct, costs["functions"][part])
    for way in ways:
        meters[way].close()
        drivers[way].close()


def _print(what: str, direct: Cost, through: Cost) -> None:
    for way, cost in (("direct", direct), ("functions", through)):
        text = line(f"{what}, {way}", cost)
        ratio = (
            f"{cost.elapsed / direct.elapsed:.2f} | {cost.statements / direct.statements:.2f}"
            if way == "functions"
            else "|"
        )
        print(text, ratio)


def bench_role(scale: float, rounds: int) -> None:
    """S1's pgmq with tenants, on a server of its own."""
    from measuring import server18  # noqa: PLC0415
    from run import QUEUES, load, work  # noqa: PLC0415

    with server18() as server:
        database = server.create_database()
        load(database, scale)
        with database.connect() as worker:
            scenarios = {
                "quiet": lambda: None,
                "5 queues busy": partial(work, worker, QUEUES[:5]),
                "all busy": partial(work, worker, QUEUES),
            }
            compare(database, "pgmq", rounds, scenarios, tenants={"from": [{"message": "project_id"}]})


if __name__ == "__main__":
    import sys

    bench_role(float(sys.argv[1]), int(sys.argv[2]))
