"""The watcher's own alerts: what fires them, what does not, and what they say."""

from pathlib import Path

import pytest

from exporter import rulegen
from exporter.rulegen.catalogue import WATCHES
from tests.rules.bench import TARGETS, Bench, groups, replicated, thresholds
from tests.rules.cases import QUEUE
from tests.rules.claims import fired, firing, group, on, silent

A, B = TARGETS
PART = {"database": "main", "source": "pgmq", "part": "head"}

JOB = {"job": "pgqueue"}
DOWN, ABSENT, DATABASE = "PGQueueExporterDown", "PGQueueExporterAbsent", "PGQueueDatabaseDown"
STALE, FAILING, HIDDEN = "PGQueueDataStale", "PGQueueCollectionFailing", "PGQueueRowsHidden"
BUDGET, CEILING, RULES, DOG = "PGQueueBudgetStretched", "PGQueueSeriesLimit", "PGQueueRulesFailing", "PGQueueWatchdog"

_B_DOWN = firing(
    DOWN, {"job": "pgqueue", "instance": "b:9718", "pod": "b"}, "Exporter b:9718 has not answered a scrape."
)
_NOBODY = (
    "Exporter a:9718 has not answered a scrape, and no other exporter of the job does: the queues are not watched."
)
_A = {"job": "pgqueue", "instance": "a:9718", "pod": "a"}
_ALIVE = on(A, ("up", {}, "1x60"), ("pgqueue_up", {"database": "main"}, "1x60"))

