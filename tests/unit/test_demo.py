"""The demo's parts that need no server."""

import io
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from exporter import names
from exporter.demo import Schedule, account, postgres, readings, schema, serving
from exporter.demo.life import Life, Stopped
from exporter.demo.screen import Screen
from exporter.errors import ExporterError

READING = readings.Reading(
    ready=12,
    scheduled=3,
    in_flight=4,
    ready_age=11.25,
    stalled=0,
    finished=100,
    retried=7,
    dead_letters=2,
    collected=1000,
)


class Terminal(io.StringIO):
    """A stream that takes colour."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def page() -> str:
    lines = []
    for queue, state, value in (
        (schema.QUEUE, names.READY, 5),
        (schema.QUEUE, names.SCHEDULED, 6),
        (schema.QUEUE, names.IN_FLIGHT, 7),
        (schema.DEAD_LETTER_QUEUE, names.READY, 2),
        (schema.DEAD_LETTER_QUEUE, names.SCHEDULED, 0),
        ('od"d', names.READY, 99),
    ):
        for tenant in ("acme", "_other"):
            written = queue.replace('"', '\\"')
            lines.append(f'{names.JOBS.name}{{queue="{written}",tenant="{tenant}",state="{state}"}} {value}')
    lines += [
        f'{names.OLDEST_READY_AGE.name}{{queue="{schema.QUEUE}",tenant="acme"}} 1.5',
        f'{names.OLDEST_READY_AGE.name}{{queue="{schema.QUEUE}",tenant="_other"}} 7.25',
        f'{names.STALLED.name}{{queue="{schema.QUEUE}"}} 3',
        f'{names.FINISHED_JOBS.name}{{queue="{schema.QUEUE}",outcome="completed"}} 1e2',
        f'{names.FINISHED_JOBS.name}{{queue="{schema.QUEUE}",outcome="dead_lettered"}} 11',
        f'{names.RETRIED.name}{{queue="{schema.QUEUE}"}} 6',
        f'{names.COLLECTION_TIMESTAMP.name}{{source="pgmq",part="{names.FINISHED}"}} 1001.5',
        f'{names.COLLECTION_TIMESTAMP.name}{{source="{schema.JOB_TABLE}",part="{names.FINISHED}"}} 1000.5',
        "# HELP something else",
        "python_info 1",
    ]
    return "\n".join(lines)


def test_a_page_is_read_with_its_tenants_merged() -> None:
    found = readings.understand(page())
    assert found == readings.Reading(
        ready=10,
        scheduled=12,
        in_flight=14,
        ready_age=7.25,
        stalled=3,
        finished=111,
        retried=6,
        dead_letters=4,
        collected=1000.5,
    )


@pytest.mark.parametrize(
    "missing",
    [
        names.JOBS,
        names.OLDEST_READY_AGE,
        names.STALLED,
        names.FINISHED_JOBS,
        names.RETRIED,
        names.COLLECTION_TIMESTAMP,
    ],
)
def test_a_page_that_lacks_a_number_is_none(missing: names.Metric) -> None:
    assert readings.understand(page().replace(missing.name, "other")) is None


def test_a_rate_is_taken_over_the_time_between_collections() -> None:
    later = readings.Reading(0, 0, 0, 0, 0, finished=130, retried=0, dead_letters=0, collected=1002)
    assert later.finished_since(READING) == 15
    assert READING.finished_since(READING) is None
    assert READING.finished_since(None) is None


def test_incidents_come_again() -> None:
    schedule = Schedule(calm=20, stopped=40, between=180)
    assert [schedule.turn(number) for number in range(4)] == [(20, "stop"), (60, "back"), (240, "stop"), (280, "back")]


def test_colour_is_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    plain, coloured, refused = io.StringIO(), Terminal(), Terminal()
    Screen(plain).numbers(READING, 14.04)
    Screen(coloured).numbers(READING, None)
    monkeypatch.setenv("NO_COLOR", "1")
    Screen(refused).numbers(READING, 14.04)
    assert "\033[" not in plain.getvalue()
    assert plain.getvalue()[8:] == refused.getvalue()[8:]
    assert "ready   12" in plain.getvalue()
    assert "finished  14.0/s" in plain.getvalue()
    assert "\033[31;1m 11.2 s\033[0m" in coloured.getvalue()


def test_a_life_ends_when_its_time_is_up() -> None:
    with Life(0.05) as life, pytest.raises(Stopped, match="time is up"):
        life.pause(10)


def test_a_missing_extra_is_one_sentence() -> None:
    with pytest.raises(ExporterError, match=r"pip install 'pgqueue-exporter\[demo\]'"):
        postgres.locate("embedded_postgres_that_is_not_here")


def test_a_taken_default_port_gives_way_and_one_asked_for_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setattr(serving, "DEFAULT_LISTEN", taken)
        address = serving.Address(None, said.append)
        address.release()
        assert address.port != other.getsockname()[1]
        assert said == [f"cannot listen on {taken}: Address already in use: taking a free port instead"]
        with pytest.raises(ExporterError, match="Address already in use"):
            serving.Address(taken, said.append)


def test_all_interfaces_are_read_from_the_loopback() -> None:
    address = serving.Address("0.0.0.0:0", print)
    address.release()
    assert (address.listen, address.url) == (f"0.0.0.0:{address.port}", f"http://127.0.0.1:{address.port}/metrics")


def test_programs_out_of_reach_are_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root's installation may lie where the account cannot go; here the account is told to be refused there."""
    installed = postgres.locate("embedded_postgres")
    here = account.Account("someone", os.geteuid(), os.getegid())
    asked: list[Path] = []

    def refused_at_first(command: list[Any], who: account.Account | None) -> str | None:
        asked.append(command[0])
        return None if len(asked) == 1 else account.output(command, None if who is here else who)

    monkeypatch.setattr(postgres, "output", refused_at_first)
    found = postgres.binaries(tmp_path, here)
    assert asked == [installed / "pginstall" / "bin" / "postgres", found.folder / "postgres"]
    assert found.folder.is_relative_to(tmp_path)
    assert found.version.startswith("PostgreSQL ")
    assert account.output([found.folder / "initdb", "--version"], None)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in found.folder.parents[1].rglob("*")}
    assert modes == {0o755}


def test_programs_that_do_not_run_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "output", lambda *_: None)
    with pytest.raises(ExporterError, match="does not run"):
        postgres.binaries(tmp_path, None)


def test_root_without_an_account_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "output", lambda *_: None)
    with pytest.raises(ExporterError, match="start the demo as an ordinary user"):
        account.choose()


def test_a_command_that_fails_or_is_not_there_prints_nothing() -> None:
    assert account.output(["sh", "-c", "echo hello"], None) == "hello\n"
    assert account.output(["sh", "-c", "echo hello; exit 3"], None) is None
    assert account.output(["/no/such/program"], None) is None
