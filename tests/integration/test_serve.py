"""The running process over HTTP: what it serves, that scrapes cost the database nothing, and how signals end it."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter import names
from tests.listening import ENDS
from tests.pgmq_install import install_pgmq
from tests.servers import Database, free_port

REPOSITORY = Path(__file__).parents[2]
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.1"}
TEXT = {"Accept": "text/plain"}
PATIENCE = 20.0
SECRET = "S3cret:that/nobody@sees"
NAMES = ("mail", 'Sm-örgås 100% "q".{x}')


def wait_for(what: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until something is so."""
    until = time.monotonic() + patience
    while not what():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.05)


class Serving:
    """A running exporter with a configuration file of its own."""

    def __init__(self, directory: Path, database: dict[str, Any], **environment: str) -> None:
        self.file = directory / "pgqueue.yml"
        self.log = directory / "log"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.configure(database)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "exporter", "serve", "--config", str(self.file), "--log-level", "debug"],
                cwd=REPOSITORY,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.client = httpx.Client(base_url=self.url, timeout=10, trust_env=False)
        wait_for(self.healthy)

    def configure(self, database: dict[str, Any], **more: Any) -> None:
        """Write the configuration file."""
        whole = {"listen": self.url.removeprefix("http://"), "databases": [{"name": "main", **database}], **more}
        self.file.write_text(yaml.safe_dump(whole))

    def healthy(self) -> bool:
        """Whether it answers; fails when it has ended."""
        assert self.process.poll() is None, self.printed()
        try:
            return self.client.get("/-/healthy").status_code == 200
        except httpx.TransportError:
            return False

    def ready(self) -> bool:
        """Whether every database was collected once."""
        return self.client.get("/-/ready").status_code == 200

    def page(self) -> dict[str, Metric]:
        """The page's metrics by name."""
        return {family.name: family for family in parse_text(self.client.get("/metrics", headers=TEXT).text)}

    def value(self, metric: str, **labels: str) -> float | None:
        """The value of one series, None when there is none."""
        family = self.page().get(metric.removesuffix("_total"))
        found = [
            sample.value
            for sample in (family.samples if family else [])
            if sample.name == metric and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def printed(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; exit code, and seconds until it was gone."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE), time.monotonic() - began

    def close(self) -> None:
        """Kill what is left; what it printed must be free of tracebacks and secrets."""
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        text = self.printed()
        assert "Traceback" not in text, text
        assert "S3cret" not in text, text


Serve = Callable[..., Serving]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serve]:
    """A factory of running exporters: `serving({"dsn": ..., "interval": "1s"})`."""
    made: list[Serving] = []

    def make(database: dict[str, Any], **environment: str) -> Serving:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Serving(directory, database, **environment))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def jobs(database18: Database) -> Database:
    """A database with two queues, and a job in each."""
    install_pgmq(database18.dsn)
    for queue in NAMES:
        database18.run("select pgmq.create(%s)", [queue])
        database18.run("select pgmq.send(%s, '{}')", [queue])
    return database18


def test_every_format_is_read_by_others(jobs: Database, serving: Serve, promtool: Path) -> None:
    one = serving({"dsn": jobs.dsn, "interval": "1m"})
    wait_for(one.ready)
    text = one.client.get("/metrics", headers=TEXT)
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    openmetrics = one.client.get("/metrics", headers=OPENMETRICS)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in parse_openmetrics(openmetrics.text)}  # type: ignore[no-untyped-call]  # an untyped library
    assert {family.name for family in parse_text(text.text)} == families.keys()
    for page in (one.page(), families):
        ready = {
            sample.labels["queue"]: sample.value
            for sample in page["pgqueue_jobs"].samples
            if sample.labels["state"] == "ready"
        }
        assert ready == dict.fromkeys(NAMES, 1)
        assert page["pgqueue_up"].samples[0].value == 1
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=text.content, capture_output=True, check=False, timeout=30
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout + checked.stderr == b""

    # As it goes over the wire: one gzip member, which programs that stop at the first read whole.
    for accept, plain in ((TEXT, text.text), (OPENMETRICS, openmetrics.text)):
        with one.client.stream("GET", "/metrics", headers={**accept, "Accept-Encoding": "gzip"}) as response:
            raw = b"".join(response.iter_raw())
        assert response.headers["content-encoding"] == "gzip"
        ours = [line for line in gzip.decompress(raw).decode().splitlines() if "pgqueue_" in line]
        assert ours == [line for line in plain.splitlines() if "pgqueue_" in line]
    identity = one.client.get("/metrics", headers={**TEXT, "Accept-Encoding": "identity"})
    assert "content-encoding" not in identity.headers
    assert "pgqueue_up" in identity.text


