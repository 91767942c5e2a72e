"""The security review names tests and files: they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests|exporter|docs)/[^`]+)`", PAGE)))


def test_every_threat_names_a_test() -> None:
    threats = PAGE.partition("## Threats")[2].partition("## ")[0]
    rows = [line for line in threats.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert all("`tests/" in row.split("|")[3] for row in rows)


@pytest.mark.parametrize("name", NAMED)
def test_what_it_names_is_there(name: str) -> None:
    path, _, test = name.partition("::")
    text = (ROOT / path).read_text()
    assert not test or f"\ndef {test}(" in text
