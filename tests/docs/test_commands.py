"""The docs name commands and options that there are: read off the command line itself."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from exporter.cli import main
from tests.servers import REPOSITORY

PAGES = sorted(
    path
    for path in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("[a-z]*/README.md"))
    if path.is_file()
)
#: Pages about this program; the others also name options of pytest and of measurements.
OURS = [path for path in PAGES if path.parent.name != "benchmarks" and path.stem != "CONTRIBUTING"]
PROGRAM = "pgqueue-exporter"
CONTEXT = click.Context(main)


def below(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group by name; those too that are imported when they are asked for."""
    found = {name: group.get_command(CONTEXT, name) for name in group.list_commands(CONTEXT)}
    return {name: command for name, command in found.items() if command is not None}


GROUPS = tuple(name for name, command in below(main).items() if isinstance(command, click.Group))
#: What follows a fence of SQL.
FENCED = re.compile("sql (any|pgmq|pg-boss|job-table)\\b")
#: Options of other programs that the docs name by themselves.
FOREIGN = {
    "--web.external-url": "Alertmanager's",
    "--dispatch.start-delay": "Alertmanager's",
    "--alerts.per-alertname-limit": "Alertmanager's",
    "--health-cmd": "Docker's",
}
FENCE = re.compile(r"^ *```.*\n(?P<text>(?:.*\n)*?) *```$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")


class Named(NamedTuple):
    """A command line as a page names it, without the program: `rules build --format prometheusrule`."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def code(page: Path) -> Iterator[str]:
    """The lines in fences, and what stands in backquotes."""
    text = page.read_text()
    for fence in FENCE.finditer(text):
        yield from fence["text"].splitlines()
    yield from INLINE.findall(FENCE.sub("", text))


def named() -> Iterator[Named]:
    """Every command line of ours in the docs."""
    for page in PAGES:
        for line in code(page):
            for found in re.findall(rf"\b{PROGRAM} +([a-z-][^|;&>#)]*)", line):
                yield Named(str(page.relative_to(REPOSITORY)), found.strip())
            if re.match(rf"({'|'.join(GROUPS)}) [a-z]", line) and not FENCED.match(line):
                yield Named(str(page.relative_to(REPOSITORY)), line.partition("|")[0])


def wrong(line: str) -> str:
    """What is no command, or no option of it, in a command line; nothing where all of it is there."""
    words = shlex.split(re.sub(r"[\[\]]", " ", line))
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        commands = below(command)
        if name not in commands:
            return f"{name}: no command"
        command = commands[name]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    options = [word.partition("=")[0] for word in words if re.match("--?[a-z]", word)]
    return ", ".join(f"{option}: no option of {command.name}" for option in options if option not in known)


NAMED = list(dict.fromkeys(named()))


@pytest.mark.parametrize("one", NAMED, ids=str)
def test_a_command_that_the_docs_name_is_there_with_its_options(one: Named) -> None:
    assert wrong(one.text) == ""


def test_a_command_or_option_that_is_not_there_is_seen() -> None:
    assert wrong("rules bake") == "bake: no command"
    assert wrong("config check --confg=FILE") == "--confg: no option of check"
    assert wrong("rules explain QUEUE [--tenant T]") == ""


def test_the_docs_name_every_command() -> None:
    assert len({one.page for one in NAMED}) > 10

    def paths(group: click.Group, above: str) -> Iterator[str]:
        for name, command in below(group).items():
            if isinstance(command, click.Group):
                yield from paths(command, f"{above}{name} ")
            elif not command.hidden:
                yield above + name

    text = (REPOSITORY / "README.md").read_text().partition("## Commands")[2].partition("\n## ")[0]
    for path in paths(main, ""):
        group, _, name = path.rpartition(" ")
        rows = [line.split("|")[1] for line in text.splitlines() if line.startswith(f"| `{group or name}")]
        first = "".join(rows)
        assert re.search(rf"[` ]{name}`", first), path


@pytest.mark.parametrize("page", OURS, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_an_option_named_alone_is_one_of_ours_or_of_a_program_that_is_told(page: Path) -> None:
    def options(command: click.Command) -> Iterator[str]:
        yield from (option for parameter in command.params for option in parameter.opts)
        if isinstance(command, click.Group):
            for one in below(command).values():
                yield from options(one)

    alone = {text.split()[0].partition("=")[0] for text in INLINE.findall(page.read_text()) if text.startswith("--")}
    assert alone - set(options(main)) - set(FOREIGN) == set()
