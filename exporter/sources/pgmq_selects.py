"""The SELECTs of pgmq's queues: which one a queue needs, and the rows that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..tenants import LONGEST_WAITING
from .distributions import buckets, sums, zeros
from .pgmq_counts import FIRST, LEASES
from .postgres import identifier, raw, statement
from .relations import oids
from .tenancy import FOLD, kept, value

if TYPE_CHECKING:
    from ..config import Database
    from .pgmq_queue import Queue
    from .postgres import Query

#: What may be a queue, an archive or a partition of one.
TABLES: Final = raw(r"c.relname like 'q\_%' or c.relname like 'a\_%'")

#: Up to so many ids from the first to the last, one pass by id is the cheapest, and dead rows elsewhere cost nothing.
_FEW_IDS: Final = 1000

_BEGINNING: Final = "'-infinity'::timestamptz"


class VersionRow(NamedTuple):
    """A row of ``pgmq_version.sql``."""

    version: str


class SequenceRow(NamedTuple):
    """A row of ``pgmq_sequences.sql``: the last id drawn, None without the right to know."""

    sequence: int
    last_value: int | None


class FinishedRow(NamedTuple):
    """A row of ``pgmq_finished.sql``: jobs archived in a slice of time, in cumulative buckets."""

    queue: str
    until: float
    tenant: str | None
    named: bool
    """Whether it is one tenant's (``tenant`` None: jobs without one), or all others'. True without tenants."""
    jobs: int
    runs: int
    run_seconds: float
    run_buckets: list[int]
    waits: int
    wait_seconds: float
    wait_buckets: list[int]


class HeadRow(NamedTuple):
    """A row of ``pgmq_head_length.sql``."""

    jobs: int


def sequences_select(sequences: list[int]) -> Query:
    """The last ids of these sequences."""
    return statement("pgmq_sequences", sequences=oids(sequences))


def table_of(queue: Queue, *, archive: bool = False) -> Query:
    """The queue's table, or its archive, quoted."""
    listed = queue.tables.listed
    return identifier(queue.tables.schema, listed.archive_table if archive else listed.queue_table)


def _time(edge: float | None) -> Query:
    return raw(_BEGINNING) if edge is None else statement("time", at=edge)


def first_id(queue: Queue) -> int:
    """Where passes by id start."""
    return -(2**63) + 1 if queue.id_from is None else queue.id_from


def ready_from(queue: Queue) -> Query:
    """Where passes over ready jobs start."""
    return _time(queue.ready_from)


def counted_by_key(queue: Queue, limit: int) -> bool:
    """Whether one pass by id is the better one: few ids, or dead leases that passes by vt would walk through."""
    table = queue.tables.queue
    if not table.probed_by_vt:
        return True
    if queue.id_from is None or queue.last_id is None:
        return False
    ids = queue.last_id - queue.id_from + 1
    return ids <= _FEW_IDS or (ids <= limit and sum(leaf.dead_rows for leaf in table.leaves) > ids)


def head_select(queue: Queue) -> Query:
    """The probes of one queue, each from its edge."""
    name, table, id_from = queue.tables.listed.queue, table_of(queue), first_id(queue)
    if queue.tables.queue.probed_by_vt:
        return statement(
            "pgmq_head_by_vt", queue=name, table=table, id_from=id_from, ready_from=_time(queue.ready_from)
        )
    by_id, key = queue.tables.queue.key == "msg_id", identifier(queue.tables.queue.key)
    return statement("pgmq_head_by_key", queue=name, table=table, id_from=id_from, key=key, by_id=by_id)


def counts_select(queue: Queue, database: Database, *, by_key: bool) -> Query:
    """The bounded passes over one queue."""
    table = queue.tables.queue
    shared = {
        "queue": queue.tables.listed.queue,
        "table": table_of(queue),
        "cap": database.count_limit + 1,
        "id_from": first_id(queue),
        "poison": database.poison_limit,
        "first": FIRST,
        "timed": table.has("last_read_at"),
        "last_read": raw("last_read_at" if table.has("last_read_at") else "null::timestamptz as last_read_at"),
    }
    if by_key:
        by_id = table.key == "msg_id"
        return statement("pgmq_counts_by_key", **shared, key=identifier(table.key), by_id=by_id)
    # Nothing changed since the last count: then nothing can have come before the first unready job it found.
    unready_from = raw(_BEGINNING)
    if queue.counted is not None and queue.signature() == queue.counted_signature:
        first = queue.counted.next_ready
        unready_from = raw("'infinity'::timestamptz") if first is None else _time(first - 0.001)
    return statement(
        "pgmq_counts_by_vt",
        **shared,
        leases=LEASES,
        ready_from=_time(queue.ready_from),
        unready_from=unready_from,
    )


def finished_select(queue: Queue, database: Database, settled: float, longest: float) -> Query:
    """A slice, ``longest`` seconds at most, of the jobs archived after those read last, up to the clock ``settled``."""
    shared = {
        "queue": queue.tables.listed.queue,
        "table": table_of(queue, archive=True),
        "after": queue.finished_until,
        "settled": settled,
        "slice": longest,
        "with_wait": database.pgmq.wait_histogram,
        "run_buckets": buckets("run"),
        "wait_buckets": buckets("wait"),
    }
    tenancy, archive = queue.tenancy, queue.tables.archive
    if tenancy is None or archive is None:
        return statement("pgmq_finished", **shared)
    return statement(
        "pgmq_finished_tenants",
        **shared,
        value=value(tenancy.rule, archive.shape.columns, "message"),
        fold=raw(FOLD),
        kept=kept(tenancy.membership.shown),
        most=LONGEST_WAITING,
        run_sums=sums("run_buckets"),
        wait_sums=sums("wait_buckets"),
        zeros=zeros(),
    )
