"""The samples of pg-boss's queues: what is remembered of each, as far as it is fresh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import names
from ..model import Sample
from ..tenants import OTHER
from .pgboss_ended import least
from .pgboss_schedule import overdue
from .tenancy_samples import ages_by_tenant, finished_by_tenant, states_by_tenant

if TYPE_CHECKING:
    from ..config import Database
    from .pgboss import PgBoss
    from .pgboss_queue import Queue
    from .relations import Relation
    from .source import Moment

#: A deleted queue shows zeros for so long, in seconds, so that alerts on it resolve; then nothing.
ZEROS: Final = 120.0

#: pg-boss counts every one or two minutes: its counters are believed for so long, in seconds.
_CACHED: Final = 300.0

_NO_TENANT: Final = ""


class _View(NamedTuple):
    """The best that is known of a queue's jobs; times are epoch seconds of the server, None: no such job."""

    states: dict[str, int]
    """Only the states that are known."""
    estimated: bool
    leased: bool
    """Whether it is known which jobs are in flight, and since when."""
    leased_since: float | None
    expired: int
    enqueued_since: float | None


def samples(source: PgBoss, database: Database, moment: Moment) -> Iterator[Sample]:
    """Everything known and fresh of every queue, and of pg-boss's housekeeping."""
    now = moment.monotonic + moment.ahead
    known = {
        name: queue
        for name, queue in source.queues.items()
        if queue.dropped_at is None or moment.monotonic - queue.dropped_at <= ZEROS
    }
    owners: dict[str, list[str]] = {}
    for name, queue in known.items():
        if queue.listed.dead_letter:
            owners.setdefault(queue.listed.dead_letter, []).append(name)
    for name, queue in known.items():
        labels = (database.name, source.label, name)
        found = list(_queue(queue, labels, moment, now, database.count_limit))
        if not found:
            continue
        yield from found
        info = (
            names.DEAD_LETTER if name in owners else names.WORK,
            queue.listed.dead_letter if queue.listed.dead_letter in known else "",
            ",".join(sorted(owners.get(name, ()))),
            "true" if queue.table.own else "false",
            "false",
            queue.listed.policy or "",
        )
        yield Sample(names.QUEUE_INFO, (*labels, *(text or "" for text in info)), 1)
    yield from _shared_tables(source, database, moment)
    yield from _maintenance(source, database, moment, now)


def _queue(queue: Queue, labels: tuple[str, str, str], moment: Moment, now: float, limit: int) -> Iterator[Sample]:
    gone = queue.dropped_at is not None
    hidden = queue.table.relation.hidden and not gone
    archive = queue.table.archive
    of_archive = archive is not None and archive.hidden and not queue.described and not gone
    listed = gone or _fresh(queue.listed_at, moment, names.COUNTERS)
    if listed:
        yield Sample(names.ROWS_HIDDEN, labels, int(hidden or of_archive))
    if hidden:
        return
    if gone:
        yield from _gone(queue, labels)
    else:
        yield from _now(queue, labels, moment, now, limit)
    if listed and not gone and queue.listed.retry_limit is not None:
        yield Sample(names.RETRY_LIMIT, labels, queue.listed.retry_limit)
    if queue.finished_at is not None and (gone or _fresh(queue.finished_at, moment, names.FINISHED)):
        yield Sample(names.ENQUEUED, labels, queue.enqueued)
        if not queue.described:  # else what became of its jobs, a job table tells
            yield from _finished(queue, labels)


def _finished(queue: Queue, labels: tuple[str, str, str]) -> Iterator[Sample]:
    if queue.tenancy is not None:
        yield from finished_by_tenant(
            queue.tenancy, labels, finished=queue.finished, runs=queue.run, retried=True, waits=True
        )
        return
    for outcome, jobs in queue.finished.items():
        yield Sample(names.FINISHED_JOBS, (*labels, _NO_TENANT, outcome), jobs)
    yield Sample(names.RETRIED, (*labels, _NO_TENANT), queue.retried)
    for outcome, run in queue.run.items():
        yield Sample(names.RUN, (*labels, _NO_TENANT, outcome), run)
    yield Sample(names.WAIT, (*labels, _NO_TENANT), queue.wait)


