"""What fires the alerts on parts of the collection, and what does not."""

from tests.rules.bench import replicated
from tests.rules.cases import QUEUE
from tests.rules.claims import firing, group, on, silent
from tests.rules.watching import (
    ALIVE,
    BUDGET,
    CEILING,
    DOG,
    FAILING,
    HIDDEN,
    JOB,
    PART,
    RELOAD,
    RULES,
    STALE,
    TARGET,
    A,
    B,
)

_REFUSES = firing(
    RELOAD,
    TARGET,
    "Exporter a:9718 runs on with a former configuration: its log names what is wrong with the present one, with which "
    "a restart would fail.",
)

#: A job table's own, of no queue.
TABLE = {"database": "main", "source": "jobtable:tracking"}

PARTS = [
    group(
        "a part, and a queue, that no exporter has read for long",
        [
            *ALIVE,
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
            *ALIVE,
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
        [*ALIVE, *replicated([("pgqueue_rows_hidden", QUEUE, "0x4 1x60")])],
        (HIDDEN, 9, []),
        (
            HIDDEN,
            10,
            [
                firing(
                    HIDDEN,
                    {**JOB, **QUEUE},
                    "Queue mail (pgmq, database main): row-level security hides its rows, or its archive's, so what "
                    "these would tell is not watched.",
                )
            ],
        ),
    ),
    group(
        "rows of a job table that row-level security hides",
        [*ALIVE, *replicated([("pgqueue_rows_hidden", TABLE, "0x4 1x60")])],
        (HIDDEN, 9, []),
        (
            HIDDEN,
            10,
            [
                firing(
                    HIDDEN,
                    {**JOB, **TABLE},
                    "Database main, jobtable:tracking: row-level security hides rows of this job table or of what it "
                    "is joined with: what became of jobs, or whose they were, is not known.",
                )
            ],
        ),
    ),
    group(
        "a part stretched beyond a minute, and one switched off again and again",
        [
            *ALIVE,
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
                    "Database main, pgmq: part tenants costs more than the budget allows: it is read every 1m 1s.",
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
                    "Database main, pgmq: part tenants costs more than the budget allows: it is read every 1m 1s.",
                ),
                firing(
                    BUDGET,
                    {**JOB, **PART},
                    "Database main, pgmq: part head costs more than the budget allows, even if read once a minute: "
                    "it is off, and tried again every ten minutes.",
                ),
            ],
        ),
    ),
    group(
        "long intervals that are configured are not stretched ones",
        [
            *ALIVE,
            *replicated(
                [
                    ("pgqueue_collection_interval_seconds", PART, "300x60"),
                    ("pgqueue_collection_interval_seconds", {**PART, "part": "counts"}, "300x60"),
                    (
                        "pgqueue_collection_interval_seconds",
                        {"database": "main", "source": "", "part": "vacuum"},
                        "1200x60",
                    ),
                    ("pgqueue_collection_interval_seconds", {**PART, "database": "other"}, "5x60"),
                    (
                        "pgqueue_collection_interval_seconds",
                        {**PART, "database": "other", "part": "full_look"},
                        "3600x60",
                    ),
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
                    {**TARGET, "database": "main"},
                    "Exporter a:9718 shows fewer tenants of database main than configured, because its page would pass "
                    "its ceiling of 50000 series; the others are in _other.",
                )
            ],
        ),
    ),
    group(
        "a configuration that one exporter refuses, and the other takes",
        [
            *on(A, ("up", {}, "1x60"), ("pgqueue_config_reload_success", {}, "1x4 0x25 1x60")),
            *on(B, ("up", {}, "1x60"), ("pgqueue_config_reload_success", {}, "1x60")),
        ],
        (RELOAD, 14, []),
        (RELOAD, 15, [_REFUSES]),
        (RELOAD, 40, [_REFUSES]),
        (RELOAD, 41, []),
        *silent(15, RELOAD),
    ),
    group(
        "rules of ours that fail, not those of others",
        [
            *ALIVE,
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
        ALIVE,
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
