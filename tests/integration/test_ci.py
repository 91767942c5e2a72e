"""What CI says of a linter that it could not get, and of one that complains."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import REPOSITORY

NEEDED = ("bash", "cat", "chmod", "cut", "dirname", "env", "mkdir", "mktemp", "mv", "realpath", "rm", "tail")


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment with a shell and its tools, without Go and pint."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    given = {"PATH": str(folder), "TOOLS": str(tmp_path / "tools"), "PYTHON": sys.executable}
    return {**{name: value for name, value in os.environ.items() if name in {"HOME", "TMPDIR"}}, **given}


def ran(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [REPOSITORY / ".ci" / "pint"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_without_pint_nothing_counts_as_looked_at(bare: dict[str, str]) -> None:
    done = ran(bare)
    assert (done.returncode, done.stdout) == (3, "")
    assert "cannot be had (no go here)" in done.stderr
    assert "pint has not looked at the rules" in done.stderr


@pytest.mark.parametrize("complains", [True, False])
def test_pint_sees_the_shipped_rules_and_others_and_what_it_says_counts(bare: dict[str, str], complains: bool) -> None:
    pint = Path(bare["PATH"]) / "pint"
    pint.write_text(f'#!/usr/bin/env bash\nprintf "%s\\n" "$@"\ncat "${{@: -1}}" | tail -n 1\nexit {int(complains)}\n')
    pint.chmod(0o755)
    done = ran(bare)
    assert done.returncode == int(complains), done.stderr
    shown = done.stdout.splitlines()
    assert {"--offline", "--fail-on=warning", "rules/pgqueue.rules.yml"} <= set(shown)
    assert sum(line.endswith(".rules.yml") for line in shown) == 2
    assert ("ok: pint has nothing to say" in done.stdout) is not complains