def _fresh(at: float | None, moment: Moment, part: str) -> bool:
    return at is not None and at >= moment.oldest(part)


def _view(queue: Queue, moment: Moment, now: float, limit: int) -> _View:
    """From an index, else from the last scan, else what pg-boss counted itself (an estimate)."""
    counted = queue.counted if _fresh(queue.counted_at, moment, names.COUNTS) else None
    scanned = queue.scanned if _fresh(queue.scanned_at, moment, names.FINISHED) else None
    listed = queue.listed
    cached = listed.monitored_at is not None and now - listed.monitored_at <= _CACHED
    states: dict[str, int | None] = {}
    capped = False
    if counted is not None:
        states = {
            names.READY: counted.ready,
            names.SCHEDULED: counted.scheduled,
            names.IN_FLIGHT: counted.active,
            names.BLOCKED: counted.blocked,
            names.FAILED: counted.failed,
        }
        capped = any(jobs is not None and jobs > limit for jobs in states.values())
        # In the order of fetching, ready and scheduled jobs are counted in one pass.
        capped = capped or (not queue.table.probed and counted.ready + counted.scheduled > limit)
        if capped and cached and counted.ready + counted.scheduled > limit:
            states[names.READY] = max(counted.ready, listed.cached_ready or 0)
    leased_since = enqueued_since = None
    leased, expired = True, 0
    if counted is not None and counted.active is not None:
        leased_since, expired = counted.oldest_started, counted.expired or 0
        enqueued_since = least(counted.oldest_queued, counted.oldest_active)
    elif scanned is not None:
        leased_since, expired = scanned.oldest_started, scanned.expired or 0
        enqueued_since = least(counted.oldest_queued if counted is not None else None, scanned.oldest_unfinished)
        states |= {
            names.IN_FLIGHT: scanned.active,
            names.BLOCKED: scanned.blocked,
            names.FAILED: scanned.failed_now,
        }
    else:
        leased = False
        if cached:
            states |= {names.IN_FLIGHT: listed.active_count, names.FAILED: listed.cached_failed}
            capped = True
    if "blocked" not in queue.table.columns:
        states.pop(names.BLOCKED, None)
    known = {state: jobs for state, jobs in states.items() if jobs is not None}
    return _View(known, capped, leased, leased_since, expired, enqueued_since)


def _now(queue: Queue, labels: tuple[str, str, str], moment: Moment, now: float, limit: int) -> Iterator[Sample]:
    """Gauges of a queue that is there."""
    view = _view(queue, moment, now, limit)
    yield from states_by_tenant(queue.tenancy, labels, view.states)
    if view.states:
        yield Sample(names.JOBS_ESTIMATED, labels, int(view.estimated))
    if view.leased:
        yield Sample(names.OLDEST_IN_FLIGHT_AGE, labels, _age(view.leased_since, now))
        yield Sample(names.JOBS_EXPIRED, labels, view.expired)
        yield Sample(names.OLDEST_JOB_AGE, labels, _age(view.enqueued_since, now))
    counts = _fresh(queue.counted_at, moment, names.COUNTS)
    if queue.table.probed:
        known = _fresh(queue.probed_at, moment, names.HEAD)
    else:
        # One pass in the order of fetching that met no ready job before its limit does not know of any.
        known = counts and queue.counted is not None and (queue.counted.ready > 0 or queue.counted.scheduled <= limit)
    if known:
        ready = queue.oldest_ready()
        yield from ages_by_tenant(queue.tenancy, labels, ready, now, view.states.get(names.READY, 0))
        # Only as long as jobs were looked at: what was not seen since is not known to stand still.
        watched = _fresh(queue.finished_at, moment, names.FINISHED) or (counts and queue.table.live is not None)
        if queue.watched is not None and watched:
            yield Sample(names.STALLED, labels, min(_age(ready, now), max(0.0, queue.watched - queue.progress)))
    if queue.collected is not None:
        yield Sample(names.QUEUE_COLLECTION_TIMESTAMP, labels, queue.collected)
    if queue.table.own and _fresh(queue.listed_at, moment, names.COUNTERS):
        yield from _table(queue.table.relation, (*labels, names.QUEUE_TABLE), moment)


