"""Every block of PromQL of the runbooks parses, names only series that there are, and finds some in a Prometheus."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator

import promql_parser
import pytest

from exporter import names
from tests.prometheus import Prometheus, Series, program
from tests.runbook_series import FOREIGN, INSTANCES, STEP, openmetrics
from tests.runbooks import Block, blocks

SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}
KNOWN = {metric.name + suffix: metric for metric in names.CATALOGUE for suffix in SUFFIXES.get(metric.kind, ("",))}
# Labels that Prometheus adds to each series of a target.
TARGET = {"job", "instance"}

Query = Callable[[str], list[Series]]


@pytest.fixture(scope="module")
def query() -> Iterator[Query]:
    """Instant queries to a Prometheus that has a day of `openmetrics`, at the last of its times."""
    found = program("prometheus")
    if found is None:
        pytest.skip("prometheus is not here: run `.ci/tools`")
    now = int(time.time()) // STEP * STEP
    with Prometheus(found, past=openmetrics(now)) as prometheus:
        yield lambda expression: prometheus.query(expression, at=now)


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
        assert selector.name in KNOWN or selector.name in FOREIGN, selector.name
        labels = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name in KNOWN:
            metric = KNOWN[selector.name]
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
    assert not any(math.isnan(one.value) for one in found), found


def _of_one_exporter(expression: str) -> str:
    """The same, asked of the first exporter alone."""
    name = "|".join(sorted(KNOWN, key=len, reverse=True))
    only = f'instance="{INSTANCES[0]}"'
    return re.sub(rf"\b({name})\b(?:\{{([^}}]*)\}})?", rf"\1{{{only},\2}}", expression)


@pytest.mark.parametrize("block", blocks("promql"), ids=str)
def test_two_exporters_of_one_database_make_no_number_larger(block: Block, query: Query) -> None:
    def values(expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        return {tuple(sorted(one.labels.items())): one.value for one in query(expression)}

    alone, both = values(_of_one_exporter(block.text)), values(block.text)
    assert alone
    assert {key: both[key] for key in alone} == pytest.approx(alone)
    others = {dict(key).get("instance") for key in both.keys() - alone.keys()}
    assert others <= {INSTANCES[1]}
