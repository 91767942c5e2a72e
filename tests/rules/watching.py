"""What fires the alerts on exporters and databases, and what does not."""

from tests.rules.bench import TARGETS
from tests.rules.cases import QUEUE
from tests.rules.claims import firing, group, on, silent

A, B = TARGETS
PART = {"database": "main", "source": "pgmq", "part": "head"}

JOB = {"job": "pgqueue"}
DOWN, ABSENT, DATABASE = "PGQueueExporterDown", "PGQueueExporterAbsent", "PGQueueDatabaseDown"
STALE, FAILING, HIDDEN = "PGQueueDataStale", "PGQueueCollectionFailing", "PGQueueRowsHidden"
RELOAD = "PGQueueConfigReloadFailing"
BUDGET, CEILING, RULES, DOG = "PGQueueBudgetStretched", "PGQueueSeriesLimit", "PGQueueRulesFailing", "PGQueueWatchdog"

_B_DOWN = firing(
    DOWN, {"job": "pgqueue", "instance": "b:9718", "pod": "b"}, "Exporter b:9718 has not answered a scrape."
)
_NOBODY = (
    "Exporter a:9718 has not answered a scrape, and no other exporter of the job does: the queues are not watched."
)
TARGET = {"job": "pgqueue", "instance": "a:9718", "pod": "a"}
ALIVE = on(A, ("up", {}, "1x60"), ("pgqueue_up", {"database": "main"}, "1x60"))

EXPORTERS = [
    group(
        "one of two exporters dies: a warning about it, and nothing else",
        [*ALIVE, *on(B, ("up", {}, "1x4 0x60"), ("pgqueue_up", {"database": "main"}, "1x4 stale"))],
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
                firing(DOWN, TARGET, "Exporter a:9718 has not answered a scrape."),
                firing(DOWN, TARGET, _NOBODY, "critical", "No exporter answers."),
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
            65,
            [
                firing(
                    DATABASE,
                    {**JOB, "database": "main"},
                    "Database main cannot be read by any exporter.",
                    "critical",
                )
            ],
        ),
        (DATABASE, 66, []),  # read again: what it mutes is not muted for longer
    ),
]
