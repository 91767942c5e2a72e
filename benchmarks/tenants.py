"""What the numbers by tenant cost on data set S1's pgmq, beside one statement that groups every job by its tenant."""

from functools import partial

from benchmarks.measuring import HEADER, Meter, collections, line, metered, query_cost, reader, server18, table, tell
from benchmarks.s1 import LARGE, QUEUES, load, work
from exporter import names
from tests.exporter import Driver

NAIVE = f"select count(*), min(vt), message ->> 'project_id' from pgmq.q_{LARGE} group by 3"


def bench(scale: float, rounds: int) -> None:
    """Every queue's tenants, with every queue changed, few of them, and none."""
    with server18() as server:
        database = server.create_database()
        tell(f"loading S1 at scale {scale:g}, 1,000 tenants")
        load(database, scale)
        role = reader(database, "pgmq")
        driver = Driver(database.dsn_as(role), budget="50%", tenants={"from": [{"message": "project_id"}]})
        meter = Meter(database, role)
        notes = metered(driver, meter)
        lines = []
        with database.connect() as worker:
            tell("warming up")
            for _ in range(3):
                work(worker, QUEUES)
                driver.collect(full=True)
            for title, queues in (("quiet", []), ("5 queues busy", QUEUES[:5]), ("all busy", QUEUES)):
                tell(title)
                found = collections(driver, notes, rounds, partial(work, worker, queues))
                part = {name: cost for name, cost in found.items() if name in (f"pgmq {names.TENANTS}", "all")}
                lines += table(title, part)
            page = driver.collect()
        shown = [labels for labels in page.of(names.JOBS) if labels[3] not in ("", "_other", "_none")]
        tell("the same by one statement")
        lines.append(line("**every job of the large queue, grouped**", query_cost(database, NAIVE, 3)))
        meter.close()
        driver.close()
    print(f"\nTenants of S1 at scale {scale:g}, medians of {rounds} collections\n")
    print(HEADER)
    print("\n".join(lines))
    print(f"\n{len({(queue, tenant) for _, _, queue, tenant, _ in shown}):,} tenants shown in {len(QUEUES)} queues.")
