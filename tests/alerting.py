"""A real Alertmanager with the configuration of `alertmanager/`, whose channels all end in sinks of the test's own."""

import contextlib
import copy
import datetime as dt
import functools
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

from tests.servers import REPOSITORY, TOOLS, end_with_parent, free_port, work_directory
from tests.sinks import MAIL_PASSWORD, MailSink, Message, WebSink

FOLDER = REPOSITORY / "alertmanager"
CONFIG = FOLDER / "alertmanager.yml"
SECRETS = "/etc/alertmanager/secrets/"
#: What links in messages begin with.
EXTERNAL_URL = "http://alertmanager.example:9093"
PATIENCE = 20.0

Config = dict[str, Any]
Change = Callable[[Config], None]


@dataclass(frozen=True)
class Program:
    """An Alertmanager and its amtool; `directory` is where it is to be started."""

    version: str
    alertmanager: Path
    amtool: Path
    directory: Path

    def check(self, config: Path, *options: str) -> tuple[int, str]:
        """`amtool check-config`: its exit code and all that it says."""
        return self.tool("check-config", *options, str(config))

    def tool(self, *arguments: str) -> tuple[int, str]:
        """Runs amtool: its exit code and all that it says."""
        done = subprocess.run([self.amtool, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE)
        return done.returncode, done.stdout + done.stderr


@functools.cache
def programs() -> tuple[Program, ...]:
    """Every Alertmanager that is here: Debian's and the newest of `.tools`, or else the one on PATH."""
    go = REPOSITORY / ".tools" / "go" / "bin"
    on_path = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
    places = [
        # Made by .ci/tools to look for its templates in the folder where it is started.
        (TOOLS / "bin" / "prometheus-alertmanager", TOOLS / "share" / "prometheus" / "alertmanager"),
        (go / "alertmanager", Path("/")),
    ]
    found = [(binary, cwd) for binary, cwd in places if binary.is_file()]
    if not found and on_path:
        found = [(Path(on_path), Path("/"))]
    return tuple(
        Program(_version(binary), binary, binary.with_name("amtool"), cwd)
        for binary, cwd in found
        if binary.with_name("amtool").is_file()
    )


def _version(binary: Path) -> str:
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=PATIENCE).stdout
    match = re.search(r"version (\d+\.\d+)", told)
    assert match is not None, told
    return match[1]


def require_programs() -> tuple[Program, ...]:
    """As `programs`; skips the test where there is none."""
    if not programs():
        pytest.skip("no Alertmanager here: run `.ci/tools`, or install alertmanager and amtool")
    return programs()


def shipped() -> Config:
    """The configuration as it is shipped, to be changed at will."""
    return copy.deepcopy(_read())


@functools.cache
def _read() -> Config:
    config = yaml.safe_load(CONFIG.read_text())
    assert isinstance(config, dict)
    return config


def routes(route: Config) -> Iterator[Config]:
    """A route and all below it."""
    yield route
    for below in route.get("routes", ()):
        yield from routes(below)


def channels(config: Config) -> Iterator[tuple[str, Config, Config]]:
    """Each channel of each receiver: `slack_configs` and the like, the receiver, the channel."""
    for receiver in config["receivers"]:
        for kind, blocks in receiver.items():
            if kind != "name":
                for block in blocks:
                    yield kind, receiver, block


