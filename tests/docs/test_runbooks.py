"""There is a runbook for every alert, and each is what one can use at three in the morning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exporter.rulegen.catalogue import SLO_ALERT, WATCHES
from exporter.rulegen.signals import SIGNALS
from tests.runbooks import FOLDER, INDEX, SECTIONS, Block, alerts, blocks, headings, pages
from tests.servers import REPOSITORY

RUNBOOKS = [path for path in pages() if path.stem != INDEX]
# What the other pages of docs/ have; rows of tables cannot be broken.
WIDEST = 124
# More than this nobody reads at night.
LONGEST = 95

LINK = re.compile(r"\]\(([^)\s]+)\)")
# Where what jobs carry stands: pgmq's message and headers, pg-boss's data and output, a job table's errors, statements.
PAYLOAD = re.compile(r"\b(message|headers|data|output|error_message|query)\b")
JOBS = re.compile(r"\b(pgmq\.[qa]_\w+|pgboss\.job|public\.job_tracking)\b")
PREAMBLE = "begin read only; set local statement_timeout = '5s';"
AT_ONCE = re.compile(r"(vacuum \(verbose, analyze\)|analyze|select pg_terminate_backend\(pid\) from) [^;]+;$")


def _by_stem(path: Path) -> str:
    return path.stem


def test_every_alert_has_a_runbook_and_no_other_is_there() -> None:
    assert {path.stem for path in RUNBOOKS} == {alert.lower() for alert in alerts()}


@pytest.mark.parametrize("path", RUNBOOKS, ids=_by_stem)
def test_a_runbook_is_named_like_its_alert_and_has_the_four_sections_in_order(path: Path) -> None:
    assert path.read_text().splitlines()[0].removeprefix("# ") in alerts()
    assert path.read_text().splitlines()[0].lower() == f"# {path.stem}"
    assert headings(path) == list(SECTIONS)
    for section in path.read_text().split("\n## ")[1:]:
        assert section.partition("\n")[2].strip(), section


@pytest.mark.parametrize("path", RUNBOOKS, ids=_by_stem)
def test_a_runbook_says_what_not_to_do_whom_to_wake_and_what_to_silence(path: Path) -> None:
    mitigation = path.read_text().partition("\n## Mitigation\n")[2]
    for word in ("**Do not** ", "**Wake** ", "**Silence** "):
        assert re.search(rf"^\* {re.escape(word)}", mitigation, re.MULTILINE), word
    assert len(path.read_text().splitlines()) <= LONGEST


def test_the_index_says_how_long_alerts_go_on() -> None:
    """Or people do more and more because an alert that is over does not end."""
    over = (FOLDER / f"{INDEX}.md").read_text().partition("## Is it over?")[2].partition("\n## ")[0]
    kept = {signal.alert: signal.keep for signal in SIGNALS}
    others = {alert: keep for alert, keep in kept.items() if keep != "10m"}
    assert "an alert goes on for ten minutes (PGQueueStalled for twelve)" in over
    assert others == {"PGQueueStalled": "12m"}
    at_once = {watch.alert for watch in WATCHES if not watch.keep} - {"PGQueueWatchdog"}
    assert set(re.findall(r"PGQueue\w+", over.partition("Only ")[2])) == {*at_once, SLO_ALERT}


def test_nobody_is_told_to_grant_tables_to_the_role_that_may_read_none() -> None:
    for block in blocks("sql"):
        if re.search(r"\bgrant select\b", block.text):
            before = (FOLDER / f"{block.page}.md").read_text().partition(block.text.splitlines()[0])[0]
            assert "Never grant such a role tables" in before, block


def test_the_index_leads_to_every_runbook() -> None:
    index = (FOLDER / f"{INDEX}.md").read_text()
    table = index.partition("## What do you see?")[2].partition("\n## ")[0]
    assert set(re.findall(r"\[(\w+)\]\(\w+\.md\)", table)) == set(alerts())


@pytest.mark.parametrize("path", pages(), ids=_by_stem)
def test_links_resolve(path: Path) -> None:
    links = LINK.findall(path.read_text())
    assert links
    for link in links:
        target, _, anchor = link.partition("#")
        found = path.parent / target if target else path
        assert found.is_file(), link
        assert found.resolve().is_relative_to(REPOSITORY.resolve()), link
        if anchor:
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings(found)}, link
    for name, target in re.findall(r"\[(PGQueue\w+)\]\(([^)#]+)", path.read_text()):
        assert target == f"{name.lower()}.md", f"{name} leads to {target}"


@pytest.mark.parametrize("path", pages(), ids=_by_stem)
def test_no_line_is_wider_than_a_screen(path: Path) -> None:
    wide = [line for line in path.read_text().splitlines() if len(line) > WIDEST and not line.startswith("|")]
    assert wide == []


def test_every_alert_that_a_runbook_names_is_there() -> None:
    for path in pages():
        assert set(re.findall(r"\bPGQueue[A-Z]\w+", path.read_text())) <= set(alerts()), path.stem


@pytest.mark.parametrize("block", blocks("sql"), ids=str)
def test_a_block_of_sql_says_what_it_is_for(block: Block) -> None:
    first = block.text.splitlines()[0]
    told = {"any": "any", "pgmq": "pgmq", "pg-boss": "pg-boss", "job-table": "job table"}[block.of]
    assert re.match(rf"-- {told}\b.*: \S", first), first
    if block.versions:
        assert block.versions.split()[1] in first.partition(":")[0], first


@pytest.mark.parametrize("block", blocks("sql"), ids=str)
def test_a_block_of_sql_is_bounded_and_changes_nothing_unasked(block: Block) -> None:
    body = block.text.partition("\n")[2].strip()
    if block.section == "Mitigation":
        rolled_back = body.startswith("begin;") and body.endswith("\nrollback;") and "write commit" in block.text
        assert rolled_back or AT_ONCE.fullmatch(body), body
        assert "lock_timeout" in body or not rolled_back
    else:
        assert body.startswith(f"{PREAMBLE}\nselect"), body
        assert body.endswith(";\nrollback;")
        assert body.count(";") == 4, "one SELECT"
        assert re.search(r"\blimit \d+;\nrollback;$", body), "bounded"
        if re.search(r"\bcount\(", body) and JOBS.search(body):
            assert len(re.findall(r"\blimit \d+\b", body)) == 2, "jobs that are counted are bounded too"
    assert "commit;" not in body
    assert not re.search(r"\b(truncate|drop|purge_queue)\b", body)


@pytest.mark.parametrize("block", blocks("sql"), ids=str)
def test_a_block_that_looks_into_jobs_says_so(block: Block) -> None:
    first, _, body = block.text.partition("\n")
    if PAYLOAD.search(body):
        assert "reads" in first or "payload" in first, first


def test_only_known_kinds_of_blocks_are_there() -> None:
    assert {block.language for block in blocks()} == {"sql", "promql", "sh"}
    assert all(block.of == "" for block in blocks() if block.language != "sql")