GROUPS = [
    group(
        "one of two exporters dies: a warning about it, and nothing else",
        [*_ALIVE, *on(B, ("up", {}, "1x4 0x60"), ("pgqueue_up", {"database": "main"}, "1x4 stale"))],
        (DOWN, 9, []),
        (DOWN, 10, [_B_DOWN]),
        (DOWN, 30, [_B_DOWN]),
        *silent(30, DOWN),
    ),
    group(
        "the only exporter dies: a warning and a critical one, and nothing else",
        on(
            A,
            ("up", {}, "1x4 0x60"),
            ("pgqueue_up", {"database": "main"}, "1x4 stale"),
            ("pgqueue_collection_timestamp_seconds", PART, "0+60x4 stale"),
            ("pgqueue_collection_interval_seconds", PART, "5x4 stale"),
            ("pgqueue_queue_collection_timestamp_seconds", QUEUE, "0+60x4 stale"),
            ("pgqueue_collection_success", PART, "1x4 stale"),
        ),
        (DOWN, 9, []),
        (
            DOWN,
            10,
            [
                firing(DOWN, _A, "Exporter a:9718 has not answered a scrape."),
                firing(DOWN, _A, _NOBODY, "critical", "No exporter answers."),
            ],
        ),
        *silent(12, DOWN),
        *silent(30, DOWN),
    ),
    group(
        "no exporter at all",
        on({"job": "other"}, ("up", {}, "1x60")),
        (ABSENT, 9, []),
        (
            ABSENT,
            10,
            [firing(ABSENT, JOB, "Prometheus has no target with job=pgqueue: the queues are not watched.", "critical")],
        ),
    ),
    group(
        "a database that one exporter can read is not down; one that none can is",
        [
            *on(A, ("up", {}, "1x90"), ("pgqueue_up", {"database": "main"}, "1x4 0x60 1x20")),
            *on(B, ("up", {}, "1x90"), ("pgqueue_up", {"database": "main"}, "1x20 0x44 1x20")),
        ],
        (DATABASE, 20, []),
        (DATABASE, 22, []),
        (
            DATABASE,
            23,
            [
                firing(
                    DATABASE,
                    {**JOB, "database": "main"},
                    "Database main cannot be read by any exporter.",
                    "critical",
                )
            ],
        ),
        (
            DATABASE,
            70,
            [
                firing(
                    DATABASE,
                    {**JOB, "database": "main"},
                    "Database main cannot be read by any exporter.",
                    "critical",
                )
            ],
        ),
        (DATABASE, 80, []),
    ),
    group(
        "a part, and a queue, that no exporter has read for long",
        [
            *_ALIVE,
            *replicated(
                [
                    ("pgqueue_collection_timestamp_seconds", PART, "0+60x4 240x60"),
                    ("pgqueue_collection_timestamp_seconds", {**PART, "part": "counts"}, "0+60x60"),
                    ("pgqueue_collection_interval_seconds", PART, "5x60"),
                    ("pgqueue_collection_interval_seconds", {**PART, "part": "counts"}, "5x60"),
                    ("pgqueue_queue_collection_timestamp_seconds", QUEUE, "0+60x4 240x60"),
                    ("pgqueue_queue_collection_timestamp_seconds", {**QUEUE, "queue": "other"}, "0+60x60"),
                ]
            ),
        ],
        (STALE, 10, []),
        (
            STALE,
            11,
            [
                firing(
                    STALE,
                    {**JOB, **PART},
                    "Database main, pgmq, part head: the last successful collection was 7m 0s ago.",
                )
            ],
        ),
        (
            STALE,
            15,
            [
                firing(
                    STALE,
                    {**JOB, **PART},
                    "Database main, pgmq, part head: the last successful collection was 11m 0s ago.",
                ),
                firing(
                    STALE,
                    {**JOB, **QUEUE},
                    "Database main, pgmq, queue mail: the last successful collection was 11m 0s ago.",
                ),
            ],
        ),
    ),
    group(
        "a part that fails at one exporter is read by the other; one that fails at both is told",
        [
            *_ALIVE,
            *on(A, ("pgqueue_collection_success", PART, "1x4 0x60")),
            *on(B, ("pgqueue_collection_success", PART, "1x14 0x50")),
        ],
        (FAILING, 24, []),
        (
            FAILING,
            25,
            [
                firing(
                    FAILING,
                    {**JOB, **PART},
                    "Database main, pgmq: part head fails at every exporter; "
                    "`pgqueue_collection_errors_total` says why.",
                )
            ],
        ),
    ),
    group(
        "rows that row-level security hides",
        [*_ALIVE, *replicated([("pgqueue_rows_hidden", QUEUE, "0x4 1x60")])],
        (HIDDEN, 9, []),
        (
            HIDDEN,
            10,
            [
                firing(
                    HIDDEN,
                    {**JOB, **QUEUE},
                    "Queue mail (pgmq, database main): row-level security hides its rows, so nothing of it is watched.",
                )
            ],
        ),
    ),
    group(
        "a part stretched beyond a minute, and one switched off again and again",
        [
            *_ALIVE,
            *replicated(
                [
                    ("pgqueue_collection_interval_seconds", PART, "5x60"),
                    ("pgqueue_collection_interval_seconds", {**PART, "part": "full_look"}, "60x60"),
                    ("pgqueue_collection_interval_seconds", {**PART, "part": "tenants"}, "60x4 61x60"),
                    ("pgqueue_collection_errors_total", {**PART, "reason": "budget"}, "1x14 2x60"),
                    ("pgqueue_collection_errors_total", {**PART, "reason": "timeout"}, "1+1x60"),
                ]
            ),
        ],
        (BUDGET, 19, []),
        (
            BUDGET,
            20,
            [
                firing(
                    BUDGET,
                    {**JOB, **PART, "part": "tenants"},
                    "Database main, pgmq: part tenants costs more than the budget allows: it is read every 1m 1s, "
                    "or not at all.",
                )
            ],
        ),
        (
            BUDGET,
            32,
            [
                firing(
                    BUDGET,
                    {**JOB, **PART, "part": "tenants"},
                    "Database main, pgmq: part tenants costs more than the budget allows: it is read every 1m 1s, "
                    "or not at all.",
                ),
                firing(
                    BUDGET,
                    {**JOB, **PART},
                    "Database main, pgmq: part head costs more than the budget allows: it is read every 5s, "
                    "or not at all.",
                ),
            ],
        ),
    ),
    group(
        "long intervals that are configured are not stretched ones",
        [
            *_ALIVE,
            *replicated(
                [
                    ("pgqueue_collection_interval_seconds", PART, "300x60"),
                    ("pgqueue_collection_interval_seconds", {**PART, "part": "counts"}, "300x60"),
                ]
            ),
        ],
        (BUDGET, 40, []),
    ),
    group(
        "a page at its ceiling",
        [
            *on(
                A,
                ("up", {}, "1x60"),
                ("pgqueue_series_limited", {"database": "main"}, "0x4 1x60"),
                ("pgqueue_series_limit", {}, "50000x60"),
            )
        ],
        (CEILING, 19, []),
        (
            CEILING,
            20,
            [
                firing(
                    CEILING,
                    {**_A, "database": "main"},
                    "Exporter a:9718 shows fewer tenants of database main than configured, because its page would pass "
                    "its ceiling of 50000 series; the others are in _other.",
                )
            ],
        ),
    ),
    group(
        "rules of ours that fail, not those of others",
        [
            *_ALIVE,
            *on(
                {"job": "prometheus", "instance": "p"},
                (
                    "prometheus_rule_evaluation_failures_total",
                    {"rule_group": "/etc/p.yml;pgqueue.backlog"},
                    "0x4 1+1x60",
                ),
                ("prometheus_rule_evaluation_failures_total", {"rule_group": "/etc/o.yml;other"}, "0+1x60"),
            ),
        ],
        (RULES, 9, []),
        (
            RULES,
            30,
            [
                firing(
                    RULES,
                    {"job": "prometheus", "rule_group": "/etc/p.yml;pgqueue.backlog"},
                    "Rule group /etc/p.yml;pgqueue.backlog: 10 evaluations failed in 10 minutes.",
                )
            ],
        ),
    ),
    group(
        "the watchdog always fires, and the loaded rules are known",
        _ALIVE,
        (
            DOG,
            0,
            [
                firing(
                    DOG,
                    {},
                    "This alert always fires; its absence at the receiver means that alerting is broken.",
                    "none",
                )
            ],
        ),
        *silent(0),
        *silent(59),
    ),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, each_promtool: Path) -> dict[str, str]:
    bench = Bench(tmp_path_factory.mktemp("watch"), each_promtool)
    own = rulegen.prometheus(groups(thresholds({}, bench.folder), "watch"))
    for one in GROUPS:
        bench.add(one["name"], own, [one])
    return bench.run()


@pytest.mark.parametrize("name", [one["name"] for one in GROUPS])
def test_the_watcher(name: str, told: dict[str, str]) -> None:
    assert told[name] == ""


def test_every_alert_of_the_watcher_fires_in_some_test() -> None:
    assert fired(GROUPS) == {(watch.alert, severity) for watch in WATCHES for severity in watch.severities}


def test_an_alert_that_is_switched_off_is_not_there(tmp_path: Path) -> None:
    off = {watch.alert: "off" for watch in WATCHES if watch.alert != "PGQueueWatchdog"}
    rules = groups(thresholds({"watch": off}, tmp_path), "watch")[0].rules
    assert [rule.name for rule in rules] == ["pgqueue:rules:info", "PGQueueWatchdog"]


def test_another_time_is_taken(tmp_path: Path) -> None:
    found = thresholds({"watch": {"PGQueueExporterDown": {"for": "10s"}}}, tmp_path)
    text = rulegen.prometheus(groups(found, "watch"))
    assert text.count("for: 10s") == 2
