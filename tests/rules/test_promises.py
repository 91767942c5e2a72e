"""Alerts of promises: each pair of windows fires after its time, and only when the budget burns fast enough."""

from pathlib import Path

from exporter import rulegen
from exporter.rulegen.catalogue import BURNS, SLO_ALERT, SLO_SUMMARY
from tests.rules.bench import RUNBOOKS, Bench, groups, replicated, thresholds
from tests.rules.cases import AGE, QUEUE
from tests.rules.claims import Test, fired, group

JOB = {"job": "pgqueue"}
WORK = ("pgqueue_queue_info", {**QUEUE, "role": "work"}, "1x400")


def burning(long: str, times: str, severity: str, short: str) -> Test:
    return {
        "exp_labels": {**JOB, **QUEUE, "slo": "mail-start", "severity": severity, "long": long, "short": short},
        "exp_annotations": {
            "summary": SLO_SUMMARY,
            "description": "Queue mail (pgmq, database main): the promise mail-start was missed in 100% of the last "
            f"{long}, more than {times} times what its budget allows.",
            "runbook_url": RUNBOOKS.format(alert=SLO_ALERT.lower()),
        },
    }


_ALL = [
    burning("1h", "14.4", "critical", "5m"),
    burning("6h", "6", "critical", "30m"),
    burning("1d", "3", "warning", "2h"),
    burning("3d", "1", "warning", "6h"),
]

PROMISES = [
    group(
        "a promise broken all the time: each pair of windows after its time, once for two exporters",
        replicated(
            [
                (AGE, QUEUE, "61x200"),
                (AGE, {**QUEUE, "queue": "other"}, "999x200"),
                WORK,
            ]
        ),
        (SLO_ALERT, 1, []),
        (SLO_ALERT, 2, _ALL[:1]),
        (SLO_ALERT, 14, _ALL[:1]),
        (SLO_ALERT, 15, _ALL[:2]),
        (SLO_ALERT, 59, _ALL[:2]),
        (SLO_ALERT, 60, _ALL[:3]),
        (SLO_ALERT, 179, _ALL[:3]),
        (SLO_ALERT, 180, _ALL),
    ),
    group(
        "a promise kept, also by the second, and for a tenant with a limit of its own",
        replicated([(AGE, {**QUEUE, "tenant": "t"}, "60x200"), WORK]),
        (SLO_ALERT, 180, []),
    ),
    group(
        "a slice in a hundred is missed: the budget of 0.5 % burns twice too fast, which is no page",
        replicated(
            [
                (AGE, QUEUE, "61 60x98 61 60x98 61 60x98 61 60x98"),
                WORK,
            ]
        ),
        (SLO_ALERT, 170, []),
    ),
]


def test_a_promise_is_told_when_its_budget_burns_too_fast(tmp_path: Path, each_promtool: Path) -> None:
    bench = Bench(tmp_path, each_promtool)
    promise = {"name": "mail-start", "match": {"queue": "mail"}, "objective": "99.5%", "ready_age": "1m"}
    promised = rulegen.prometheus(groups(thresholds({"slo": [promise]}, tmp_path), "slo"))
    for one in PROMISES:
        bench.add(one["name"], promised, [one])
    assert bench.broken() == {}


def test_every_pair_of_windows_fires_in_some_test() -> None:
    assert fired(PROMISES) == {(SLO_ALERT, burn.severity) for burn in BURNS}