class Alerting:
    """A running Alertmanager; `messages` is what came out of it, in order.

    Of the shipped configuration it changes addresses, the files of secrets, which hold what the sinks ask for, and
    waiting: `group_wait` where that is not 0, and `group_interval`, in Alertmanager's notation. `change` may change
    more of it.
    """

    def __init__(
        self,
        program: Program,
        change: Change | None = None,
        *,
        group_wait: str = "1s",
        group_interval: str = "500ms",
    ) -> None:
        self.messages: list[Message] = []
        self.directory = work_directory("alertmanager")
        self._lock = threading.Lock()
        self._waiting = {"group_wait": group_wait, "group_interval": group_interval}
        self._close = contextlib.ExitStack()
        self._close.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.web = self._close.enter_context(WebSink(self._keep))
        self.mail = self._close.enter_context(MailSink(self._keep))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.config_file = self.directory / "alertmanager.yml"
        self.log = self.directory / "log"
        self._write(change)
        self._start(program)

    def _keep(self, message: Message) -> None:
        with self._lock:
            self.messages.append(message)

    def _start(self, program: Program) -> None:
        command: list[str | Path] = [
            program.alertmanager,
            f"--config.file={self.config_file}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            f"--web.external-url={EXTERNAL_URL}",
            "--cluster.listen-address=",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=program.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - no locks are taken in there
            )
        self._close.callback(self._stop)
        self.client = self._close.enter_context(httpx.Client(base_url=self.url, timeout=PATIENCE))
        try:
            self.until(self._ready)
        except BaseException:
            self.close()
            raise

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.client.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def _stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _write(self, change: Change | None) -> None:
        config = shipped()
        config["templates"] = [str(FOLDER / "templates" / "*.tmpl")]
        config["global"] |= {
            "smtp_smarthost": f"127.0.0.1:{self.mail.port}",
            "smtp_require_tls": False,
            "pagerduty_url": f"http://127.0.0.1:{self.web.port}/pagerduty/enqueue",
        }
        for _, receiver, block in channels(config):
            if "url" in block:
                block["url"] = f"http://127.0.0.1:{self.web.port}/webhook/{receiver['name']}"
        for route in routes(config["route"]):
            for key, value in self._waiting.items():
                if route.get(key, "0s") != "0s":
                    route[key] = value
        if change is not None:
            change(config)
        self._give_secrets(config)
        self.config_file.write_text(yaml.safe_dump(config))

    def _give_secrets(self, part: Any) -> None:
        """Every file of a secret becomes one in the test's folder, with what the sink asks for in it."""
        if isinstance(part, list):
            for below in part:
                self._give_secrets(below)
        elif isinstance(part, dict):
            for key, value in part.items():
                if isinstance(value, str) and value.startswith(SECRETS):
                    part[key] = str(self._secret(key, value.removeprefix(SECRETS)))
                else:
                    self._give_secrets(value)

    def _secret(self, key: str, name: str) -> Path:
        path = self.directory / "secrets" / name
        path.parent.mkdir(exist_ok=True)
        known = {
            "api_url_file": f"http://127.0.0.1:{self.web.port}/slack/{name}",
            "smtp_auth_password_file": MAIL_PASSWORD,
        }
        path.write_text(known.get(key, name))
        return path

    def reload(self, change: Change | None = None) -> None:
        """Makes it take the shipped configuration with another change."""
        self._write(change)
        self.client.post("/-/reload").raise_for_status()

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Hands it alerts, as Prometheus does, in one request."""
        answer = self.client.post("/api/v2/alerts", json=alerts)
        assert answer.is_success, answer.text

    def muted(self) -> list[dict[str, str]]:
        """The labels of every alert that another one mutes at this moment."""
        alerts = self.client.get("/api/v2/alerts").raise_for_status().json()
        return [one["labels"] for one in alerts if one["status"]["inhibitedBy"]]

    def to(self, whom: str, channel: str = "") -> list[Message]:
        """What arrived there so far."""
        with self._lock:
            return [m for m in self.messages if m.to == whom and channel in {"", m.channel}]

    def until(self, what: Callable[[], object], patience: float = PATIENCE) -> None:
        """Waits until something is so."""
        end = time.monotonic() + patience
        while not what():
            said = self.log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < end, f"it did not come to that; {self.messages}\n{said}"
            time.sleep(0.05)

    def arrived(self, whom: str, count: int = 1, channel: str = "") -> list[Message]:
        """Waits for that many messages to somebody; no more than these may be there."""
        self.until(lambda: len(self.to(whom, channel)) >= count)
        found = self.to(whom, channel)
        assert len(found) == count, found
        return found

    def close(self) -> None:
        """Ends it and removes its files."""
        self._close.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def alert(
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
    *,
    started: dt.datetime | None = None,
    ended: dt.datetime | None = None,
) -> dict[str, Any]:
    """An alert as Prometheus posts it; it fires for an hour unless it ended."""
    now = dt.datetime.now(dt.UTC)
    return {
        "labels": dict(labels),
        "annotations": dict(annotations or {}),
        "startsAt": (started or now).isoformat(),
        "endsAt": (ended or now + dt.timedelta(hours=1)).isoformat(),
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=up",
    }
