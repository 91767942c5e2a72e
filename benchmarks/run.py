"""What the exporter costs a database: `make bench ARGS="--scale 1"`. See README.md beside this file."""

import argparse
import gzip
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


from benchmarks import jobtable, notify, pgboss, role, rules, tenants  # noqa: E402  # the checkout, wherever it is
from benchmarks.measuring import (  # noqa: E402  # the checkout, wherever it is
    HEADER,
    reader,
    server18,
    tell,
)
from benchmarks.s1 import QUEUES, load, measure, work  # noqa: E402  # the checkout, wherever it is
from exporter import names  # noqa: E402  # the checkout, wherever it is
from exporter.collector.pages import Pages  # noqa: E402  # the checkout, wherever it is
from exporter.model import Distribution, Sample  # noqa: E402  # the checkout, wherever it is
from tests.servers import free_port  # noqa: E402  # the checkout, wherever it is

SERIES = 50_000
BENCHES = ("pgmq", "pgboss", "jobtable", "tenants", "notify")
#: Only when asked for.
MORE = ("role", "rules")


# The process and the page.


def serve(dsn: str, seconds: float, between: Callable[[], None]) -> dict[str, float]:
    """A real exporter that collects for so long: its memory, and what a scrape takes."""
    port = free_port()
    command = [sys.executable, "-m", "exporter", "serve", "--dsn", dsn, "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            between()
            time.sleep(2)
            if process.poll() is not None:
                raise SystemExit("bench: the exporter ended by itself")
        times = {True: [], False: []}  # type: dict[bool, list[float]]
        series = 0
        for packed in (True, False) * 20:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": "gzip"} if packed else {}
            )
            began = time.monotonic()
            with urllib.request.urlopen(request, timeout=10) as answer:
                body = answer.read()
            times[packed].append((time.monotonic() - began) * 1000)
            text = gzip.decompress(body) if packed else body
            series = sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))
        return {
            "rss": resident(process.pid),
            "gzip": statistics.median(times[True]),
            "plain": statistics.median(times[False]),
            "series": series,
        }
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def resident(pid: int, key: str = "VmRSS") -> float:
    """Megabytes of memory a process uses (`VmHWM`: has used at most); 0 where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:")), 0.0)


def render_page() -> None:
    """Render one page of 50,000 series; run in a process of its own. Prints JSON."""
    per_queue = 3 + 15
    samples = []
    for number in range(SERIES // per_queue):
        labels = ("main", "pgmq", f"queue_{number:05}", "")
        samples += [
            Sample(names.JOBS, (*labels, state), number) for state in (names.READY, names.SCHEDULED, names.IN_FLIGHT)
        ]
        samples.append(Sample(names.RUN, (*labels, names.ARCHIVED), Distribution((number,) * 12, number, 1.5)))
    samples.sort(key=lambda sample: sample.metric.name)
    before = resident(os.getpid())
    pages = Pages(SERIES)
    began = time.monotonic()
    page = pages._render({"main": tuple(samples)}, 1)  # noqa: SLF001 - to time it alone
    took = (time.monotonic() - began) * 1000
    told = {
        "ms": took,
        "series": page.series,
        "gzip_kb": len(page.text_gzip.data) / 1024,
        "rss_before": before,
        "rss_most": resident(os.getpid(), "VmHWM"),
    }
    print(json.dumps(told))


# The report.


def bench_pgmq(scale: float, rounds: int, seconds: float) -> None:
    """S1's pgmq, the exporter's process and a large page, on a server of their own."""
    with server18() as server:
        database = server.create_database()
        tell(f"loading S1 at scale {scale:g}: {round(1_000_000 * scale):,} jobs in one of {len(QUEUES)} queues")
        load(database, scale)
        lines = measure(database, rounds)
        role = reader(database, "pgmq")
        tell(f"the exporter itself, for {seconds:g} s")
        with database.connect() as worker:
            process = serve(database.dsn_as(role), seconds, lambda: work(worker, QUEUES[:5]))
    tell(f"a page of {SERIES:,} series")
    command = [sys.executable, __file__, "--render"]
    page = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    print(f"\nS1 at scale {scale:g}, medians of {rounds} collections\n")
    print(HEADER)
    print("\n".join(lines))
    print("\n| | |\n|---|---:|")
    for what, number in (
        (f"exporter's memory (RSS) after {seconds:g} s", f"{process['rss']:.0f} MB"),
        (f"a scrape of its {process['series']:,.0f} series, gzip", f"{process['gzip']:.1f} ms"),
        ("the same, plain", f"{process['plain']:.1f} ms"),
        (f"rendering and compressing {page['series']:,} series, pauses included", f"{page['ms']:.0f} ms"),
        ("that page, gzip", f"{page['gzip_kb']:.0f} KB"),
        (
            "memory (RSS) before that page, and the most during it",
            f"{page['rss_before']:.0f}, {page['rss_most']:.0f} MB",
        ),
    ):
        print(f"| {what} | {number} |")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1, help="1 is the full data set (default: 0.1)")
    parser.add_argument("--rounds", type=int, default=11, help="collections measured a scenario (default: 11)")
    parser.add_argument("--seconds", type=float, default=30, help="how long the exporter itself runs (default: 30)")
    told = f"one of them; may be repeated (default: all but {' and '.join(MORE)})"
    parser.add_argument("--only", choices=(*BENCHES, *MORE), action="append", help=told)
    parser.add_argument("--render", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.render:
        render_page()
        return
    for name in arguments.only or BENCHES:
        tell(f"{name}; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        if name == "pgmq":
            bench_pgmq(arguments.scale, arguments.rounds, arguments.seconds)
        elif name == "pgboss":
            pgboss.bench(arguments.scale, arguments.rounds)
        elif name == "tenants":
            tenants.bench(arguments.scale, arguments.rounds)
        elif name == "notify":
            notify.bench()
        elif name == "role":
            role.bench(arguments.scale, arguments.rounds)
        elif name == "rules":
            rules.bench()
        else:
            jobtable.bench(arguments.scale, arguments.rounds)


if __name__ == "__main__":
    main()
