"""Files of thousands of overrides make rules, and no override is held against each other one."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter import rulefiles
from exporter.rulefiles import Options
from exporter.rulegen import known, precedence
from exporter.rulegen.globs import matches
from tests.rules.test_files import _file, load


def test_five_thousand_overrides_make_rules(tmp_path: Path) -> None:
    overrides = "".join(
        f"- {{match: {{queue: q{place}, tenant: t{place}}}, ready_age: {{critical: {31 + place % 7}m}}}}\n"
        for place in range(5000)
    )
    found = rulefiles.generated(_file(tmp_path, f"version: 1\noverrides:\n{overrides}"), Options())
    assert found["pgqueue.rules.yml"].count("group without () (queue_tenant:pgqueue_ready_age:value{") == 5000
    assert found["pinned.tenants"].count("\n") == 5001


def test_five_thousand_overrides_are_not_each_held_against_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    covers = precedence.covers

    def counted(wide: Mapping[str, str], narrow: Mapping[str, str]) -> bool:
        compared.append(wide)
        return covers(wide, narrow)

    monkeypatch.setattr(precedence, "covers", counted)
    limits = ("critical: 31m", "warning: 1m")
    overrides = "".join(
        f"- {{match: {{queue: q{place}, tenant: 't{place}*'}}, ready_age: {{{limits[place % 2]}}}}}\n"
        for place in range(5000)
    )
    load(f"version: 1\noverrides:\n{overrides}- {{match: {{queue: q1}}, ready_age: {{critical: 40m}}}}\n", tmp_path)
    assert len(compared) < 10_000


def test_thousands_of_overrides_are_not_each_held_against_all_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5,000 overrides, 50 queues of 50 tenants: a look at each label's values, not twelve million at series."""
    looks = []

    def counted(glob: str, value: str) -> bool:
        looks.append(glob)
        return matches(glob, value)

    for module in (known, sys.modules["exporter.rulegen.thresholds"]):  # a function has its name in the package
        monkeypatch.setattr(module, "matches", counted)
    overrides = "".join(
        f"- {{match: {{queue: q{place}, tenant: 't{place}*'}}, ready_age: {{critical: 31m}}}}\n"
        for place in range(5000)
    )
    found = load(f"version: 1\noverrides:\n{overrides}", tmp_path)
    series = [{"queue": f"q{queue}", "tenant": f"t{tenant}"} for queue in range(50) for tenant in range(50)]
    assert len(list(known.unmatched(found, series))) == 4950
    assert len(looks) <= 50 * 50
