"""The samples of pgmq's queues: what is remembered of each, as far as it is fresh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .. import names
from ..model import Sample
from ..tenants import OTHER
from .tenancy_samples import ages_by_tenant, finished_by_tenant, states_by_tenant

if TYPE_CHECKING:
    from ..config import Database
    from .pgmq import Pgmq
    from .pgmq_queue import Queue
    from .pgmq_tables import Table
    from .source import Moment
    from .tenancy import Tenancy

#: A dropped queue shows zeros for so long, in seconds, so that alerts on it resolve; then nothing.
ZEROS: Final = 120.0

_NO_TENANT: Final = ""


def samples(source: Pgmq, database: Database, moment: Moment) -> Iterator[Sample]:
    """Everything known and fresh of every queue. Ages are of this moment, on the server's clock."""
    now = moment.monotonic + moment.ahead
    known = {
        name: queue
        for name, queue in source.queues.items()
        if queue.dropped_at is None or moment.monotonic - queue.dropped_at <= ZEROS
    }
    for name, queue in known.items():
        labels = (database.name, source.label, name)
        owners = database.dead_letter_queues.owner_of(name, known)
        dead_letter = database.dead_letter_queues.role(name, known) == names.DEAD_LETTER
        found = list(
            _queue(
                queue,
                labels,
                moment,
                now,
                dead_letter=dead_letter,
                described=database.described_by_job_table(source.label, name),
                with_wait=database.pgmq.wait_histogram,
            )
        )
        if not found:
            continue
        yield from found
        listed = queue.tables.listed
        info = (
            names.DEAD_LETTER if dead_letter else names.WORK,
            database.dead_letter_queues.dead_letter_queue(name, known),
            ",".join(owners),
            _yes(listed.partitioned),
            _yes(listed.unlogged),
            "",
        )
        yield Sample(names.QUEUE_INFO, (*labels, *info), 1)


def _yes(fact: bool) -> str:  # noqa: FBT001  # the fact is all there is
    return "true" if fact else "false"


def _queue(
    queue: Queue,
    labels: tuple[str, str, str],
    moment: Moment,
    now: float,
    *,
    dead_letter: bool,
    described: bool,
    with_wait: bool,
) -> Iterator[Sample]:
    gone = queue.dropped_at is not None
    hidden = queue.tables.queue.root.hidden and not gone
    archive = queue.tables.archive
    of_archive = archive is not None and archive.timed and archive.root.hidden and not described and not gone
    fresh_counters = queue.dropped_at is not None or _fresh(queue.counters_at, moment, names.COUNTERS)
    if fresh_counters:
        yield Sample(names.ROWS_HIDDEN, labels, int(hidden or of_archive))
    if hidden:
        return
    if queue.dropped_at is not None:
        yield from _gone(queue, labels, dead_letter=dead_letter)
    else:
        yield from _now(queue, labels, moment, now, dead_letter=dead_letter)
    if fresh_counters:
        yield Sample(names.ENQUEUED, labels, queue.enqueued)
        yield Sample(names.DEQUEUED, labels, queue.dequeued.total)
    if described:
        return  # what became of its jobs, a job table tells
    fresh_finished = queue.dropped_at is not None or _fresh(queue.finished_at, moment, names.FINISHED)
    if queue.tenancy is not None:
        yield from _by_tenant(
            queue, queue.tenancy, labels, counters=fresh_counters, finished=fresh_finished, with_wait=with_wait
        )
        return
    if fresh_counters:
        yield Sample(names.FINISHED_JOBS, (*labels, _NO_TENANT, names.COMPLETED), queue.completed)
        yield Sample(names.FINISHED_JOBS, (*labels, _NO_TENANT, names.ARCHIVED), queue.archived.total)
    if queue.finished_at is not None and fresh_finished:
        yield Sample(names.RUN, (*labels, _NO_TENANT, names.ARCHIVED), queue.run)
        if with_wait:
            yield Sample(names.WAIT, (*labels, _NO_TENANT), queue.wait)


