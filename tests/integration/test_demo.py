"""The demo on the real thing: it shows an incident, as root and as a user, and leaves nothing behind, even killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from exporter.demo import readings
from exporter.demo.account import choose
from exporter.demo.guard import PREFIX
from exporter.demo.guarded import Guarded
from tests.servers import REPOSITORY, account, children

PATIENCE = 60.0
#: A killed demo's last process must be gone after so many seconds.
SOON = 8.0

ROOT = os.geteuid() == 0
IDENTITIES = ["as_started", "as_user"] if ROOT and shutil.which("setpriv") else ["as_started"]


class Running(NamedTuple):
    """A demo in a process of its own, and what it has said."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """All it has said so far."""
        return self.log.read_text()

    def wait_for(self, pattern: str) -> str:
        """Waits until it says something; the first group of the pattern."""
        until = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self.said())) is None:
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            assert time.monotonic() < until, f"it did not say {pattern!r}:\n{self.said()}"
            time.sleep(0.05)
        return found[1]

    def port(self) -> int:
        """Waits until the exporter has numbers; its port."""
        return int(self.wait_for(r"http://127\.0\.0\.1:(\d+)/metrics"))

    def reading(self, condition: Callable[[readings.Reading], bool]) -> readings.Reading:
        """Waits until the numbers on the page are as they should become."""
        port, until, now = self.port(), time.monotonic() + PATIENCE, None
        while time.monotonic() < until:
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            now = readings.read("127.0.0.1", port)
            if now is not None and condition(now):
                return now
            time.sleep(0.2)
        raise AssertionError(f"the numbers did not become so; last {now}:\n{self.said()}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files that every user can use; afterwards, nobody may have left anything in it."""
    folder = Path(tempfile.mkdtemp(prefix="pgqueue-test-demo-"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def demo(place: Path) -> Iterator[Callable[..., Running]]:
    """A factory of demos: `demo("as_user", seconds=5, schedule=(3, 8, 60))`."""
    made: list[subprocess.Popen[bytes]] = []

    def start(identity: str = "as_started", before: str = "", **more: Any) -> Running:
        schedule, seconds = more.get("schedule", (60, 60, 60)), more.get("seconds")
        program = (
            "import sys; from exporter.demo import Schedule, run; "
            f"sys.exit(run('127.0.0.1:0', {seconds!r}, schedule=Schedule{schedule!r}))"
        )
        log = place / f"log{len(made)}"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(place), "HOME": str(place)}
        environment.pop("MAKELEVEL", None)
        command = [*(as_user() if identity == "as_user" else []), sys.executable, "-c", program]
        if before:
            command = ["sh", "-c", f'{before} "$@" & wait', "sh", *command]
        with log.open("wb") as out:
            made.append(subprocess.Popen(command, env=environment, cwd=place, stdout=out, stderr=out))
        return Running(made[-1], log)

    yield start
    for process in made:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE)


def as_user() -> list[str]:
    """What makes root's command an ordinary user's, who can read Python's files wherever root keeps them."""
    uid, gid = account() or (os.geteuid(), os.getegid())
    become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    # By way of a shell: setpriv itself still has root's rights when it starts its program.
    probe = [*become, "sh", "-c", '"$0" -c "import psycopg"', sys.executable]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        become += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return become


def family(pid: int) -> set[int]:
    """A process and all that came from it."""
    return {pid}.union(*(family(child) for child in children(pid)))


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be noticed by its parent does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def nothing_is_left(pids: set[int], place: Path, port: int | None = None) -> None:
    """Fails unless the processes, the port and the directories are gone soon."""
    until = time.monotonic() + SOON
    while time.monotonic() < until and (any(map(lives, pids)) or [*place.glob(f"{PREFIX}*")]):
        time.sleep(0.05)
    assert [pid for pid in pids if lives(pid)] == []
    assert [*place.glob(f"{PREFIX}*")] == []
    if port is not None:
        assert readings.read("127.0.0.1", port) is None


