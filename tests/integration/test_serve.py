"""The running process over HTTP."""

import gzip
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.servers import REPOSITORY, Database, free_port


class Running:
    """`pgqueue-exporter serve` as a process; what it said is in ``log``."""

    def __init__(self, folder: Path, database: Database, config: str = "") -> None:
        self.config = folder / "pgqueue.yml"
        self.log = folder / "log"
        self.dsn = database.dsn
        self.url = f"http://127.0.0.1:{free_port()}"
        self.write(config)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "exporter", "serve", "--config", self.config, "--listen", self.url[7:]],
                cwd=REPOSITORY,
                stderr=log,
                stdout=log,
            )
        self.wait("/-/ready")

    def write(self, config: str) -> None:
        self.config.write_text(f"databases: [{{name: main, dsn: '{self.dsn}', {config}}}]\n")

    def wait(self, path: str, told: str = "") -> str:
        until = time.monotonic() + 20
        while True:
            try:
                answer = httpx.get(self.url + path)
                if answer.status_code == 200 and told in answer.text:
                    return answer.text
            except httpx.HTTPError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)


@pytest.fixture
def running(tmp_path: Path, pgmq_database: Database) -> Iterator[Running]:
    pgmq_database.run("select pgmq.create('Ma.il \"%\\n')")
    pgmq_database.run("select pgmq.send('Ma.il \"%\\n', '{}') from generate_series(1, 3)")
    started = Running(tmp_path, pgmq_database)
    yield started
    started.process.kill()
    started.process.wait()


def test_the_page_is_what_prometheus_reads(running: Running, promtool: Path) -> None:
    text = running.wait("/metrics", "pgqueue_jobs{")
    checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    answer = httpx.get(f"{running.url}/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["content-encoding"] == "gzip"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}  # type: ignore[no-untyped-call]  # untyped library
    ready = [s for s in families["pgqueue_jobs"].samples if s.labels["state"] == "ready"]
    assert [(s.labels["queue"], s.value) for s in ready] == [('Ma.il "%\\n', 3.0)]


def test_scrapes_issue_no_query_and_all_succeed_with_one_snapshot(running: Running) -> None:
    def scrape(_: int) -> str:
        return httpx.get(f"{running.url}/metrics").text

    def runs(page: str) -> set[str]:
        return {line for line in page.splitlines() if line.startswith("pgqueue_collections_total")}

    began = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        pages = list(pool.map(scrape, range(200)))
    for page in pages:
        # One collection adds one run to counters and head at once: a torn page would show them apart.
        counts = {line.rsplit(" ", 1)[1] for line in runs(page) if '"head"' in line or '"counters"' in line}
        assert len(counts) == 1, counts
    collections = len({frozenset(runs(page)) for page in pages})
    assert collections <= (time.monotonic() - began) / 5 + 2, "more collections than the interval allows"


def test_it_stops_within_two_seconds(running: Running) -> None:
    began = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(5) == 0
    assert time.monotonic() - began < 4  # two, on a machine that does nothing else


def test_it_stops_in_the_middle_of_a_query(tmp_path: Path, pgmq_database: Database) -> None:
    pgmq_database.run("select pgmq.create('mail')")
    started = Running(tmp_path, pgmq_database, "interval: 1s, lock_timeout: 9s, statement_timeout: 10s")
    with pgmq_database.connect() as locker, locker.transaction():
        locker.execute("lock table pgmq.q_mail in access exclusive mode")
        until = time.monotonic() + 20
        while not pgmq_database.run("select 1 from pg_locks where not granted"):
            assert time.monotonic() < until
            time.sleep(0.05)
        began = time.monotonic()
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(8) == 0
        assert time.monotonic() - began < 4


def test_a_reload_takes_a_good_file_and_refuses_a_bad_one(running: Running) -> None:
    running.write("queues: {inclde: [x]}")
    running.process.send_signal(signal.SIGHUP)
    running.wait("/metrics", "pgqueue_config_reload_success 0")
    assert "did you mean 'include'" in running.log.read_text()
    running.wait("/metrics", 'pgqueue_up{database="main"} 1')
    running.write("interval: 2s")
    running.process.send_signal(signal.SIGHUP)
    running.wait("/metrics", "pgqueue_config_reload_success 1")


def test_only_get_and_head_and_the_headers_of_every_answer(running: Running) -> None:
    assert httpx.post(f"{running.url}/metrics").status_code == 405
    head = httpx.head(f"{running.url}/metrics", headers={"Accept-Encoding": "gzip"})
    assert head.status_code == 200
    assert not head.content
    assert head.headers["x-content-type-options"] == "nosniff"
    assert "server" not in head.headers
    with httpx.stream("GET", f"{running.url}/metrics") as answer:
        assert b"pgqueue_up" in gzip.decompress(b"".join(answer.iter_raw()))
