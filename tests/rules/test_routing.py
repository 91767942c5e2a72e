"""Labels for routing: whose alerts get them, and whose do not."""

from pathlib import Path
from typing import Any

import pytest

from exporter import rulegen
from tests.rules.bench import Bench, groups, replicated, thresholds
from tests.rules.cases import AGE, QUEUE
from tests.rules.claims import group

WORK = ("pgqueue_queue_info", {**QUEUE, "role": "work"}, "1x20")


def _labels(*routes: tuple[dict[str, str], dict[str, str]]) -> dict[str, Any]:
    return {"labels": [{"match": match, "labels": labels} for match, labels in routes]}


@pytest.mark.parametrize("glob", ["*", "**"])
def test_any_tenant_is_not_no_tenant(glob: str, tmp_path: Path, promtool: Path) -> None:
    """The alert on a tenant gets the tenants' label; the one on its whole queue, which has no tenant, does not."""
    customers = _labels(({"tenant": glob}, {"audience": "customer"}))
    own = {"overrides": [{"match": {"tenant": "t"}, "ready_age": {"warning": "1m"}}]}
    made = rulegen.prometheus(groups(thresholds({**customers, **own}, tmp_path), "ready_age"))
    series = replicated([(AGE, QUEUE, "400x20"), (AGE, {**QUEUE, "tenant": "t"}, "100x20"), WORK])
    expected = group("any tenant", series)
    named = 'ALERTS{alertname="PGQueueReadyAgeHigh",alertstate="firing"}'
    expected["promql_expr_test"] = [
        {
            "expr": f"count by (tenant, audience) ({named})",
            "eval_time": "10m",
            "exp_samples": [{"labels": "{}", "value": 1}, {"labels": '{tenant="t",audience="customer"}', "value": 1}],
        }
    ]
    bench = Bench(tmp_path, promtool)
    bench.add("any tenant", made, [expected])
    assert bench.broken() == {}
