"""Groups of tests for promtool, as values."""

from collections.abc import Sequence
from typing import Any

from exporter.rulegen.catalogue import WATCHES
from tests.rules.bench import RUNBOOKS, written
from tests.rules.cases import Series

WATCH = {watch.alert: watch for watch in WATCHES}

Test = dict[str, Any]


def on(target: dict[str, str], *series: Series) -> list[dict[str, str]]:
    return [
        {"series": f"{name}{{{written({**target, **labels})}}}", "values": values} for name, labels, values in series
    ]


def firing(alert: str, labels: dict[str, str], text: str, severity: str = "warning", summary: str = "") -> Test:
    return {
        "exp_labels": {**labels, "severity": severity},
        "exp_annotations": {
            "summary": summary or WATCH[alert].summary,
            "description": text,
            "runbook_url": RUNBOOKS.format(alert=alert.lower()),
        },
    }


def group(name: str, series: Sequence[dict[str, str]], *checks: tuple[str, int, list[Test]]) -> Test:
    rules = [{"alertname": alert, "eval_time": f"{minute}m", "exp_alerts": alerts} for alert, minute, alerts in checks]
    return {"name": name, "interval": "1m", "input_series": list(series), "alert_rule_test": rules}


def silent(minute: int, *but: str) -> list[tuple[str, int, list[Test]]]:
    return [(watch, minute, []) for watch in WATCH if watch not in {"PGQueueWatchdog", *but}]


def fired(tests: Sequence[Test]) -> set[tuple[str, str]]:
    """Alerts and severities of which some test expects to see them fire."""
    return {
        (check["alertname"], alert["exp_labels"]["severity"])
        for test in tests
        for check in test["alert_rule_test"]
        for alert in check["exp_alerts"]
    }
