"""The demo on the real thing: it shows an incident, as root and as a user, and leaves nothing behind, even killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from exporter.collector import check
from exporter.config import from_dsn
from exporter.demo import readings, schema
from exporter.demo.account import choose
from exporter.demo.guard import PREFIX
from exporter.demo.guarded import Guarded
from exporter.errors import ExporterError
from tests.servers import REPOSITORY, Database, Server, account, children, work_directory

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
    folder = work_directory("demo")
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
    assert re.search(
        r"ready +\d+ +scheduled +\d+ +in flight +\d+ .*finished +[\d.]+/s  retried +\d+  dead letters +\d+", said
    )
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


@pytest.fixture
def filled(postgres18: Server) -> Iterator[Database]:
    """A database on a shared server with what the demo's database holds."""
    database = postgres18.create_database()
    with database.connect() as connection:
        schema.install(connection)
        schema.add_exporter_role(connection, "secret")
    yield database
    postgres18.drop_database(database.name)


def test_a_job_is_retried_by_archive_and_resend_until_it_is_given_up(filled: Database) -> None:
    run = {name: schema.statement(name) for name in ("enqueue", "take", "started", "retry", "give_up", "completed")}
    which: dict[str, Any] = {"queue": schema.QUEUE}
    with filled.connect() as connection:
        connection.execute("set role service_role")
        connection.execute(run["enqueue"], {**which, "tenant": "acme", "workflow": uuid.uuid4(), "delay": 0})
        for attempt in (1, 2, 3):
            connection.execute("select pgmq.set_vt(%s, max(msg_id), 0) from pgmq.q_workflow_jobs", [schema.QUEUE])
            job = connection.execute(run["take"], which).fetchone()
            assert job is not None
            msg_id, message = job
            assert (msg_id, message["attempt"], message["max_attempts"]) == (attempt, attempt, 3)
            connection.execute(run["started"], {**which, "msg_id": msg_id})
            failed = {"msg_id": msg_id, "message": json.dumps(message), "attempt": attempt, "error": "refused"}
            connection.execute(run["retry" if attempt < 3 else "give_up"], {**which, **failed})
        connection.execute(run["enqueue"], {**which, "tenant": "acme", "workflow": uuid.uuid4(), "delay": 0})
        assert connection.execute(run["take"], which).fetchone() is not None
        connection.execute(run["started"], {**which, "msg_id": 4})
        connection.execute(run["completed"], {**which, "msg_id": 4})
        connection.execute(run["enqueue"], {**which, "tenant": "acme", "workflow": uuid.uuid4(), "delay": 60})
        assert connection.execute(run["take"], which).fetchone() is None
        view, clear, forget = map(schema.statement, ("view_dead_letters", "clear_dead_letters", "forget"))
        which["queue"] = schema.DEAD_LETTER_QUEUE
        assert [connection.execute(view, which).fetchall() for _ in (1, 2)] == [[(1, 1)], [(1, 2)]]
        assert connection.execute(clear, which).fetchall() == []
        connection.execute(forget)
    assert filled.run("select array_agg(msg_id order by msg_id) from pgmq.a_workflow_jobs") == [([1, 2, 3],)]
    (dead,) = filled.run("select message from pgmq.q_workflow_jobs_dlq")
    assert (dead[0]["attempt"], dead[0]["error"]) == (3, "refused")
    assert [job[0] for job in filled.run("select msg_id from pgmq.q_workflow_jobs")] == [5]
    tracked = filled.run(
        "select msg_id, attempt, started_at is not null, completed_at is not null, failed_at is not null,"
        " moved_to_dlq_at is not null, error_message from public.job_tracking order by msg_id"
    )
    assert tracked == [
        (1, 1, True, False, True, False, "refused"),
        (2, 2, True, False, True, False, "refused"),
        (3, 3, True, False, True, True, "refused"),
        (4, 1, True, True, False, False, None),
        (5, 1, False, False, False, False, None),
    ]
    assert filled.run("select status from public.workflow_runs order by created_at") == [
        ("failed",),
        ("succeeded",),
        ("queued",),
    ]


def test_tenants_see_their_own_and_the_exporter_sees_all(filled: Database) -> None:
    run = {"queue": schema.QUEUE, "workflow": uuid.uuid4(), "delay": 0}
    (owner,) = filled.run("select owner from public.projects where name = 'acme'")
    with filled.connect() as connection:
        for tenant in ("acme", "acme", "globex"):
            connection.execute(schema.statement("enqueue"), {**run, "tenant": tenant})
        connection.execute("set role authenticated")
        count = "select (select count(*) from public.projects), (select count(*) from public.workflow_runs)"
        assert connection.execute(count).fetchone() == (0, 0)
        claims = json.dumps({"sub": str(owner[0])})
        connection.execute("select set_config('request.jwt.claims', %s, false)", [claims])
        assert connection.execute(count).fetchone() == (1, 2)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select 1 from pgmq.q_workflow_jobs")
        connection.execute("set role anon")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select 1 from public.workflow_runs")
    with psycopg.connect(filled.dsn_as(schema.EXPORTER_ROLE, "secret"), autocommit=True) as connection:
        connection.execute("set row_security = off")
        by_tenant = "select count(*) from public.workflow_runs group by project_id order by 1"
        assert connection.execute(by_tenant).fetchall() == [(1,), (2,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select pgmq.pop('workflow_jobs')")


def test_nothing_is_missing_for_the_exporter(filled: Database) -> None:
    report = check.examine(from_dsn(filled.dsn_as(schema.EXPORTER_ROLE, "secret")).databases[0])
    assert (report.findings, report.queues) == ([], [schema.QUEUE, schema.DEAD_LETTER_QUEUE])


if ROOT:

    def test_root_finds_an_account_and_a_place_it_can_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        monkeypatch.setattr(tempfile, "tempdir", str(closed))
        found, where = choose()
        assert found is not None
        assert found.uid != 0
        assert where != closed
