"""What pg-boss's functions find by themselves: variables of a function, each after those that it is made of.

Versions of pg-boss differ in columns and indexes. ``_shape`` says what the job table of the first queue has; from it,
the others make the pieces of SQL that the exporter, which reads the same catalogue, puts into its own SELECTs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .functions import Found, Function, piece
from .pgboss_ended_selects import SCANNED, SCANNED_IF_THERE
from .pgboss_selects import function_of
from .statements import SCHEMA, Query, filled, identifier, literal, raw, statement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

Pieces = dict[str, Found]


def executed(
    schema: str,
    what: str,
    about: str,
    row: type,
    parameters: dict[str, str],
    found: Pieces,
    select: Callable[..., Query],
    types: Mapping[str, str] | None = None,
    settings: tuple[str, ...] = (),
) -> Function:
    """A function of one schema, with pieces that it finds at each call."""
    name = function_of(schema, what)
    return Function(name, about, row, parameters, select, found, types or {}, how="executed", settings=settings)


def selecting(name: str, **fixed: Query) -> Callable[..., Query]:
    """The SELECT in that file, of the pieces that it is given and, before them, of those fixed here."""
    return lambda **parts: statement(name, **{**parts, **fixed})


def shape(schema: str, of: str = "_names[1]") -> Pieces:
    """The shape of a queue's table, and the table. The next queue's is most often the same."""
    name, place = (identifier(SCHEMA, function_of(schema, what)) for what in ("shape", "place"))
    kept = "case when (_shape ->> 'place')::oid = _place then _shape else {name}(_place) end"
    return {
        "place": Found(filled("{place}({of})", place=place, of=raw(of)), type="oid"),
        "shape": Found(filled(kept, name=name), type="jsonb"),
        "table": _sql("_shape ->> 'table'"),
    }


def named(*, edges: bool) -> Pieces:
    """The queues as rows, with where ready jobs are looked for."""
    edge = "u.edge" if edges else "'-infinity'::timestamptz"
    return {
        "queues": _sql(
            f"(select '(values ' || string_agg(format('(%L::text, %L::timestamptz)', u.name, {edge}), ', ')"
            " || ') q(queue, ready_from)' from "
            + ("unnest(_names, _edges) as u(name, edge))" if edges else "unnest(_names) as u(name))")
        )
    }


def has(column: str) -> str:
    """SQL for whether the job table has a column."""
    return f"_shape -> 'columns' ? '{column}'"


def predicate(which: str, *, queued: bool = False) -> Found:
    """An index's predicate, as the catalogue has it."""
    if not queued:
        return _sql(f"_shape ->> '{which}'")
    # Not of blocked jobs: an old index, while an upgrade makes its successor, holds them too.
    more = f"case when {has('blocked')} and position('blocked' in _shape ->> '{which}') = 0"
    return _sql(f"(_shape ->> '{which}') || {more} then ' and not t.blocked' else '' end")


def live() -> Pieces:
    """Of tables with an index over live jobs."""
    return {
        "live": predicate("live"),
        "unblocked": _sql(f"case when {has('blocked')} then 'not t.blocked' else 'true' end"),
    }


def expiry() -> Pieces:
    """When a lease, or a heartbeat, runs out."""
    lease = f"case when {has('expire_seconds')} then 'expire_seconds * interval ''1 s''' else 'expire_in' end"
    beat = f"case when {has('heartbeat_on')} then ', heartbeat_on + heartbeat_seconds * interval ''1 s''' else '' end"
    return {"expiry": _sql(f"'least(started_on + ' || {lease} || {beat} || ')'")}


def oldest_queued() -> Pieces:
    """When the oldest queued job was enqueued, by the index in the order of fetching."""
    return {
        "order": predicate("order", queued=True),
        "oldest_queued": _sql(piece(_statement("pgboss_oldest_queued"), "table", "order")),
    }


