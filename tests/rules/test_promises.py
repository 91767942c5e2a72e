"""Alerts of promises: each pair of windows fires after its time, and only when the budget burns fast enough."""

from pathlib import Path

from exporter import rulegen
from exporter.rulegen.catalogue import BURNS, SLO_ALERT, SLO_SUMMARY
from tests.rules.bench import RUNBOOKS, Bench, groups, replicated, thresholds
from tests.rules.cases import AGE, QUEUE
from tests.rules.claims import Test, fired, group

JOB = {"job": "pgqueue"}
WORK = ("pgqueue_queue_info", {**QUEUE, "role": "work"}, "1x400")


def burning(long: str, times: str, severity: str, short: str, missed: str = "100%") -> Test:
    return {
        "exp_labels": {**JOB, **QUEUE, "slo": "mail-start", "severity": severity, "long": long, "short": short},
        "exp_annotations": {
            "summary": SLO_SUMMARY,
            "description": "Queue mail (pgmq, database main): the promise mail-start was missed in "
            f"{missed} of the last {long}, more than {times} times what its budget allows.",
            "runbook_url": RUNBOOKS.format(alert=SLO_ALERT.lower()),
        },
    }


def new(minute: int) -> list[Test]:
    """What fires of a queue that has existed for so many minutes, and broken its promise in all of them."""
    windows = [
        (6, "1h", 60, "14.4", "critical", "5m"),
        (25, "6h", 360, "6", "critical", "30m"),
        (81, "1d", 1440, "3", "warning", "2h"),
        (201, "3d", 4320, "1", "warning", "6h"),
    ]
    return [
        burning(long, times, severity, short, f"{min(100 * (minute + 1) / minutes, 100):.4g}%")
        for begin, long, minutes, times, severity, short in windows
        if minute >= begin
    ]


PROMISES = [
    group(
        "a new queue, its promise broken all the time: each pair of windows once so much of the budget is gone, and"
        " its time over; once for two exporters",
        replicated(
            [
                (AGE, QUEUE, "61x220"),
                (AGE, {**QUEUE, "queue": "other"}, "999x220"),
                WORK,
            ]
        ),
        *((SLO_ALERT, minute, new(minute)) for minute in (1, 2, 5, 6, 24, 25, 59, 60, 80, 81, 200, 201)),
    ),
    group(
        "a queue that is known for long, and then breaks its promise: after as many minutes",
        replicated([(AGE, QUEUE, "1x299 61x60"), ("pgqueue_queue_info", {**QUEUE, "role": "work"}, "1x400")]),
        (SLO_ALERT, 305, []),
        (SLO_ALERT, 306, [burning("1h", "14.4", "critical", "5m", "11.67%")]),
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
