"""Every metric, label and fixed label value, written once.

Exposition, tests and ``docs/metrics.md`` take their names from here; a name typed elsewhere is a bug.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

PREFIX: Final = "pgqueue_"

DATABASE: Final = "database"
SOURCE: Final = "source"
QUEUE: Final = "queue"
TENANT: Final = "tenant"

#: Upper bounds of the duration histograms, in seconds; ``+Inf`` is implied.
BUCKETS: Final[tuple[float, ...]] = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600)

# Values of the label `state` of pgqueue_jobs.
READY: Final = "ready"
SCHEDULED: Final = "scheduled"
IN_FLIGHT: Final = "in_flight"
BLOCKED: Final = "blocked"

# Values of the label `outcome`.
COMPLETED: Final = "completed"
#: Also a state: ended without success, still in the table.
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
ARCHIVED: Final = "archived"
DEAD_LETTERED: Final = "dead_lettered"

# Values of the label `role`.
WORK: Final = "work"
DEAD_LETTER: Final = "dead_letter"

# Values of the label `table`.
QUEUE_TABLE: Final = "queue"
ARCHIVE_TABLE: Final = "archive"

# Values of the label `state` of pgqueue_worker_processes.
ALIVE: Final = "alive"
SILENT: Final = "silent"

# Values of the label `part`: what one collection is made of.
HEAD: Final = "head"
COUNTERS: Final = "counters"
COUNTS: Final = "counts"
FINISHED: Final = "finished"
FULL_LOOK: Final = "full_look"
TENANTS: Final = "tenants"
MAINTENANCE: Final = "maintenance"
VACUUM: Final = "vacuum"

Kind = Literal["gauge", "counter", "histogram"]


class Metric(NamedTuple):
    """One metric family.

    ``name`` is the full name of its samples (a counter's ends in ``_total``); ``unit`` is what a value of 1
    means, empty for counts and flags.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str


_CATALOGUE: list[Metric] = []


def _metric(kind: Kind, name: str, labels: tuple[str, ...], help_: str, unit: str = "") -> Metric:
    metric = Metric(PREFIX + name, kind, labels, unit, help_)
    _CATALOGUE.append(metric)
    return metric


_QUEUE = (DATABASE, SOURCE, QUEUE)
_TENANT = (*_QUEUE, TENANT)
_PART = (DATABASE, SOURCE, "part")

JOBS = _metric(
    "gauge",
    "jobs",
    (*_TENANT, "state"),
    "Jobs by state. States are disjoint; every state the source has is there for a known queue, 0 included.",
)
JOBS_ESTIMATED = _metric(
    "gauge",
    "jobs_estimated",
    _QUEUE,
    "1 when a counting limit was reached, so that the queue's counts are estimates, else 0.",
)
OLDEST_READY_AGE = _metric(
    "gauge",
    "oldest_ready_age_seconds",
    _TENANT,
    "Seconds since the longest-ready job became ready; 0 when none is ready.",
    "seconds",
)
OLDEST_JOB_AGE = _metric(
    "gauge",
    "oldest_job_age_seconds",
    _QUEUE,
    "Seconds since the oldest unfinished job, of any state, was enqueued; 0 when the queue is empty.",
    "seconds",
)
OLDEST_IN_FLIGHT_AGE = _metric(
    "gauge",
    "oldest_in_flight_age_seconds",
    _QUEUE,
    "Seconds for which the longest lease has been held; 0 when none; absent where the source cannot know.",
    "seconds",
)
STALLED = _metric(
    "gauge",
    "stalled_seconds",
    _QUEUE,
    "Seconds for which jobs have been ready while neither a dequeue nor a finish was seen; "
    "counts from the exporter's start.",
    "seconds",
)
UNREADY_HEAD = _metric(
    "gauge",
    "unready_head_jobs",
    _QUEUE,
    "Jobs with a lower id than the first ready one (all, when none is ready), up to the counting limit: "
    "what every pgmq.read walks past.",
)
REDELIVERED = _metric(
    "gauge",
    "redelivered_jobs",
    _QUEUE,
    "Jobs read more often than the poison limit, among the first 1,000 leased by visibility time and the "
    "first 100 by id. Not on dead letter queues.",
)
ENQUEUED = _metric(
    "counter",
    "jobs_enqueued_total",
    _QUEUE,
    "Jobs enqueued since the exporter started, attempts that were rolled back included.",
)
DEQUEUED = _metric(
    "counter",
    "jobs_dequeued_total",
    _QUEUE,
    "Dequeues since the exporter started (pgmq: reads, lease changes and attempts that were rolled back included).",
)
FINISHED_JOBS = _metric(
    "counter",
    "jobs_finished_total",
    (*_TENANT, "outcome"),
    "Jobs finished since the exporter started, by outcome (pgmq: deleted or popped is completed; attempts that "
    "were rolled back included).",
)
RETRIED = _metric(
    "counter",
    "jobs_retried_total",
    _TENANT,
    "Planned further attempts, where the source records them (pg-boss: those of a job, when it ends).",
)
WAIT = _metric(
    "histogram",
    "job_wait_seconds",
    _TENANT,
    "Seconds from becoming ready to the dequeue of the attempt that finished (pgmq: of archived jobs that were "
    "read once; a planned delay is inside it).",
    "seconds",
)
RUN = _metric(
    "histogram",
    "job_run_seconds",
    (*_TENANT, "outcome"),
    "Seconds from the dequeue to the end of the attempt that finished (pgmq: of archived jobs).",
    "seconds",
)
JOBS_EXPIRED = _metric(
    "gauge",
    "jobs_expired",
    _QUEUE,
    "Jobs in flight past their expiry or heartbeat (pg-boss), that its supervision has not failed yet.",
)
QUEUE_INFO = _metric(
    "gauge",
    "queue_info",
    (*_QUEUE, "role", "dead_letter_queue", "dead_letter_for", "partitioned", "unlogged", "policy"),
    "Always 1: what is known about the queue, exactly one series a queue.",
)
RETRY_LIMIT = _metric(
    "gauge",
    "queue_retry_limit",
    _QUEUE,
    "Further attempts that a job of the queue gets by default, where the source records it.",
)
TABLE_DEAD_ROWS = _metric(
    "gauge",
    "table_dead_rows",
    (*_QUEUE, "table"),
    "Dead rows of the queue's tables, as the statistics know them; of a table that several queues share: without "
    "a queue.",
)
TABLE_LIVE_ROWS = _metric(
    "gauge",
    "table_live_rows",
    (*_QUEUE, "table"),
    "Live rows of the queue's tables, as the statistics know them.",
)
TABLE_BYTES = _metric(
    "gauge",
    "table_bytes",
    (*_QUEUE, "table"),
    "Bytes of the table and its TOAST table, as the last VACUUM or ANALYZE counted its pages.",
    "bytes",
)
TABLE_LAST_VACUUM = _metric(
    "gauge",
    "table_last_vacuum_timestamp_seconds",
    (*_QUEUE, "table"),
    "When the table (of a partitioned one: the partition where it is longest ago) was last vacuumed, by hand or "
    "automatically; absent when never.",
    "seconds",
)
VACUUM_HORIZON_AGE = _metric(
    "gauge",
    "vacuum_horizon_age_seconds",
    (DATABASE, "holder"),
    "Seconds for which each kind of holder has kept dead rows from being removed; replication slots and standbys, "
    "which carry no time, count from when the exporter first saw this horizon.",
    "seconds",
)
SOURCE_MAINTENANCE = _metric(
    "gauge",
    "source_maintenance_timestamp_seconds",
    (DATABASE, SOURCE, "task"),
    "When the queue system's own housekeeping last ran (pg-boss: monitor and maintain, of the queue where it is "
    "longest ago; cron; of newer versions bam, flow, reindex). monitor is also the age of its cached counts.",
    "seconds",
)
WORKER_PROCESSES = _metric(
    "gauge",
    "worker_processes",
    (DATABASE, SOURCE, "state"),
    "Processes that run workers, by their own heartbeat, where the source records it.",
)
WORKERS_GONE = _metric(
    "gauge",
    "workers_gone_seconds",
    (DATABASE, SOURCE),
    "Seconds with jobs ready or in flight and no worker process alive, as this exporter saw it; else 0.",
    "seconds",
)
SCHEDULE_OVERDUE = _metric(
    "gauge",
    "schedule_overdue_seconds",
    (*_QUEUE, "schedule"),
    "Seconds by which a recurring job is late (pg-boss cron; the schedule's key, empty without one); 0 on time, "
    "which one minute late still is.",
    "seconds",
)
SOURCE_WARNINGS = _metric(
    "counter",
    "source_warnings_total",
    (DATABASE, SOURCE, "type"),
    "Warnings that the queue system itself has recorded since the exporter started, by type.",
)
ROWS_HIDDEN = _metric(
    "gauge",
    "rows_hidden",
    _QUEUE,
    "1 when row-level security hides rows of this queue from the exporter; its other series are then absent, or where "
    "only its archive is hidden, those of what that tells. Of a job table, or what it is joined with: without a queue.",
)
TENANTS_SHOWN = _metric("gauge", "tenants_shown", _QUEUE, "Tenants of the queue that have series of their own.")
TENANTS_HIDDEN = _metric("gauge", "tenants_hidden", _QUEUE, "Tenants inside `_other`, as far as they were seen.")
TENANTS_FOLDED = _metric(
    "counter",
    "tenant_values_folded_total",
    _QUEUE,
    "Tenant values over 128 characters or with control characters, of which a short form is shown, since the exporter "
    "started; each as often as it was seen anew.",
)
SERIES = _metric("gauge", "series", (), "Series of this exporter's queues and collections on this page.")
SERIES_LIMIT = _metric("gauge", "series_limit", (), "The ceiling on the series of this page.")
SERIES_LIMITED = _metric(
    "gauge",
    "series_limited",
    (DATABASE,),
    "1 while fewer tenants than configured have series of their own, because the page would pass its ceiling.",
)
UP = _metric("gauge", "up", (DATABASE,), "1 when the database answered in the last cycle, else 0.")
QUEUE_COLLECTION_TIMESTAMP = _metric(
    "gauge",
    "queue_collection_timestamp_seconds",
    _QUEUE,
    "When this queue was last counted or found unchanged, on the exporter's clock.",
    "seconds",
)
COLLECTION_SUCCESS = _metric(
    "gauge",
    "collection_success",
    _PART,
    "1 when the part's last run succeeded for all of its queues, else 0.",
)
COLLECTION_TIMESTAMP = _metric(
    "gauge",
    "collection_timestamp_seconds",
    _PART,
    "When the part last succeeded, on the exporter's clock.",
    "seconds",
)
COLLECTION_INTERVAL = _metric(
    "gauge",
    "collection_interval_seconds",
    _PART,
    "The interval now in force: the configured one, or stretched by the budget.",
    "seconds",
)
COLLECTION_SECONDS = _metric(
    "counter",
    "collection_seconds_total",
    _PART,
    "Database time spent on the part since the exporter started.",
    "seconds",
)
COLLECTIONS = _metric("counter", "collections_total", _PART, "Runs of the part since the exporter started.")
COLLECTION_ERRORS = _metric(
    "counter",
    "collection_errors_total",
    (*_PART, "reason"),
    "Failures of the part since the exporter started, by reason.",
)
CONFIG_RELOAD_SUCCESS = _metric(
    "gauge",
    "config_reload_success",
    (),
    "1 when the last reload of the configuration was taken, 0 when it was refused and the former one runs on.",
)
BUILD_INFO = _metric(
    "gauge",
    "exporter_build_info",
    ("version", "python"),
    "Always 1: the exporter's version and the Python it runs on.",
)

CATALOGUE: Final[tuple[Metric, ...]] = tuple(_CATALOGUE)
