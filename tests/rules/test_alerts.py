"""For every signal and severity: silent at the limit, silent just before `for`, firing at it, held, gone."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporter import rulegen
from exporter.rulegen.catalogue import SEVERITIES
from exporter.rulegen.signals import SIGNAL, SIGNALS
from tests.rules.bench import RUNBOOKS, Bench, groups, replicated, thresholds
from tests.rules.cases import CASES, Case


def rules(case: Case, severity: str, folder: Path, **more: Any) -> str:
    limits = {**dict.fromkeys(SEVERITIES, "off"), severity: _plain(case.limit)}
    others = {name: "off" for name in SIGNAL if name != case.signal}
    content = {"defaults": {**others, case.signal: limits}, **more}
    return rulegen.prometheus(groups(thresholds(content, folder), case.signal))


def _plain(limit: str) -> str | float:
    return float(limit) if re.fullmatch(r"[0-9.]+", limit) else limit


def expected(case: Case, severity: str) -> dict[str, Any]:
    signal = SIGNAL[case.signal]
    return {
        "exp_labels": {"job": "pgqueue", **case.labels, "severity": severity},
        "exp_annotations": {
            "summary": signal.summary,
            "description": case.text,
            "runbook_url": RUNBOOKS.format(alert=signal.alert.lower()),
        },
    }


def claims(case: Case, severity: str) -> Iterator[dict[str, Any]]:
    """What must hold of one alert, as promtool's groups."""
    alert = SIGNAL[case.signal].alert

    def at(minute: int, *alerts: dict[str, Any]) -> dict[str, Any]:
        return {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": list(alerts)}

    fires = case.onset + case.for_
    firing = expected(case, severity)
    held = 12 if case.signal == "stalled" else 10
    interval = "1m"
    yield {
        "name": f"{alert} is silent at its limit",
        "interval": interval,
        "input_series": replicated(case.at_limit),
        "alert_rule_test": [at(minute) for minute in (fires - 1, fires, fires + 5, fires + 20)],
    }
    yield {
        "name": f"{alert} fires after its time, once for two exporters, and stays for a while",
        "interval": interval,
        "input_series": replicated(case.above),
        "alert_rule_test": [
            at(fires - case.step),
            at(fires, firing),
            *([] if case.step > 1 else [at(case.end + held - 1, firing), at(case.end + held + 2 + case.slack)]),
        ],
    }


def vanishing(case: Case) -> dict[str, Any]:
    """Series above the limit that go before the alert fires."""
    short = case.onset + case.for_ - 1
    alert = SIGNAL[case.signal].alert
    gone = [(name, labels, _until(values, case.onset + 1)) for name, labels, values in case.above]
    times = [short, case.onset + case.for_, case.onset + case.for_ + 3, case.onset + case.for_ + 60]
    return {
        "name": f"{alert} does not outlive its series",
        "interval": "1m",
        "input_series": replicated(gone),
        "alert_rule_test": [{"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []} for minute in times],
    }


def _until(values: str, minute: int) -> str:
    """The first samples of a series, and then none."""
    samples: list[str] = []
    for part in values.split():
        first, step, count = re.fullmatch(r"(-?[\d.]+)([+-]\d+)?x(\d+)", part).groups()  # type: ignore[union-attr]  # ours
        samples += [f"{float(first) + place * float(step or 0):g}" for place in range(int(count) + 1)]
    return " ".join([*samples[:minute], "stale"])


def test_an_alert_fires_when_it_should_and_only_then(tmp_path: Path, each_promtool: Path) -> None:
    bench = Bench(tmp_path, each_promtool)
    for case in CASES:
        for severity in SEVERITIES:
            made = rules(case, severity, tmp_path)
            bench.add(f"{case.signal} {severity}", made, list(claims(case, severity)), f"{case.step}m")
    assert bench.broken() == {}


def test_an_alert_does_not_outlive_its_series(tmp_path: Path, each_promtool: Path) -> None:
    """But for rates, whose windows do, as do the queues that they are kept by."""
    bench = Bench(tmp_path, each_promtool)
    for case in CASES:
        made = rules(case, "warning", tmp_path)
        if case.end < 100 and "increase" not in made:
            bench.add(case.signal, made, [vanishing(case)], f"{case.step}m")
    assert len(bench.files) > 15
    assert bench.broken() == {}


def test_an_alert_is_silent_where_it_is_off(tmp_path: Path, promtool: Path) -> None:
    bench = Bench(tmp_path, promtool)
    for case in CASES:
        muted = [{"match": {"database": "main"}, case.signal: "off"}]
        made = rules(case, "warning", tmp_path, overrides=muted)
        assert "* Inf" in made
        fires = case.onset + case.for_
        check = {"alertname": SIGNAL[case.signal].alert, "exp_alerts": []}
        test = {
            "name": f"{case.signal} is off",
            "interval": "1m",
            "input_series": replicated(case.above),
            "alert_rule_test": [{**check, "eval_time": f"{minute}m"} for minute in (fires, fires + 5)],
        }
        bench.add(case.signal, made, [test], f"{case.step}m")
    assert bench.broken() == {}


def test_every_signal_has_a_case() -> None:
    assert {case.signal for case in CASES} == {signal.name for signal in SIGNALS}