def test_an_incident_shows_in_the_numbers_and_sigterm_ends_all(demo: Callable[..., Running], place: Path) -> None:
    running = demo(schedule=(8, 12, 60))
    port = running.port()
    pids = family(running.process.pid)
    assert len(pids) > 4
    busy = running.reading(lambda now: now.finished > 5 and now.stalled == 0)
    running.wait_for("(the workers stopped)")
    incident = running.reading(lambda now: now.stalled > 2 and now.ready > 30 and now.ready_age > 2)
    assert incident.ready > busy.ready
    running.wait_for("(the workers are back)")
    running.reading(lambda now: now.stalled == 0 and now.finished > incident.finished + 20)

    dsn = running.wait_for(r"'(postgresql://[^']+)'")
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select count(distinct project_id), count(completed_at), max(attempt), count(failed_at)"
            " from public.job_tracking join public.workflow_runs runs on runs.id = run_id"
        ).fetchone()
    assert found is not None
    tenants, completed, attempts, failed = found
    assert tenants >= 4
    assert completed > 40
    assert (attempts > 1) == (failed > 0)

    said = running.said()
    assert "\033[" not in said
    assert re.search(r"ready +\d+ +scheduled +\d+ +in flight +\d+ .*finished +[\d.]+/s  dead letters +\d+", said)
    since = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE) == 0
    assert time.monotonic() - since < SOON
    assert running.said().splitlines()[-2:] == ["SIGTERM: stopping", "stopped: no process and no file is left"]
    nothing_is_left(pids, place, port)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_killed_demo_leaves_nothing(demo: Callable[..., Running], place: Path, identity: str) -> None:
    running = demo(identity)
    port = running.port()
    pids = family(running.process.pid)
    assert len(pids) > 4
    running.process.kill()
    running.process.wait(PATIENCE)
    nothing_is_left(pids, place, port)


def test_a_demo_ends_when_its_time_is_up(demo: Callable[..., Running], place: Path) -> None:
    running = demo(IDENTITIES[-1], seconds=5)
    assert running.process.wait(PATIENCE) == 0
    assert "time is up" in running.said()
    assert ("Postgres refuses root" in running.said()) == (ROOT and IDENTITIES[-1] == "as_started")
    nothing_is_left(set(), place)


def test_a_demo_ends_with_the_make_that_was_killed(demo: Callable[..., Running], place: Path) -> None:
    running = demo(before="MAKELEVEL=1")
    port = running.port()
    pids = family(running.process.pid)
    running.process.kill()
    running.process.wait(PATIENCE)
    nothing_is_left(pids, place, port)
    assert "make is gone: stopping" in running.said()


def test_an_interrupt_while_it_starts_is_heard(demo: Callable[..., Running], place: Path) -> None:
    running = demo()
    running.wait_for("(starting PostgreSQL)")
    pids = family(running.process.pid)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(PATIENCE) == 0
    assert "interrupted: stopping" in running.said()
    nothing_is_left(pids, place)


def test_what_a_killed_guard_left_goes_with_the_next_demo(place: Path) -> None:
    started = {"account": None, "folder": "/", "stop": [signal.SIGTERM]}
    left = Guarded(place)
    left.start("sleep", ["sleep", "1000"], {"PATH": os.environ["PATH"]}, **started)  # type: ignore[arg-type]
    until = time.monotonic() + PATIENCE
    while not (pids := children(left._process.pid)):
        assert time.monotonic() < until
        time.sleep(0.02)
    left._process.kill()
    left.close()
    if sys.platform != "linux":
        os.kill(pids[0], signal.SIGKILL)
    while lives(pids[0]):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert left.ended("sleep") is not None
    with Guarded(place) as alive, Guarded(place) as second:
        assert [*place.glob(f"{PREFIX}*")].sort() == [alive.directory, second.directory].sort()
    nothing_is_left(set(), place)


if ROOT:

    def test_root_finds_an_account_and_a_place_it_can_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        monkeypatch.setattr(tempfile, "tempdir", str(closed))
        found, where = choose()
        assert found is not None
        assert found.uid != 0
        assert where != closed
