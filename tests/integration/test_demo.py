"""The demo on the real thing: it shows an incident, as root and as a user, and leaves nothing behind, even killed."""

import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from exporter.demo.account import choose
from exporter.demo.guard import PREFIX
from exporter.demo.guarded import Guarded
from exporter.errors import ExporterError
from tests.demo import IDENTITIES, PATIENCE, ROOT, SOON, Running, family, lives, nothing_is_left
from tests.servers import children


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
    assert re.search(r"ready +\d+  oldest +[\d.]+ s  stalled +\d+ s  finished +[\d.]+/s  dead +\d+", said)
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


def started(guarded: Guarded) -> int:
    """A program under guard; its id."""
    options = {"account": None, "folder": "/", "stop": [signal.SIGTERM]}
    guarded.start("sleep", ["sleep", "1000"], {"PATH": os.environ["PATH"]}, **options)  # type: ignore[arg-type]  # checked by the test itself
    until = time.monotonic() + PATIENCE
    while not (pids := children(guarded._process.pid)):
        assert time.monotonic() < until
        time.sleep(0.02)
    return pids[0]


def kill(*pids: int) -> None:
    """Kills processes and waits for their end."""
    for pid in filter(lives, pids):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while any(map(lives, pids)):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_killed_guard_takes_its_programs_along_and_is_told(place: Path) -> None:
    guarded = Guarded(place)
    pid = started(guarded)
    assert guarded.ended("sleep") is None
    kill(guarded._process.pid)
    if sys.platform == "linux":
        nothing_is_left({pid}, place / "elsewhere")
    with pytest.raises(ExporterError, match="guards"):
        guarded.ended("sleep")
    guarded.close()
    kill(pid)
    nothing_is_left(set(), place)


def test_what_was_left_when_all_were_killed_goes_with_the_next_demo(place: Path) -> None:
    left = Guarded(place)
    kill(left._process.pid, started(left))
    assert left.directory.exists()
    with Guarded(place) as alive, Guarded(place) as second:
        assert {*place.glob(f"{PREFIX}*")} == {alive.directory, second.directory}
    nothing_is_left(set(), place)
    left.close()


def test_a_place_that_cannot_be_written_is_one_sentence(place: Path) -> None:
    with pytest.raises(ExporterError, match="No such file"):
        Guarded(place / "missing")


if ROOT:

    def test_root_finds_an_account_and_a_place_it_can_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        monkeypatch.setattr(tempfile, "tempdir", str(closed))
        found, where = choose()
        assert found is not None
        assert found.uid != 0
        assert where != closed