def _by_tenant(
    queue: Queue,
    tenancy: Tenancy,
    labels: tuple[str, str, str],
    *,
    counters: bool,
    finished: bool,
    with_wait: bool,
) -> Iterator[Sample]:
    """What became of the jobs, by tenant. pgmq deletes without a trace: whose the completed ones were is not known."""
    archive = queue.tables.archive
    timed = archive is not None and archive.timed
    if counters:
        yield Sample(names.FINISHED_JOBS, (*labels, OTHER, names.COMPLETED), queue.completed)
        if not timed:
            yield Sample(names.FINISHED_JOBS, (*labels, OTHER, names.ARCHIVED), queue.archived.total)
    if not timed or queue.finished_at is None or not finished:
        return
    yield from finished_by_tenant(
        tenancy, labels, finished=(names.ARCHIVED,), runs=(names.ARCHIVED,), retried=False, waits=with_wait
    )


def _fresh(at: float | None, moment: Moment, part: str) -> bool:
    return at is not None and at >= moment.oldest(part)


def _now(
    queue: Queue, labels: tuple[str, str, str], moment: Moment, now: float, *, dead_letter: bool
) -> Iterator[Sample]:
    """Gauges of a queue that is there."""
    counted, probe = queue.counted, queue.probe
    if counted is not None and _fresh(queue.counted_at, moment, names.COUNTS):
        states = {
            names.READY: counted.ready,
            names.SCHEDULED: counted.scheduled,
            names.IN_FLIGHT: counted.in_flight,
        }
        yield from states_by_tenant(queue.tenancy, labels, states)
        yield Sample(names.JOBS_ESTIMATED, labels, int(counted.estimated))
        if counted.unready_head is not None:
            yield Sample(names.UNREADY_HEAD, labels, counted.unready_head)
        if queue.tables.queue.has("last_read_at"):
            yield Sample(names.OLDEST_IN_FLIGHT_AGE, labels, _age(counted.oldest_read, now))
        if not dead_letter:
            yield Sample(names.REDELIVERED, labels, counted.redelivered)
    if probe is not None and _fresh(queue.probed_at, moment, names.HEAD):
        ready = queue.oldest_ready()
        jobs = counted.ready if counted is not None else 0
        yield from ages_by_tenant(queue.tenancy, labels, ready, now, jobs)
        yield Sample(names.OLDEST_JOB_AGE, labels, _age(queue.oldest_enqueued(), now))
        stalled = min(_age(ready, now), max(0.0, now - queue.progress))
        yield Sample(names.STALLED, labels, stalled)
    if queue.collected is not None:
        yield Sample(names.QUEUE_COLLECTION_TIMESTAMP, labels, queue.collected)
    if _fresh(queue.counters_at, moment, names.COUNTERS):
        yield from _table(queue.tables.queue, (*labels, names.QUEUE_TABLE), moment)
        if queue.tables.archive is not None:
            yield from _table(queue.tables.archive, (*labels, names.ARCHIVE_TABLE), moment)


def _gone(queue: Queue, labels: tuple[str, str, str], *, dead_letter: bool) -> Iterator[Sample]:
    """Gauges of a dropped queue: zeros."""
    shown = (_NO_TENANT,) if queue.tenancy is None else (*queue.tenancy.membership.shown, OTHER)
    for name in shown:
        for state in (names.READY, names.SCHEDULED, names.IN_FLIGHT):
            yield Sample(names.JOBS, (*labels, name, state), 0)
        yield Sample(names.OLDEST_READY_AGE, (*labels, name), 0)
    yield Sample(names.JOBS_ESTIMATED, labels, 0)
    for metric in (names.OLDEST_JOB_AGE, names.STALLED, names.UNREADY_HEAD):
        yield Sample(metric, labels, 0)
    if queue.tables.queue.has("last_read_at"):
        yield Sample(names.OLDEST_IN_FLIGHT_AGE, labels, 0)
    if not dead_letter:
        yield Sample(names.REDELIVERED, labels, 0)


def _table(table: Table, labels: tuple[str, ...], moment: Moment) -> Iterator[Sample]:
    yield Sample(names.TABLE_DEAD_ROWS, labels, sum(leaf.dead_rows for leaf in table.leaves))
    yield Sample(names.TABLE_LIVE_ROWS, labels, sum(leaf.live_rows for leaf in table.leaves))
    yield Sample(names.TABLE_BYTES, labels, sum(leaf.bytes for leaf in table.leaves))
    vacuumed = [leaf.vacuumed_at for leaf in table.leaves if leaf.vacuumed_at is not None]
    if vacuumed and len(vacuumed) == len(table.leaves):
        yield Sample(names.TABLE_LAST_VACUUM, labels, moment.wall(min(vacuumed)))


def _age(since: float | None, now: float) -> float:
    return 0.0 if since is None else max(0.0, now - since)
