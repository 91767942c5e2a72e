"""What `--help` says of commands."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from exporter.cli import main

CONTEXT = click.Context(main)
GROUPS = [
    (),
    *((name,) for name in main.list_commands(CONTEXT) if isinstance(main.get_command(CONTEXT, name), click.Group)),
]


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: " ".join(group) or "all")
def test_each_command_is_told_in_a_whole_sentence_of_one_line(group: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*group, "--help"], terminal_width=78).output  # as in a terminal of 80
    told = shown.partition("Commands:\n")[2].splitlines()
    assert told
    assert all(line.endswith(".") and not line.endswith("...") for line in told)