def test_it_is_healthy_at_once_and_ready_after_the_first_collection(jobs: Database, serving: Serve) -> None:
    with psycopg.connect(jobs.dsn) as blocker:
        # pgmq's list of queues is locked: the first collection waits for it.
        blocker.execute("lock table pgmq.meta in access exclusive mode")
        one = serving({"dsn": jobs.dsn, "interval": "1s", "lock_timeout": "9s", "statement_timeout": "20s"})
        waiting = one.client.get("/-/ready")
        assert waiting.status_code == 503
        assert "main" in waiting.text
        assert one.healthy()
        assert one.client.get("/metrics").status_code == 200
        blocker.rollback()
    wait_for(one.ready)
    assert one.value("pgqueue_up") == 1


def test_a_database_that_is_not_there_is_up_0_and_served(serving: Serve) -> None:
    one = serving({"dsn": f"postgresql://nobody:x@127.0.0.1:{free_port()}/x", "interval": "1s"})
    wait_for(one.ready)
    assert one.value("pgqueue_up", database="main") == 0
    time.sleep(1.2)
    assert one.printed().count("does not answer") == 1


def test_a_scrape_costs_the_database_nothing(jobs: Database, serving: Serve) -> None:
    role = jobs.server.add_user(options="IN ROLE pg_read_all_data, pg_monitor")
    jobs.run("create extension if not exists pg_stat_statements")
    one = serving({"dsn": jobs.dsn_as(role), "interval": "1m"})
    wait_for(one.ready)

    def asked() -> tuple[Any, ...]:
        (found,) = jobs.run(
            "select coalesce(sum(calls), 0), count(*) from pg_stat_statements s join pg_roles r on r.oid = userid "
            "where rolname = %s",
            [role],
        )
        return found

    before, collections = asked(), one.value("pgqueue_collections_total", source="pgmq", part=names.COUNTERS)
    assert before[0] > 0
    for _ in range(20):
        assert one.client.get("/metrics").status_code == 200
    assert asked() == before
    assert one.value("pgqueue_collections_total", source="pgmq", part=names.COUNTERS) == collections == 1


def test_each_of_many_scrapes_during_collections_is_one_snapshot(jobs: Database, serving: Serve) -> None:
    one = serving({"dsn": jobs.dsn, "interval": "1s"})
    wait_for(one.ready)
    seen: set[float] = set()

    def scrape(number: int, together: Barrier, client: httpx.Client) -> str:
        together.wait(PATIENCE)
        response = client.get("/metrics", headers=OPENMETRICS if number % 2 == 0 else TEXT)
        assert response.status_code == 200
        return response.text

    count = 200
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=count)
    with (
        ThreadPoolExecutor(count) as threads,
        httpx.Client(base_url=one.url, timeout=PATIENCE, trust_env=False, limits=limits) as client,
    ):
        for _ in range(2):
            barrier = Barrier(count)
            for page in threads.map(scrape, range(count), [barrier] * count, [client] * count):
                lines = [line.rpartition(" ") for line in page.splitlines() if line.startswith("pgqueue_")]
                values = {series: float(value) for series, _, value in lines}
                assert len(values) == len(lines) == values["pgqueue_series"]
                # Both parts run in every cycle: pages of two cycles mixed up would show it.
                runs = [
                    values[each]
                    for part in (names.COUNTERS, names.HEAD)
                    for each in values
                    if each.startswith("pgqueue_collections_total{") and f'source="pgmq",part="{part}"' in each
                ]
                assert len(runs) == 2
                assert runs[0] == runs[1]
                seen.add(runs[0])
            time.sleep(1.1)
    assert len(seen) >= 2
    assert one.healthy()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(jobs: Database, serving: Serve, number: signal.Signals) -> None:
    one = serving({"dsn": jobs.dsn, "interval": "30s"})
    wait_for(one.ready)
    code, seconds = one.end(number)
    assert code == 0, one.printed()
    assert seconds < ENDS


