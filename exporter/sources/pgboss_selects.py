"""The SELECTs of pg-boss's queues: which one a table of jobs can be read by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from .functions import digest
from .pgboss_tables import JobTable
from .postgres import joined, literal, raw, statement, values

if TYPE_CHECKING:
    from .pgboss_queue import Queue
    from .pgboss_reads import Read
    from .postgres import Query

BEGINNING: Final = "'-infinity'::timestamptz"

#: A schema's name that is longer, or needs quotes, stands in names of functions as a hash.
_LONGEST: Final = 40

#: Queues of one table that are asked in one SELECT.
TOGETHER: Final = 100


class Group(NamedTuple):
    """Queues of one table that are asked together."""

    table: JobTable
    queues: tuple[Queue, ...]

    @property
    def read(self) -> Read:
        """How far the table has been read."""
        return self.queues[0].read

    @property
    def about(self) -> str:
        """The queue, where a table holds only one; a shared table is no single queue's fault."""
        return self.queues[0].listed.queue if self.table.own else ""

    @property
    def rows(self) -> Query:
        """What to select the queues' jobs from."""
        return self.table.rows([queue.listed.queue for queue in self.queues])

    def oldest(self, at: Callable[[Queue], float | None]) -> float | None:
        """The longest ago of these times of its queues; None where one has none."""
        times = [at(queue) for queue in self.queues]
        return None if None in times else min(time for time in times if time is not None)


def groups(queues: Sequence[Queue], together: int | None = TOGETHER) -> list[Group]:
    """The queues by their tables, at most so many each."""
    by_table: dict[int, list[Queue]] = {}
    for queue in queues:
        by_table.setdefault(queue.table.relid, []).append(queue)
    return [
        Group(found[0].table, tuple(found[start : start + (together or len(found))]))
        for found in by_table.values()
        for start in range(0, len(found), together or len(found))
    ]


def named(group: Group, *, edges: bool = True, beginning: Collection[str] = ()) -> dict[str, object]:
    """The queues and their edges, as rows and as arguments of a function."""
    return {
        "queues": _rows_of(group, edges=edges, beginning=beginning),
        "names": values([queue.listed.queue for queue in group.queues]),
        "edges": joined("", [raw("array["), joined(", ", _edges(group, edges=edges, beginning=beginning)), raw("]")]),
    }


def _edges(group: Group, *, edges: bool, beginning: Collection[str]) -> list[Query]:
    return [
        raw(BEGINNING)
        if queue.ready_from is None or not edges or queue.listed.queue in beginning
        else statement("time", at=queue.ready_from)
        for queue in group.queues
    ]


def _rows_of(group: Group, *, edges: bool = True, beginning: Collection[str] = ()) -> Query:
    """The queues as rows, with where ready jobs are looked for: from their edges, but for those in ``beginning``."""
    rows = []
    for queue, edge in zip(group.queues, _edges(group, edges=edges, beginning=beginning), strict=True):
        rows.append(joined("", [raw("("), literal(queue.listed.queue), raw("::text, "), edge, raw(")")]))
    return joined("", [raw("(values "), joined(", ", rows), raw(") q(queue, ready_from)")])


def function_of(schema: str, what: str) -> str:
    """The name of one of a schema's functions."""
    plain = schema.isidentifier() and schema.islower() and len(schema) <= _LONGEST
    return f"pgboss_{what}" if schema == "pgboss" else f"pgboss_{schema if plain else digest(schema)}_{what}"


def _unblocked(table: JobTable) -> Query:
    return raw("not t.blocked" if "blocked" in table.columns else "true")


def _queued(table: JobTable, predicate: str) -> Query:
    """An index's predicate without blocked jobs: an old one, while an upgrade makes its successor, holds them too."""
    old = "blocked" in table.columns and "blocked" not in predicate
    return raw(f"{predicate} and not t.blocked" if old else predicate)


def head_select(group: Group, *, edges: bool = True) -> Query:
    """The longest-ready job of each queue; for tables that are ``probed``."""
    table = group.table
    if table.live is not None:
        return statement(
            "pgboss_head_live",
            function_of(table.schema, "head_live"),
            table=group.rows,
            **named(group, edges=edges),
            live=raw(table.live),
            unblocked=_unblocked(table),
        )
    assert table.fetch is not None  # noqa: S101  # only asked of tables that are probed
    return statement(
        "pgboss_head_fetch",
        function_of(table.schema, "head_fetch"),
        table=group.rows,
        **named(group, edges=edges),
        fetch=_queued(table, table.fetch),
    )


def expiry(table: JobTable) -> str:
    """SQL for when a job's lease ends: it expires, or its heartbeat fails to come."""
    lease = "expire_seconds * interval '1 s'" if "expire_seconds" in table.columns else "expire_in"
    heartbeat = ", heartbeat_on + heartbeat_seconds * interval '1 s'" if "heartbeat_on" in table.columns else ""
    return f"least(started_on + {lease}{heartbeat})"


def counts_select(group: Group, count_limit: int, beginning: Collection[str] = ()) -> Query:
    """Jobs by state, as far as the table's indexes tell; None of a table without one for queued jobs."""
    table = group.table
    shared = {"table": group.rows, **named(group, beginning=beginning), "cap": count_limit + 1}
    oldest = (
        statement("pgboss_oldest_queued", table=group.rows, order=_queued(table, table.order))
        if table.order is not None
        else None
    )
    if table.live is not None:
        return statement(
            "pgboss_counts_live",
            function_of(table.schema, "counts_live"),
            **shared,
            **_live_parts(group, oldest, count_limit + 1),
        )
    if table.fetch is not None:
        return statement(
            "pgboss_counts_fetch",
            function_of(table.schema, "counts_fetch"),
            **shared,
            fetch=_queued(table, table.fetch),
        )
    assert table.order is not None  # noqa: S101  # only asked of tables with an index for queued jobs
    return statement(
        "pgboss_counts_order",
        function_of(table.schema, "counts_order"),
        **shared,
        order=_queued(table, table.order),
        oldest_queued=oldest,
    )


def _live_parts(group: Group, oldest: Query | None, cap: int) -> dict[str, object]:
    table = group.table
    assert table.live is not None  # noqa: S101  # as its caller
    live = raw(table.live)
    when = expiry(table)
    first = statement("pgboss_first_queued", table=group.rows, live=live, unblocked=_unblocked(table))
    blocked = (
        statement("pgboss_blocked", table=group.rows, live=live, cap=cap)
        if "blocked" in table.columns
        else raw("select 0::bigint as jobs, null::timestamptz as oldest")
    )
    lease = "t.expire_seconds" if "expire_seconds" in table.columns else "t.expire_in"
    heartbeat = ", t.heartbeat_on, t.heartbeat_seconds" if "heartbeat_on" in table.columns else ""
    return {
        "live": live,
        "unblocked": _unblocked(table),
        "oldest_queued": oldest or first,
        "blocked": blocked,
        "newest_ended": (
            statement("pgboss_newest_ended", table=group.rows, completed=raw(table.completed))
            if table.completed is not None
            else raw("null::timestamptz")
        ),
        "active_columns": raw(f"t.started_on, t.created_on, {lease}{heartbeat}"),
        "active": raw(
            "extract(epoch from min(started_on))::float8 as oldest_started,"
            " extract(epoch from max(started_on))::float8 as newest_started,"
            " extract(epoch from min(created_on))::float8 as oldest_active,"
            f" count(*) filter (where {when} < now()) as expired,"
            f" extract(epoch from min({when}) filter (where {when} >= now()))::float8 as next_expiry"
        ),
    }
