"""The SELECTs of what was created and what ended in pg-boss's queues, by tenant where a queue has tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..tenants import LONGEST_WAITING
from .distributions import buckets, sums, zeros
from .pgboss_selects import Group, expiry, values
from .postgres import identifier, joined, literal, raw, statement, union
from .tenancy import FOLD, array, kept, place, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..config import TenantOf
    from .pgboss_queue import Queue
    from .pgboss_tables import JobTable
    from .postgres import Query

#: The payload.
_PAYLOAD: Final = "data"

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


def _ended() -> Query:
    done, lost = "outcome = 'completed'", "outcome in ('failed', 'dead_lettered')"
    both = "outcome in ('completed', 'failed', 'dead_lettered')"

    def histogram(name: str, count: str, column: str, condition: str) -> Query:
        return joined(
            ",\n",
            [
                raw(f"count({column}) filter (where {condition}) as {count}"),
                raw(f"coalesce(sum({column}) filter (where {condition}), 0)::float8 as {name}_seconds"),
                joined("", [buckets(column, condition), raw(f" as {name}")]),
            ],
        )

    return joined(
        ",\n",
        [
            raw("count(*) filter (where outcome = 'completed') as completed"),
            raw("count(*) filter (where outcome = 'failed') as failed"),
            raw("count(*) filter (where outcome = 'dead_lettered') as dead_lettered"),
            raw("count(*) filter (where outcome = 'cancelled') as cancelled"),
            raw("coalesce(sum(retry_count) filter (where outcome is not null), 0)::bigint as retried"),
            histogram("run_completed", "runs_completed", "run", done),
            histogram("run_failed", "runs_failed", "run", lost),
            histogram("wait", "waits", "wait", both),
        ],
    )


#: The columns of ``_ended``: numbers of jobs, seconds, and buckets.
_COUNTS: Final = ("completed", "failed", "dead_lettered", "cancelled", "retried")
_HISTOGRAMS: Final = (
    ("runs_completed", "run_completed_seconds", "run_completed"),
    ("runs_failed", "run_failed_seconds", "run_failed"),
    ("waits", "wait_seconds", "wait"),
)


def _columns() -> Query:
    """The names of the columns of ``_ended``."""
    return raw(", ".join((*_COUNTS, *(name for histogram in _HISTOGRAMS for name in histogram))))


def _added() -> Query:
    """The columns of ``_ended``, of several rows together."""
    parts = [raw(f"sum({count})::bigint as {count}") for count in _COUNTS]
    for count, seconds, name in _HISTOGRAMS:
        parts += [raw(f"sum({count})::bigint as {count}"), raw(f"sum({seconds})::float8 as {seconds}")]
        parts.append(joined("", [sums(name), raw(f" as {name}")]))
    return joined(",\n", parts)


def _nothing() -> Query:
    """The columns of ``_ended``, without a job."""
    parts = [raw(f"0::bigint as {count}") for count in _COUNTS]
    for count, seconds, name in _HISTOGRAMS:
        parts += [raw(f"0::bigint as {count}, 0::float8 as {seconds}"), joined("", [zeros(), raw(f" as {name}")])]
    return joined(",\n", parts)


def ended_select(group: Group, after: float, until: float) -> Query:
    """Jobs created and ended in ``(after, until]`` (the server's clock, epoch seconds): a window, or a scan.

    One SELECT a table. A queue whose jobs are told apart by tenant (``divided``) has several rows, the others one.
    """
    divided = [queue for queue in group.queues if queue.divided]
    if not group.table.windowed:
        scan = _scan(group, divided, after, until)
        return _by_tenant(scan, divided) if divided else scan
    others = [queue for queue in group.queues if not queue.divided]
    selects = [_window(Group(group.table, tuple(others)), after, until)] if others else []
    if divided:
        selects.append(_by_tenant(_window_by_tenant(Group(group.table, tuple(divided)), after, until), divided))
    return union(selects)


def _shared(after: float, until: float) -> dict[str, object]:
    return {"after": after, "until": until, "ended": _ended(), "outcome": _OUTCOME, "run": _RUN, "wait": _WAIT}


def _indexed(group: Group) -> dict[str, object]:
    return {
        "queues": values(group, edges=False),
        "created": raw(group.table.created or "true"),
        "completed": raw(group.table.completed or "true"),
    }


def _window(group: Group, after: float, until: float) -> Query:
    return statement("pgboss_window", **_shared(after, until), **_indexed(group), table=group.rows)


def _window_by_tenant(group: Group, after: float, until: float) -> Query:
    return statement(
        "pgboss_window_tenants",
        **_shared(after, until),
        **_indexed(group),
        table=group.table.rows([queue.listed.queue for queue in group.queues], whole=True),
        nothing=_nothing(),
        columns=_columns(),
        value=_value(group.table, group.queues),
        fold=raw(FOLD),
    )


def _by_tenant(select: Query, queues: Sequence[Queue]) -> Query:
    """The rows of a queue's tenants that are kept or ended the most, and one of all others."""
    rows = []
    for queue in queues:
        shown = queue.tenancy.membership.shown if queue.tenancy is not None else ()
        rows.append(joined("", [raw("("), literal(queue.listed.queue), raw("::text, "), kept(shown), raw(")")]))
    return statement(
        "pgboss_ended_tenants",
        rows=select,
        kept=joined("", [raw("(values "), joined(", ", rows), raw(") k(queue, kept)")]),
        columns=_columns(),
        added=_added(),
        most=LONGEST_WAITING,
    )


def _scan(group: Group, divided: Sequence[Queue], after: float, until: float) -> Query:
    blocked = "blocked" in group.table.columns
    # Only the payloads of jobs that ended in the slice are looked into.
    slice_ = statement("pgboss_slice", after=after, until=until)
    parts = [raw("case when "), slice_, raw(" then "), _value(group.table, divided), raw(" end as v,")]
    return statement(
        "pgboss_scan",
        **_shared(after, until),
        queues=values(group, edges=False),
        blocked=raw("blocked" if blocked else "false"),
        blocked_column=raw("t.blocked," if blocked else ""),
        expiry=raw(expiry(group.table)),
        rows=_rows(group, divided, after),
        value=joined("", parts) if divided else raw(""),
        tenant=raw(FOLD if divided else "null::text"),
        grouping=raw(", tenant" if divided else ""),
    )


def _rows(group: Group, divided: Iterable[Queue], after: float) -> Query:
    table = group.table
    columns = [
        "name", "state", "created_on", "start_after", "started_on", "completed_on", "retry_count", "dead_letter",
        *(column for column in ("blocked", "expire_seconds", "expire_in", "heartbeat_on", "heartbeat_seconds")
          if column in table.columns),
    ]  # fmt: skip
    places = {place(rule, _PAYLOAD) for rule in _rules(divided)}
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
        parts += [raw(" when t.name = any ("), array(ruled), raw(") then ")]
        parts.append(value(rule, _places(table), _PAYLOAD))
    return joined("", [*parts, raw(" end")])
