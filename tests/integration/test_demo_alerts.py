"""The demo's alert, for real: Prometheus and Alertmanager with the repository's bundle, and what a newcomer reads."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.demo import programs
from tests.demo import PATIENCE, Running, family, lives, nothing_is_left
from tests.servers import REPOSITORY

#: An incident comes every minute, should a busy machine miss one.
OFTEN = (5, 35, 25)
MISSING = "from exporter.demo import programs; programs.UNPACKED = (); programs.os.get_exec_path = lambda: []"


@pytest.fixture
def tools() -> programs.Programs:
    """Both programs; skips the test where they are not here."""
    found = programs.find()
    if isinstance(found, str):
        pytest.skip(f"{found}, or run `.ci/tools`")
    return found


def named(pids: set[int], name: str) -> int:
    """The process that runs a program."""
    (found,) = (
        pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(name.encode())
    )
    return found


def test_an_alert_fires_and_resolves_and_the_terminal_shows_what_was_sent(
    demo: Callable[..., Running], place: Path, tools: programs.Programs
) -> None:
    running = demo(schedule=OFTEN)
    port = running.port()
    pids = family(running.process.pid)
    assert {named(pids, str(program.path)) for program in tools} < pids
    running.wait_for("(the alerting path works)")
    page = running.wait_for(r"alerts +(http://127\.0\.0\.1:\d+/\S+)")
    messages = running.wait_for(r"messages +(http://127\.0\.0\.1:\d+/\S*)")
    with urllib.request.urlopen(page, timeout=PATIENCE) as answer:
        assert b"PGQueueStalled" in answer.read() or "/classic/" not in page

    running.wait_for("(ALERT  Alertmanager sent this)", patience=4 * PATIENCE)
    with urllib.request.urlopen(messages.partition("/api")[0] + "/api/v2/alerts", timeout=PATIENCE) as answer:
        firing = {alert["labels"]["alertname"] for alert in json.load(answer)}
    assert firing == {"PGQueueStalled", "PGQueueWatchdog"}
    running.wait_for("(RESOLVED  Alertmanager sent this)", patience=PATIENCE + OFTEN[1])
    running.wait_for("(the next incident comes)")
    said = running.said()
    alert, _, end = said[said.index("ALERT  ") :].partition("RESOLVED  ")
    words = " ".join(re.sub(r"[│|]", "", alert).split())
    assert "[CRITICAL] queue workflow_jobs: Jobs are ready and nobody takes them." in words
    assert "PGQueueStalled (critical), queue workflow_jobs, since 20" in words
    assert "while none was dequeued or finished; the limit is 5s." in words
    assert f"Runbook {(REPOSITORY / 'docs' / 'runbooks' / 'pgqueuestalled.md').as_uri()}" in words
    also = re.search(r"also sent: (.*)", alert)
    assert also is not None
    assert sorted(also[1].split(", ")) == ["PagerDuty", "a web hook", "oncall@example.invalid by e-mail"]
    assert "[RESOLVED] queue workflow_jobs" in end
    assert "Resolved: PGQueueStalled (critical)" in end
    # What is meant to be copied may be longer.
    assert [line for line in said.splitlines() if len(line) > 80 and "://" not in line] == []

    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(PATIENCE) == 0
    nothing_is_left(pids, place, port)


def test_without_prometheus_the_demo_says_so_in_one_sentence_and_goes_on(
    demo: Callable[..., Running], place: Path
) -> None:
    running = demo(schedule=(3, 5, 60), prelude=MISSING)
    running.wait_for("(the workers are back)")
    said = " ".join(running.said().split())
    assert (
        "no alert will fire, as there is no Prometheus 2.42 or newer and no Alertmanager 0.25 or newer here: put it on "
        "PATH (Debian, Ubuntu: apt install prometheus prometheus-alertmanager)" in said
    )
    assert "PGQueueStalled" not in said
    assert "alerting path" not in said
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 0
    nothing_is_left(set(), place)


def test_a_prometheus_that_ends_leaves_a_demo_without_alerts(
    demo: Callable[..., Running], place: Path, tools: programs.Programs
) -> None:
    running = demo(schedule=(60, 5, 60))
    running.port()
    pids = family(running.process.pid)
    os.kill(named(pids, str(tools.prometheus.path)), signal.SIGKILL)
    running.wait_for("(without alerts)")
    assert "Prometheus ended" in running.said()
    assert lives(running.process.pid)
    running.process.kill()
    running.process.wait(PATIENCE)
    nothing_is_left(pids, place)


def test_packages_that_cannot_be_had_are_named_and_asked_for_again(tmp_path: Path) -> None:
    refusing = tmp_path / "bin"
    refusing.mkdir()
    for name in ("apt-get", "dpkg"):
        (refusing / name).write_text("#!/bin/sh\nexit 1\n")
        (refusing / name).chmod(0o755)
    path = f"{refusing}:{os.environ['PATH']}"
    done = subprocess.run(
        [REPOSITORY / ".ci" / "demo", tmp_path / "tools"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "not to be had from this system's package sources: prometheus prometheus-alertmanager" in done.stderr
    assert not (tmp_path / "tools" / "stamp").exists()