def counts_live() -> Pieces:
    """All of ``pgboss_counts_live.sql``."""
    first = piece(_statement("pgboss_first_queued"), "table", "live", "unblocked")
    by_order = piece(_statement("pgboss_oldest_queued"), "table", "order")
    blocked = piece(_statement("pgboss_blocked", cap=raw("$3")), "table", "live")
    newest = piece(_statement("pgboss_newest_ended"), "table", "completed")
    lease = f"case when {has('expire_seconds')} then 't.expire_seconds' else 't.expire_in' end"
    beat = f"case when {has('heartbeat_on')} then ', t.heartbeat_on, t.heartbeat_seconds' else '' end"
    active = (
        "extract(epoch from min(started_on))::float8 as oldest_started,"
        " extract(epoch from max(started_on))::float8 as newest_started,"
        " extract(epoch from min(created_on))::float8 as oldest_active,"
        " count(*) filter (where {expiry} < now()) as expired,"
        " extract(epoch from min({expiry}) filter (where {expiry} >= now()))::float8 as next_expiry"
    )
    return {
        **live(),
        **expiry(),
        "order": predicate("order", queued=True),
        "completed": predicate("completed"),
        "oldest_queued": _sql(f"case when _order is not null then {by_order} else {first} end"),
        "blocked": _sql(
            f"case when {has('blocked')} then {blocked}"
            " else 'select 0::bigint as jobs, null::timestamptz as oldest' end"
        ),
        "newest_ended": _sql(f"case when _completed is not null then {newest} else 'null::timestamptz' end"),
        "active_columns": _sql(f"'t.started_on, t.created_on, ' || {lease} || {beat}"),
        "active": _sql(piece(lambda expiry: filled(active, expiry=expiry), "expiry")),
    }


def divided(schema: str) -> str:
    """SQL for the tenant of a job of whichever of the queues has one, each by its own rule; of none, none."""
    tenant = identifier(SCHEMA, function_of(schema, "tenant")).as_string(None)
    arms = f"format(' when t.name = %L then %s', n, {tenant}(n, _place))"
    return f"(select coalesce('case' || string_agg({arms}, '') || ' end', 'null::text') from unnest(_divided) n)"


def scan(schema: str, places: Collection[str] = ()) -> Pieces:
    """All of ``pgboss_scan.sql``; ended jobs are in a table of their own in some versions.

    ``places``: columns in which tenants stand.
    """
    columns = ", ".join(SCANNED)
    wanted = [*SCANNED_IF_THERE, *(place for place in sorted(places) if place not in (*SCANNED, *SCANNED_IF_THERE))]
    more = ", ".join(literal(column).as_string(None).strip() for column in wanted)
    archive = identifier(schema, "archive")
    archived = piece(
        _statement("pgboss_rows_archived", archive=archive, queue=raw("($1)[1]"), after=raw("$2")), "columns_", "table"
    )
    plain = piece(_statement("pgboss_rows"), "columns_", "table")
    there = literal(archive.as_string(None)).as_string(None)
    return {
        **expiry(),
        "blocked": _sql(f"case when {has('blocked')} then 'blocked' else 'false' end"),
        "blocked_column": _sql(f"case when {has('blocked')} then 't.blocked,' else '' end"),
        "columns_": _sql(
            f"'{columns}' || coalesce((select string_agg(format(', %I', c), '') from unnest(array[{more}]) c"
            " where _shape -> 'columns' ? c), '')"
        ),
        "rows": _sql(f"case when to_regclass({there}) is not null then {archived} else {plain} end"),
    }


def tenants(schema: str, of: str, *, alone: bool) -> Pieces:
    """The tenant of a queue; of others with it, those whose tenant stands there too."""
    tenant = identifier(SCHEMA, function_of(schema, "tenant")).as_string(None)
    others = f"(select format('%L::text[]', array_agg(n)) from unnest(_names) n where {tenant}(n, _place) = _value)"
    return {
        "value": _sql(f"{tenant}({of}, _place)"),
        **({} if alone else {"queues": _sql(others)}),
        "state": _sql(
            "'case when t.state = ''active'' then ''in_flight'' when t.state = ''failed'' then ''failed'' '"
            f" || case when {has('blocked')} then 'when t.blocked then ''blocked'' ' else '' end"
            " || 'when t.start_after <= now() then ''ready'' else ''scheduled'' end'"
        ),
        "live": _sql("coalesce(_shape ->> 'live', 'true')"),
        "unblocked": _sql(f"case when {has('blocked')} then 'not blocked' else 'true' end"),
    }


def columns(schema: str, table: str) -> Pieces:
    """The columns of a table that is no job table."""
    place = literal(identifier(schema, table).as_string(None))
    return {"have": Found(statement("role_columns", table=place), type="text[]")}


def either(column: str, there: str, missing: str) -> Found:
    """One piece where a table in ``_have`` has a column, else another."""
    one, other = (literal(text).as_string(None).strip() for text in (there, missing))
    return _sql(f"case when '{column}' = any (_have) then {one} else {other} end")


def _sql(text: str) -> Found:
    return Found(raw(text))


def _statement(name: str, **fixed: Query) -> Callable[..., Query]:
    return lambda **parts: statement(name, **fixed, **_named(parts))


def _named(parts: Mapping[str, Query]) -> dict[str, Query]:
    return {name.removesuffix("_"): part for name, part in parts.items()}
