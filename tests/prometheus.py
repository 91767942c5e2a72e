"""A real Prometheus of the tests' own: started with the shipped configuration and other addresses, asked over HTTP."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import httpx
import yaml

from tests.servers import REPOSITORY, TOOLS, free_port, give, run, spawn, work_directory

SHIPPED = REPOSITORY / "prometheus" / "prometheus.yml"
GO_TOOLS = REPOSITORY / ".tools" / "go" / "bin"
PATIENCE = 60.0

T = TypeVar("T")


def program(name: str, *, newest: bool = False) -> Path | None:
    """`prometheus`, `promtool`, `alertmanager` or `amtool`: Debian's of `.tools`, else the system's.

    With `newest`, the one that `.ci/prometheus` builds. None where it is not here.
    """
    if newest:
        built = GO_TOOLS / name
        return built if built.is_file() else None
    for folder in (TOOLS / "bin", *map(Path, os.get_exec_path())):
        for called in (name, f"prometheus-{name}"):
            if (folder / called).is_file():
                return folder / called
    return None


class Series(NamedTuple):
    """One series of an answer: its labels, and its value now."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """A running Prometheus on a free port of 127.0.0.1; `close()` ends it and removes what it wrote.

    `targets` are addresses (`host:port`) that are scraped as job `pgqueue`; `rules` are files, of which copies are
    loaded; `alertmanagers` are addresses. `interval` is that of scrapes and evaluations, in seconds. `past` is
    OpenMetrics text, lines with times, which it has as if it had scraped it; `promtool` (beside it) loads that.
    """

    def __init__(
        self,
        binary: Path,
        targets: Sequence[str] = (),
        *,
        rules: Sequence[Path] = (),
        alertmanagers: Sequence[str] = (),
        interval: float = 1.0,
        arguments: Sequence[str] = (),
        past: Iterable[str] = (),
    ) -> None:
        self.directory = work_directory("prometheus")
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        self.config = self.directory / "prometheus.yml"
        self.log = self.directory / "log"
        self._interval = interval
        self._targets, self._alertmanagers = list(targets), list(alertmanagers)
        self._write(rules)
        copied = self.directory / binary.name  # where the account that runs it can reach it
        shutil.copy(binary, copied)
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory)}
        if text := "\n".join(past):
            self._load(Path(shutil.copy(binary.with_name("promtool"), self.directory)), text, environment)
        command: list[str | Path] = [
            copied,
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address={self.address}",
            "--web.enable-lifecycle",
            *arguments,
        ]
        with self.log.open("ab") as log:
            self._process = spawn(command, environment, log)
        self._client = httpx.Client(base_url=self.url, timeout=10, trust_env=False)
        try:
            self.wait_for(self._ready, "it is not ready")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(self, expression: str, at: float | None = None) -> list[Series]:
        """An instant query's series, now or at a time."""
        result = self._get("query", query=expression, **({} if at is None else {"time": f"{at}"}))["result"]
        return [Series(one["metric"], float(one["value"][1])) for one in result]

    def value(self, expression: str) -> float | None:
        """The value of the only series of an instant query; None when there is none."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression}: {found}"
        return found[0].value if found else None

    def alerts(self, state: str | None = "firing") -> list[dict[str, str]]:
        """The labels of the alerts in a state (`pending`, `firing`; None: either)."""
        found: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return [alert["labels"] for alert in found if state in {None, alert["state"]}]

    def rule_groups(self) -> list[dict[str, Any]]:
        """The rule groups, as the API tells them."""
        groups: list[dict[str, Any]] = self._get("rules")["groups"]
        return groups

    def reload(self, rules: Sequence[Path] | None = None) -> None:
        """Has the configuration read again; other rule files when given. Fails when Prometheus refuses it."""
        if rules is not None:
            self._write(rules)
        answer = self._client.post("/-/reload")
        assert answer.status_code == httpx.codes.OK, answer.text

    def wait_for(self, what: Callable[[], T], otherwise: str, patience: float = PATIENCE) -> T:
        """Waits until something is true, and gives it; fails with what it said and logged."""
        until = time.monotonic() + patience
        while True:
            if result := what():
                return result
            assert self._process.poll() is None, f"Prometheus ended:\n{self.logged()}"
            assert time.monotonic() < until, f"{otherwise}\n{self.logged()}"
            time.sleep(0.05)

    def logged(self) -> str:
        """The end of what it has logged."""
        return self.log.read_text(errors="replace")[-3000:]

    def close(self) -> None:
        """Ends it."""
        client = getattr(self, "_client", None)
        if client is not None:
            client.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _load(self, promtool: Path, text: str, environment: Mapping[str, str]) -> None:
        page, data = self.directory / "page", self.directory / "data"
        page.write_text(text + "\n")
        data.mkdir()
        give(data)
        run([promtool, "tsdb", "create-blocks-from", "openmetrics", page, data], environment)

    def _ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _get(self, what: str, **parameters: str) -> Any:
        answer = self._client.get(f"/api/v1/{what}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def _write(self, rules: Sequence[Path]) -> None:
        targets = {
            "pgqueue": self._targets,
            "prometheus": [self.address],
            "alertmanager": self._alertmanagers,
        }
        folder = self.directory / "rules"  # which the account that runs it can read
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        copies = [folder / path.name for path in rules]
        for path, copy in zip(rules, copies, strict=True):
            copy.write_bytes(path.read_bytes())
        written = readdressed(yaml.safe_load(SHIPPED.read_text()), targets, copies, self._alertmanagers)
        duration = f"{round(self._interval * 1000)}ms"
        written["global"] |= dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), duration)
        self.config.write_text(json.dumps(written))
        give(self.config)


def readdressed(
    shipped: dict[str, Any],
    targets: Mapping[str, Sequence[str]],
    rules: Sequence[Path],
    alertmanagers: Sequence[str],
) -> dict[str, Any]:
    """The shipped configuration with other targets by job, rule files and Alertmanagers."""
    changed = {**shipped, "global": dict(shipped["global"]), "rule_files": [str(path) for path in rules]}
    changed["scrape_configs"] = [
        {**job, "static_configs": [{"targets": list(targets[job["job_name"]])}]} for job in shipped["scrape_configs"]
    ]
    changed["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]}
    return changed
