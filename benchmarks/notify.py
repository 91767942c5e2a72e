"""How soon somebody is told: a stopped worker, two exporters, Prometheus, Alertmanager and a sink, really running."""

import random
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import server18, tell  # noqa: E402  # the checkout, wherever it is
from tests.alerting import programs  # noqa: E402  # the checkout, wherever it is
from tests.e2e.jobs import Producer, Worker  # noqa: E402  # the checkout, wherever it is
from tests.e2e.told import FIRING, PEOPLE, Incident, Told  # noqa: E402  # the checkout, wherever it is
from tests.e2e.world import World  # noqa: E402  # the checkout, wherever it is
from tests.prometheus import program  # noqa: E402  # the checkout, wherever it is

#: Seconds, but for the wait. As short as shipped configurations may be.
SCRAPE, COLLECTION, GROUP_WAIT = 5.0, 2.0, "0s"
LIMIT = 1.0
TARGET = 13.0
QUEUE, ALERT = "mail", "PGQueueReadyAgeHigh"


def bench(rounds: int = 5) -> None:
    """Stop the only worker of a queue so many times, at any moment of the intervals, and say how long it took."""
    prometheus = program("prometheus", newest=True) or program("prometheus")
    if prometheus is None or not programs():
        raise SystemExit("bench: Prometheus or Alertmanager is not here: run .ci/tools")
    with tempfile.TemporaryDirectory() as folder, server18() as server:
        thresholds = Path(folder, "thresholds.yml")
        thresholds.write_text(_limits())
        tell(f"two exporters, {prometheus.name} and Alertmanager {programs()[-1].version}")
        with World(
            server,
            prometheus,
            programs()[-1],
            Path(folder),
            interval=SCRAPE,
            collection=COLLECTION,
            group_wait=GROUP_WAIT,
            thresholds=thresholds,
        ) as world:
            times = [_incident(world) for _ in range(rounds)]
    print(f"\nFrom a worker's stop to a notification, {rounds} times\n")
    print("| | s, each | median |\n|---|---|---:|")
    for what, seconds in (
        ("since the limit was crossed in the database", [told for told, _ in times]),
        (f"since the worker stopped (the limit is {LIMIT:g} s)", [told for _, told in times]),
    ):
        print(f"| {what} | {', '.join(f'{one:.1f}' for one in sorted(seconds))} | {statistics.median(seconds):.1f} |")
    print(f"| target | | {TARGET:g} |")


def _limits() -> str:
    """The limits of the incidents, but for the one that is crossed."""
    text = (ROOT / "tests" / "e2e" / "thresholds.yml").read_text()
    text = re.sub("  stalled: {.*", "  stalled: off", text)
    return re.sub(
        "  ready_age: {warning: 4s, critical: off", f"  ready_age: {{warning: off, critical: {LIMIT:g}s", text
    )


def _incident(world: World) -> tuple[float, float]:
    """Seconds until the first channel tells, since the crossing and since the stop."""
    told = [Told(channel, to, FIRING, ALERT, f"queue {QUEUE}") for channel, to in PEOPLE["urgent"]]
    with Producer(world.database.dsn, QUEUE, {"acme": 1}):
        with Worker(world.database.dsn, QUEUE, pause=0.02) as worker:
            time.sleep(random.uniform(0, SCRAPE))
            incident = Incident(world.alerting)
            worker.stop()
            stopped = time.time()
        crossed = stopped
        while not any(incident.told()[one] for one in told):
            time.sleep(0.02)
            if crossed == stopped:
                crossed = _ready_since(world) or stopped
        arrived = time.time()
    with Worker(world.database.dsn, QUEUE):
        while world.firing() != ["PGQueueWatchdog"]:
            time.sleep(0.2)
    return arrived - crossed - LIMIT, arrived - stopped


def _ready_since(world: World) -> float | None:
    """When the oldest ready job became ready, on a clock that this machine and its server share."""
    ((since,),) = world.database.run(f"SELECT extract(epoch FROM min(vt))::float8 FROM pgmq.q_{QUEUE}")
    return None if since is None else float(since)