def _gone(queue: Queue, labels: tuple[str, str, str]) -> Iterator[Sample]:
    """Gauges of a deleted queue: zeros."""
    states = [names.READY, names.SCHEDULED, names.IN_FLIGHT, names.FAILED]
    if "blocked" in queue.table.columns:
        states.append(names.BLOCKED)
    shown = (_NO_TENANT,) if queue.tenancy is None else (*queue.tenancy.membership.shown, OTHER)
    for name in shown:
        for state in states:
            yield Sample(names.JOBS, (*labels, name, state), 0)
        yield Sample(names.OLDEST_READY_AGE, (*labels, name), 0)
    for metric in (
        names.JOBS_ESTIMATED,
        names.OLDEST_IN_FLIGHT_AGE,
        names.JOBS_EXPIRED,
        names.OLDEST_JOB_AGE,
        names.STALLED,
    ):
        yield Sample(metric, labels, 0)


def _table(relation: Relation, labels: tuple[str, ...], moment: Moment) -> Iterator[Sample]:
    yield Sample(names.TABLE_DEAD_ROWS, labels, relation.dead_rows)
    yield Sample(names.TABLE_LIVE_ROWS, labels, relation.live_rows)
    yield Sample(names.TABLE_BYTES, labels, relation.bytes)
    if relation.vacuumed_at is not None:
        yield Sample(names.TABLE_LAST_VACUUM, labels, moment.wall(relation.vacuumed_at))


def _shared_tables(source: PgBoss, database: Database, moment: Moment) -> Iterator[Sample]:
    """Tables of several queues belong to none of them: their ``queue`` is empty."""
    seen: set[int] = set()
    for queue in source.queues.values():
        shared = queue.dropped_at is None and not queue.table.own
        if shared and queue.table.relid not in seen and _fresh(queue.listed_at, moment, names.COUNTERS):
            seen.add(queue.table.relid)
            labels = (database.name, source.label, "", names.QUEUE_TABLE)
            yield from _table(queue.table.relation, labels, moment)


def _maintenance(source: PgBoss, database: Database, moment: Moment, now: float) -> Iterator[Sample]:
    kept = source.maintenance
    labels = (database.name, source.label)

    def fresh(table: str) -> bool:
        return _fresh(kept.read_at.get(table), moment, names.MAINTENANCE)

    if fresh("version"):
        for task, when in sorted(kept.tasks.items()):
            yield Sample(names.SOURCE_MAINTENANCE, (*labels, task), moment.wall(when))
    if fresh("schedule"):
        for schedule in kept.schedules:
            if schedule.due is not None:
                late = overdue(schedule.due, now)
                yield Sample(names.SCHEDULE_OVERDUE, (*labels, schedule.queue, schedule.key), late)
    if fresh("warning"):
        for type_, warnings in sorted(kept.warnings.items()):
            yield Sample(names.SOURCE_WARNINGS, (*labels, type_), warnings)
    if fresh("instance") and kept.workers is not None:
        yield Sample(names.WORKER_PROCESSES, (*labels, names.ALIVE), kept.workers.alive)
        yield Sample(names.WORKER_PROCESSES, (*labels, names.SILENT), kept.workers.silent)
        yield Sample(names.WORKERS_GONE, labels, _age(kept.gone_since, now))


def _age(since: float | None, now: float) -> float:
    return 0.0 if since is None else max(0.0, now - since)
