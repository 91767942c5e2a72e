"""Every block of PromQL of the runbooks parses, names only series that there are, and finds some in a Prometheus."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest

from exporter import names
from tests.runbook_series import FOREIGN, STEP, openmetrics
from tests.runbooks import Block, blocks
from tests.servers import TOOLS, free_port, give, run, spawn, work_directory

PATIENCE = 60.0
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
SERIES = {metric.name + suffix: metric for metric in names.CATALOGUE for suffix in SUFFIXES.get(metric.kind, ("",))}
# Labels that Prometheus adds to each series of a target.
TARGET = {"job", "instance"}

Query = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def query() -> Iterator[Query]:
    """Instant queries to a Prometheus that has a day of `openmetrics`, at the last of its times."""
    program = TOOLS / "bin" / "prometheus"
    if not program.is_file():
        pytest.skip("prometheus is not here: run `.ci/tools`")
    folder = work_directory("prometheus")
    now = int(time.time()) // STEP * STEP
    (folder / "page").write_text("\n".join(openmetrics(now)) + "\n")
    (folder / "prometheus.yml").write_text("{}")
    data, url = folder / "data", f"127.0.0.1:{free_port()}"
    data.mkdir()
    give(data)
    # Where the account that runs it can reach it.
    for name in ("promtool", "prometheus"):
        shutil.copy(TOOLS / "bin" / name, folder / name)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    run([folder / "promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "page", data], environment)
    with (folder / "log").open("wb") as log:
        process = spawn(
            [
                folder / "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address={url}",
            ],
            environment,
            log,
        )
    try:
        with httpx.Client(base_url=f"http://{url}", timeout=20, trust_env=False) as client:
            _wait(client, process, folder / "log")

            def ask(expression: str) -> list[dict[str, Any]]:
                answer = client.get("/api/v1/query", params={"query": expression, "time": now}).json()
                assert answer["status"] == "success", answer
                result: list[dict[str, Any]] = answer["data"]["result"]
                return result

            yield ask
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if client.get("/-/ready").is_success:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.05)


def _selectors(expression: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


@pytest.mark.parametrize("block", blocks("promql"), ids=str)
def test_it_parses_and_names_only_series_and_labels_that_there_are(block: Block) -> None:
    selectors = _selectors(block.text)
    assert selectors
    for selector in selectors:
        assert selector.name in SERIES or selector.name in FOREIGN, selector.name
        labels = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name in SERIES:
            metric = SERIES[selector.name]
            assert labels <= {*metric.labels, *TARGET}, f"{selector.name}: {labels}"


@pytest.mark.parametrize("block", blocks("promql"), ids=str)
def test_what_it_aggregates_by_is_there(block: Block) -> None:
    known = {label for metric in names.CATALOGUE for label in metric.labels} | TARGET | {"le"}
    known |= {label for labels, _ in FOREIGN.values() for label in labels}

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            assert set(node.modifier.labels) <= known, node.modifier.labels

    promql_parser.walk(promql_parser.parse(block.text), visit)


@pytest.mark.parametrize("block", blocks("promql"), ids=str)
def test_it_finds_something(block: Block, query: Query) -> None:
    found = query(block.text)
    assert found, "no result"
    assert all(one["value"][1] != "NaN" for one in found), found
