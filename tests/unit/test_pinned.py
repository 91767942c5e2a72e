"""The file of pinned tenants: bounded, judged by line, and never silently without effect."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from exporter.cli import main
from exporter.collector import check
from exporter.config import Database, load
from exporter.errors import ConfigError
from exporter.sources.findings import WARNING
from exporter.sources.pinned import findings, rules_of


def database(file: Path, pinned: tuple[str, ...] = ()) -> Database:
    """A database whose configuration names the file."""
    (found,) = load(configured(file, pinned), {}).databases
    return found


def configured(file: Path, pinned: tuple[str, ...] = ()) -> Path:
    tenants: dict[str, Any] = {"from": [{"message": "t"}], "pinned": list(pinned), "pinned_file": str(file)}
    path = file.with_name("pgqueue.yml")
    path.write_text(
        yaml.safe_dump({"databases": [{"name": "main", "dsn": "postgresql://127.0.0.1:1/x", "tenants": tenants}]})
    )
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pinned.tenants"


def test_names_are_taken_as_people_write_them(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfacme\r\n  # not me\n#nor me\n\n  umbrella \t\nacme\n_odd\nfolded:0123456789abcdef\n")
    assert rules_of(database(file, ("vip",))).pinned == ("vip", "acme", "umbrella", "__odd", "folded:0123456789abcdef")
    assert findings(database(file)) == []


@pytest.mark.parametrize(
    "line", ["x" * 129, "bad\x01ctrl", "a\u061cb", "{json", "folded:short", "next\u2028line", "next\x0bline"]
)
def test_lines_that_no_tenants_label_can_be_are_skipped_and_told(
    file: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(f"first\n{line}\nlast\n")
    with caplog.at_level(logging.INFO):
        assert rules_of(database(file)).pinned == ("first", "last")
    ((level, about, message),) = findings(database(file))
    assert (level, about) == (WARNING, "tenants.pinned_file")
    assert "line 2 is skipped" in message
    assert line not in message + caplog.text
    assert "line 2 is skipped" in caplog.text


def test_so_many_can_be_pinned_and_what_is_left_out_is_told(file: Path) -> None:
    file.write_text("".join(f"t{number}\n" for number in range(20_000)))
    one = database(file, ("vip",))
    pinned = list(rules_of(one).pinned)
    assert (len(pinned), pinned[0], pinned[-1]) == (1000, "vip", "t998")
    ((level, _, message),) = findings(one)
    assert level == WARNING
    assert "1,000 tenants can be pinned: the names from line 1000 on are left out" in message


def unreadable(file: Path, how: str) -> str:
    """Make it so, and what is said of it."""
    file.unlink(missing_ok=True)
    if how == "missing":
        return "No such file or directory"
    if how == "directory":
        file.mkdir()
        return "Is a directory"
    if how == "pipe":
        os.mkfifo(file)
        return "it is no regular file"
    if how == "device":
        file.symlink_to("/dev/zero")
        return "it is no regular file"
    if how == "huge":
        with file.open("wb") as huge:
            huge.truncate(10**12)
        return "it is larger than 1,048,576 bytes"
    file.write_bytes(b"caf\xe9\n")
    return "it is not UTF-8"


@pytest.mark.parametrize("how", ["missing", "directory", "pipe", "device", "huge", "latin"])
def test_a_file_that_cannot_be_read_is_told_and_waited_for_by_nobody(
    file: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    why = unreadable(file, how)
    assert rules_of(database(file, ("vip",))).pinned == ("vip",)
    assert rules_of(database(file, ("vip",))).pinned == ("vip",)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert why in record.getMessage()
    ((level, _, message),) = findings(database(file))
    assert level == WARNING
    assert why in message
    assert str(file) in message


def test_the_log_tells_of_it_again_when_it_changes(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    file.write_text("acme\n")
    assert rules_of(database(file)).pinned == ("acme",)
    assert caplog.records == []
    for how in ("missing", "pipe"):
        why = unreadable(file, how)
        assert rules_of(database(file)).pinned == ("acme",), "what it said is kept"
        assert why in caplog.records[-1].getMessage()
    file.unlink()
    file.write_text("gold\n")
    assert rules_of(database(file)).pinned == ("gold",)
    assert "right again" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 3


@pytest.mark.parametrize("pinned", [("x" * 129,), ("a\u202eb",), ("folded:x",), tuple(map(str, range(1001)))])
def test_the_configuration_pins_nobody_whose_label_it_cannot_be(file: Path, pinned: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"tenants\.pinned"):
        database(file, pinned)


def test_check_tells_of_it_whether_the_database_answers_or_not(file: Path) -> None:
    assert findings(database(file))[0] in check.examine(database(file)).findings


def test_config_check_tells_of_it(file: Path) -> None:
    found = CliRunner().invoke(main, ["config", "check", "--config", str(configured(file))], catch_exceptions=False)
    assert found.exit_code == 0
    assert "tenants.pinned_file" in found.stderr
    assert "No such file" in found.stderr
