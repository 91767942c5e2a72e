"""The SELECTs of what was created and what ended in pg-boss's queues, by tenant where a queue has tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..tenants import LONGEST_WAITING
from .distributions import within
from .pgboss_selects import Group, expiry, function_of, named
from .postgres import identifier, joined, literal, raw, statement, union, values
from .tenancy import FOLD, kept, kept_values, place, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..config import TenantOf
    from .pgboss_queue import Queue
    from .pgboss_tables import JobTable
    from .postgres import Query

#: The payload.
PAYLOAD: Final = "data"

_OUTCOME: Final = raw(
    "case t.state when 'completed' then 'completed' when 'cancelled' then 'cancelled'"
    " when 'failed' then case when t.dead_letter is null or t.dead_letter = t.name then 'failed'"
    " else 'dead_lettered' end end"
)
_RUN: Final = raw(
    "case when t.started_on is not null then greatest(extract(epoch from t.completed_on - t.started_on), 0)::float8 end"
)
#: A job became ready when its time came, or at once; a retry when its own time came.
_WAIT: Final = raw(
    "case when t.started_on is not null then"
    " greatest(extract(epoch from t.started_on - greatest(t.created_on, t.start_after)), 0)::float8 end"
)


class Slice(NamedTuple):
    """Times after the first and up to the second, both of the server's clock, in epoch seconds."""

    after: float
    until: float


def ended_select(group: Group, after: float, until: float) -> Query:
    """Jobs created and ended in ``(after, until]`` (the server's clock, epoch seconds): a window, or a scan.

    One SELECT a table. Jobs of a queue are told apart by tenant where they carry one (``divided``).
    """
    divided = [queue for queue in group.queues if queue.divided]
    slice_ = Slice(after, until)
    if not group.table.windowed:
        scan = _scan(group, divided, after, until)
        return _by_tenant("scan_tenants", scan, group, divided, slice_) if divided else scan
    others = [queue for queue in group.queues if not queue.divided]
    selects = [_window(Group(group.table, tuple(others)), (), after, until)] if others else []
    if divided:
        with_tenants = Group(group.table, tuple(divided))
        window = _window(with_tenants, divided, after, until)
        selects.append(_by_tenant("window_tenants", window, with_tenants, divided, slice_))
    return union(selects)


#: What every read of ended jobs is made of.
ENDED: Final = {
    "outcome": _OUTCOME,
    "run": _RUN,
    "wait": _WAIT,
    "run_within": within("s.run"),
    "wait_within": within("s.wait"),
}

#: The columns that a scan reads, and those that not every version has.
SCANNED: Final = (
    "name", "state", "created_on", "start_after", "started_on", "completed_on", "retry_count", "dead_letter",
)  # fmt: skip
SCANNED_IF_THERE: Final = ("blocked", "expire_seconds", "expire_in", "heartbeat_on", "heartbeat_seconds")


def _shared(after: float, until: float, divided: Sequence[Queue]) -> dict[str, object]:
    return {"after": after, "until": until, **ENDED, "tenant": raw(FOLD if divided else "null::text")}


def _window(group: Group, divided: Sequence[Queue], after: float, until: float) -> Query:
    table = group.table
    return statement(
        "pgboss_window",
        function_of(table.schema, "window"),
        **_shared(after, until, divided),
        table=table.rows([queue.listed.queue for queue in group.queues], whole=bool(divided)),
        **named(group, edges=False),
        created=raw(table.created or "true"),
        completed=raw(table.completed or "true"),
        value=_value(table, divided) if divided else raw("null::text"),
        # Each payload is looked into once.
        fence=raw("offset 0" if divided else ""),
    )


def _scan(group: Group, divided: Sequence[Queue], after: float, until: float) -> Query:
    blocked = "blocked" in group.table.columns
    # Only the payloads of jobs that ended in the slice are looked into.
    slice_ = statement("pgboss_slice", after=after, until=until)
    parts = [raw("case when "), slice_, raw(" then "), _value(group.table, divided), raw(" end")]
    return statement(
        "pgboss_scan",
        function_of(group.table.schema, "scan"),
        **_shared(after, until, divided),
        **named(group, edges=False),
        blocked=raw("blocked" if blocked else "false"),
        blocked_column=raw("t.blocked," if blocked else ""),
        expiry=raw(expiry(group.table)),
        rows=_rows(group, divided, after),
        value=joined("", parts) if divided else raw("null::text"),
    )


def _by_tenant(function: str, select: Query, group: Group, divided: Sequence[Queue], slice_: Slice) -> Query:
    """The rows of a queue's tenants that are kept or ended the most, and those of all others together."""
    shown = {
        queue.listed.queue: queue.tenancy.membership.shown if queue.tenancy is not None else [] for queue in divided
    }
    rows = [
        joined("", [raw("("), literal(queue), raw("::text, "), kept(names), raw(")")]) for queue, names in shown.items()
    ]
    pairs = [(queue, name) for queue, names in shown.items() for name in kept_values(names)]
    return statement(
        "pgboss_ended_tenants",
        function_of(group.table.schema, function),
        rows=select,
        kept=joined("", [raw("(values "), joined(", ", rows), raw(") k(queue, kept)")]),
        most=LONGEST_WAITING,
        # The same as arguments.
        names=values([queue.listed.queue for queue in group.queues]),
        divided=values(list(shown)),
        after=slice_.after,
        until=slice_.until,
        kept_queues=values([queue for queue, _ in pairs]),
        kept_names=values([name for _, name in pairs]),
    )


def _rows(group: Group, divided: Iterable[Queue], after: float) -> Query:
    table = group.table
    columns = [*SCANNED, *(column for column in SCANNED_IF_THERE if column in table.columns)]
    places = {place(rule, PAYLOAD) for rule in _rules(divided)}
    columns += sorted(column for column in places if column in _places(table) and column not in columns)
    selected = joined(", ", [identifier(column) for column in columns])
    read = table.rows([queue.listed.queue for queue in group.queues], whole=bool(places))
    if table.archive is None:
        return statement("pgboss_rows", columns=selected, table=read)
    return statement(
        "pgboss_rows_archived",
        columns=selected,
        table=read,
        archive=identifier(table.schema, table.archive.name),
        queue=group.queues[0].listed.queue,
        after=after,
    )


def _places(table: JobTable) -> frozenset[str]:
    """Where a tenant may stand: the columns that ended jobs have wherever they are."""
    return table.columns if table.archive is None else table.columns & table.archive_columns


def _rules(queues: Iterable[Queue]) -> list[TenantOf]:
    return list(dict.fromkeys(queue.tenancy.rule for queue in queues if queue.tenancy is not None))


def _value(table: JobTable, queues: Sequence[Queue]) -> Query:
    """The tenant of a job in the table ``t``, by the rule of its queue."""
    parts = [raw("case")]
    for rule in _rules(queues):
        ruled = [queue.listed.queue for queue in queues if queue.tenancy is not None and queue.tenancy.rule == rule]
        parts += [raw(" when t.name = any ("), values(ruled), raw(") then ")]
        parts.append(value(rule, _places(table), PAYLOAD))
    return joined("", [*parts, raw(" end")])
