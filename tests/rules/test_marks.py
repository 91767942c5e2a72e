"""Matches without a tenant in the chains of tenants: only where a later tenant's limit could be meant."""

import re
from pathlib import Path
from typing import Any

from exporter import rulegen
from tests.rules.bench import groups, thresholds

Override = dict[str, Any]


def override(warning: str = "1m", **match: str) -> Override:
    return {"match": match, "ready_age": {"warning": warning, "critical": "1d"}}


def marks(folder: Path, *overrides: Override) -> list[str]:
    """The matchers of the marks in the tenants' chain of warnings."""
    text = rulegen.prometheus(groups(thresholds({"overrides": list(overrides)}, folder), "ready_age"))
    chain = text.partition("record: queue_tenant:pgqueue_ready_age:threshold")[2].partition("record:")[0]
    return re.findall(r"value\{(.*)\}\) \* -1", chain)


def test_a_match_is_no_mark_for_tenants_of_other_queues(tmp_path: Path) -> None:
    assert marks(tmp_path, override(queue="a"), override(queue="b", tenant="t")) == []
    assert marks(tmp_path, override(queue="a*"), override(queue="b", tenant="t")) == []
    assert marks(tmp_path, override(source="x", queue="b"), override(source="y", queue="b", tenant="t")) == []


def test_a_match_after_the_last_tenant_is_no_mark(tmp_path: Path) -> None:
    assert marks(tmp_path, override(queue="b", tenant="t"), override(queue="b")) == []


def test_a_mark_names_the_tenants_that_follow_it(tmp_path: Path) -> None:
    before = [override(queue="c", tenant="early"), override(queue="a*")]
    after = [override(queue="?b", tenant="t"), override(tenant="u*"), override(queue="c", tenant="v")]
    assert marks(tmp_path, *before, *after) == ['queue=~"a.*",tenant=~"t|u.*"']


def test_a_mark_for_any_tenant_names_none(tmp_path: Path) -> None:
    assert marks(tmp_path, override(queue="a"), override(tenant="*")) == ['queue="a"']


def test_neighbours_share_a_mark(tmp_path: Path) -> None:
    """Queues before a tenant of all queues are one arm, however many."""
    queues = [override(queue=f"q{place}") for place in range(100)]
    (mark,) = marks(tmp_path, *queues, override(tenant="t"))
    assert mark.count("q") == 101
    assert mark.endswith(',tenant="t"')


def test_many_queues_cost_tenants_of_other_queues_nothing(tmp_path: Path) -> None:
    """A hundred queues' limits and a hundred tenants' take no arm more than the tenants' alone."""
    queues = [override(f"{place + 60}s", queue=f"q{place}") for place in range(100)]
    tenants = [override(f"{place + 60}s", queue=f"p{place}", tenant=f"t{place}") for place in range(100)]
    mixed = [one for pair in zip(queues, tenants, strict=True) for one in pair]
    assert marks(tmp_path, *mixed) == []


def test_where_comparing_would_take_long_marks_stand_as_they_are(tmp_path: Path) -> None:
    queues = [override(queue=f"q{place}") for place in range(600)]
    tenants = [override(queue=f"p{place}", tenant=f"t{place}") for place in range(600)]
    (mark,) = marks(tmp_path, *queues, *tenants)
    assert mark.count("q") == 601
    assert "tenant" not in mark