def test_sigterm_ends_it_in_the_middle_of_a_query(jobs: Database, serving: Serve) -> None:
    one = serving({"dsn": jobs.dsn, "interval": "1s", "lock_timeout": "10s", "statement_timeout": "20s"})
    wait_for(one.ready)
    waiting = "select count(*) from pg_stat_activity where application_name = 'pgqueue-exporter' and datname = %s"
    with psycopg.connect(jobs.dsn) as blocker:
        blocker.execute("lock table pgmq.q_mail in access exclusive mode")
        wait_for(lambda: jobs.run(waiting + " and wait_event_type = 'Lock'", [jobs.name]) == [(1,)])
        code, seconds = one.end()
        assert code == 0, one.printed()
        assert seconds < ENDS
        # The query does not wait on for the lock without us.
        wait_for(lambda: jobs.run(waiting, [jobs.name]) == [(0,)], 8)


def test_sighup_takes_another_configuration_and_refuses_a_bad_one(jobs: Database, serving: Serve) -> None:
    good = {"dsn": jobs.dsn, "interval": "1s"}
    one = serving({**good, "queues": {"include": ["mail"]}})
    wait_for(one.ready)

    def queues() -> set[str]:
        return {sample.labels["queue"] for sample in one.page()["pgqueue_jobs"].samples}

    assert queues() == {"mail"}
    before = one.value("pgqueue_collections_total", source="pgmq", part=names.COUNTERS)
    one.configure(good)
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: queues() == set(NAMES))
    assert one.value("pgqueue_config_reload_success") == 1
    # The same loop goes on: its counters do not start anew.
    after = one.value("pgqueue_collections_total", source="pgmq", part=names.COUNTERS)
    assert before is not None
    assert after is not None
    assert after > before

    one.configure({**good, "interval": "soon", "intervall": "1s"})
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: one.value("pgqueue_config_reload_success") == 0)
    assert "configuration refused" in one.printed()
    assert "did you mean 'interval'?" in one.printed()
    assert "soon" in one.printed()
    assert queues() == set(NAMES)
    runs = one.value("pgqueue_collections_total", source="pgmq", part=names.COUNTERS)
    assert runs is not None
    wait_for(lambda: (one.value("pgqueue_collections_total", source="pgmq", part=names.COUNTERS) or 0) > runs)

    one.configure({**good, "queues": {"exclude": ["mail"]}})
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: one.value("pgqueue_config_reload_success") == 1)
    wait_for(lambda: one.value("pgqueue_jobs", queue=NAMES[1], state="ready") == 1)
    one.configure(good, listen="127.0.0.1:none")
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: one.value("pgqueue_config_reload_success") == 0)


@pytest.mark.parametrize("given", ["by a variable", "in a file of its own"])
def test_a_password_is_shown_nowhere(jobs: Database, serving: Serve, tmp_path: Path, given: str) -> None:
    user = jobs.server.add_user(SECRET, "IN ROLE pg_read_all_data, pg_monitor")
    database: dict[str, Any] = {"dsn": "${THE_DSN}", "interval": "1s"}
    environment = {"THE_DSN": jobs.dsn_as(user, SECRET)}
    if given == "in a file of its own":
        (tmp_path / "password").write_text(SECRET + "\n")
        database = {**database, "dsn": jobs.dsn_as(user), "password_file": str(tmp_path / "password")}
    one = serving(database, **environment)
    wait_for(one.ready)
    assert one.value("pgqueue_up") == 1
    jobs.server.connect().execute(f"alter role \"{user}\" password 'rotated'")
    jobs.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [user])
    wait_for(lambda: one.value("pgqueue_up") == 0, 10)
    # Not only that the connection was cut: also why there is no new one.
    wait_for(lambda: "password authentication failed" in one.printed(), 10)
    for path in ("/", "/metrics", "/-/ready", "/nowhere"):
        response = one.client.get(path)
        assert "S3cret" not in response.text + str(response.headers)
    one.configure({**database, "interval": "never"})
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration refused" in one.printed())
    assert "S3cret" not in one.printed()
    assert "S3cret" not in Path(f"/proc/{one.process.pid}/cmdline").read_text()
