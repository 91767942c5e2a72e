"""Globs: what they stand for, the same in Python as in Prometheus; and none of them takes long."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from exporter import rulefiles
from exporter.cli import main
from exporter.rulegen import marks, precedence
from exporter.rulegen.globs import effort, matches, regex

TEXTS = st.text("ab.?*", max_size=12)


@given(glob=TEXTS, value=st.text("ab.*", max_size=14))
def test_a_glob_stands_for_what_its_regular_expression_matches(glob: str, value: str) -> None:
    assert matches(glob, value) == (re.fullmatch(regex(glob), value) is not None)


class Counted(str):
    """A text that counts how often it is looked into."""

    __slots__ = ("looks",)
    looks: int

    def startswith(self, *given: object) -> bool:
        self.looks += 1
        return super().startswith(*given)  # type: ignore[arg-type]  # as str takes them

    def find(self, *given: object) -> int:
        self.looks += 1
        return super().find(*given)  # type: ignore[arg-type]  # as str takes them

    def __getitem__(self, key: object) -> str:
        self.looks += 1
        return super().__getitem__(key)  # type: ignore[index]  # as str takes it


def test_a_hostile_glob_looks_once_for_each_of_its_pieces() -> None:
    """A hundred stars and as many letters, against letters that end in another: 10^75 ways to divide them."""
    value = Counted("a" * 300 + "b")
    value.looks = 0
    assert not matches("*a" * 100 + "*c*", value)
    assert value.looks == 103
    value.looks = 0
    assert not matches("*a?" * 100 + "*?c*", value)
    assert value.looks < 100 * 300


def test_hostile_globs_in_a_file_of_thresholds_do_not_hold_a_command_up(tmp_path: Path) -> None:
    file = tmp_path / "thresholds.yml"
    file.write_text(
        "version: 1\noverrides:\n"
        f'  - {{match: {{queue: "{"*a" * 100}*c"}}, ready_age: {{critical: 1h}}}}\n'
        f"  - {{match: {{queue: {'a' * 300}b}}, ready_age: {{warning: 4m}}}}\n"
    )
    for command in (["build"], ["explain", "a" * 300 + "b"]):
        told = CliRunner().invoke(main, ["rules", *command, "--thresholds", str(file)])
        assert told.exit_code == 0, told.output


@pytest.mark.parametrize("more", ["", ", tenant: t{0}"])
def test_thousands_of_hostile_globs_are_not_each_tried_on_thousands_of_names(
    more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,500 globs of 30 stars, 2,500 long names: six million pairs, of which each takes a millisecond."""
    looks = 0

    def counted(glob: str, value: str) -> bool:
        nonlocal looks
        looks += effort(glob, len(value))
        return matches(glob, value)

    monkeypatch.setattr(precedence, "matches", counted)
    monkeypatch.setattr(marks, "matches", counted)
    globs, names = "?*" * 30, "a" * 150
    file = tmp_path / "thresholds.yml"
    file.write_text(
        "version: 1\noverrides:\n"
        + "".join(f'- {{match: {{queue: "{globs}b{place}"}}, ready_age: {{critical: 40m}}}}\n' for place in range(2500))
        + "".join(
            f"- {{match: {{queue: {names}{place}c{more.format(place)}}}, ready_age: {{critical: 41m}}}}\n"
            for place in range(2500)
        )
    )
    made = rulefiles.generated(file, rulefiles.Options())["pgqueue.rules.yml"]
    assert made.count(names) >= 2500
    assert looks < 10_000_000
