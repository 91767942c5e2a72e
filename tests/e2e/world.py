"""Everything between a job and a person, really running: Postgres, exporters, Prometheus, Alertmanager, sinks."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from tests.alerting import Alerting, Config, Program, routes
from tests.e2e.exporters import Exporter
from tests.e2e.told import Incident
from tests.pgmq_install import install_pgmq
from tests.prometheus import Prometheus
from tests.servers import REPOSITORY, Database, PostgresServer

#: Each incident has a queue of its own, so that each has messages of its own.
QUEUES = ("mail", "mail_dlq", "images", "shared", "invoices", "reports")
PATIENCE = 60.0
THRESHOLDS = Path(__file__).with_name("thresholds.yml")


def rules(directory: Path, thresholds: Path = THRESHOLDS) -> list[Path]:
    """The rule files that Prometheus loads: generated, of thresholds with shorter times."""
    folder = directory / "rules"
    folder.mkdir(exist_ok=True)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "exporter",
        "rules",
        "build",
        "--thresholds",
        thresholds,
        "--directory",
        folder,
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made = sorted(folder.glob("*.rules.yml"))
    assert made
    return made


class World:
    """A database with queues that is watched; `close()` ends all.

    Scrapes and evaluations come every `interval` seconds, and collections; Alertmanager waits for `group_wait`.
    """

    def __init__(
        self,
        postgres: PostgresServer,
        prometheus: Path,
        alertmanager: Program,
        directory: Path,
        *,
        interval: float = 1.0,
        collection: float = 1.0,
        group_wait: str = "1s",
        thresholds: Path = THRESHOLDS,
    ) -> None:
        self.postgres = postgres
        self.database: Database = postgres.create_database()
        install_pgmq(self.database.dsn)
        self._closing = contextlib.ExitStack()
        with self.database.connect() as connection:
            for queue in QUEUES:
                connection.execute("SELECT pgmq.create(%s)", (queue,))
        watched: dict[str, Any] = {
            "name": "main",
            "dsn": self.database.dsn,
            "interval": f"{collection:g}s",
            "tenants": {"from": [{"message": "project_id"}]},
        }
        try:
            self.exporters = [Exporter(directory, f"exporter-{number}", watched) for number in (1, 2)]
            for exporter in self.exporters:
                self._closing.callback(exporter.kill)
                exporter.start()
            self.alerting = self._closing.enter_context(
                Alerting(alertmanager, awake, group_wait=group_wait, group_interval="1s")
            )
            for exporter in self.exporters:
                until(exporter.ready, exporter.printed)
            self.prometheus = self._closing.enter_context(
                Prometheus(
                    prometheus,
                    [exporter.address for exporter in self.exporters],
                    rules=rules(directory, thresholds),
                    alertmanagers=[self.alerting.url.removeprefix("http://")],
                    interval=interval,
                )
            )
            until(lambda: len(self.prometheus.query('up{job="pgqueue"} == 1')) == 2, self.prometheus.logged)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends everything but the server of the database."""
        self._closing.close()

    @contextlib.contextmanager
    def incident(self) -> Iterator["Incident"]:
        """What is told from now on, and nothing from before; at its end, all that was told must have been expected."""
        until(lambda: self.firing() == ["PGQueueWatchdog"], lambda: f"{self.firing()} from before still fires")
        incident = Incident(self.alerting)
        yield incident
        with self.database.connect() as connection:
            for queue in QUEUES:
                connection.execute("SELECT pgmq.purge_queue(%s)", (queue,))
        incident.close()

    def firing(self) -> list[str]:
        """The alerts that Alertmanager knows, by name."""
        return [alert["labels"]["alertname"] for alert in self.alerting.client.get("/api/v2/alerts").json()]


def awake(config: Config) -> None:
    """The shipped configuration at any hour: without quiet ones."""
    for route in routes(config["route"]):
        route.pop("mute_time_intervals", None)


def until(what: Callable[[], object], said: Callable[[], str], patience: float = PATIENCE) -> None:
    """Waits until something is so; fails with what somebody said."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, f"it did not come to that:\n{said()}"
        time.sleep(0.05)
