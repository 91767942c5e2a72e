"""pg-boss's functions for a role that may read no table: which columns and indexes there are is looked up inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from . import pgboss_housekeeping
from . import pgboss_pieces as pieces
from .functions import Found, Function, piece
from .pgboss_ended import Ended
from .pgboss_ended_selects import ENDED, PAYLOAD
from .pgboss_pieces import Pieces, executed, selecting
from .pgboss_queue import Counted, Probe
from .pgboss_selects import function_of
from .pgboss_tables import LIVE, NOISE, QUEUED
from .role_sound import guarded, names_in_schema, sound, sound_functions
from .statements import SCHEMA, Query, filled, identifier, joined, literal, raw, script, statement
from .tenancy import FOLD, STATES, TenantRow, by_state, place
from .tenant_rules import odd_found, tenant_function

if TYPE_CHECKING:
    from ..config import Database

_NAMES: Final = {"names": "text[]", "edges": "timestamp with time zone[]"}
_WINDOW: Final = {"names": "text[]", "after": "double precision", "until": "double precision"}
_ENDED_TENANTS: Final = {
    **_WINDOW,
    "divided": "text[]",
    "kept_queues": "text[]",
    "kept_names": "text[]",
    "most": "bigint",
}
_TENANTS: Final = {"kept": "text[]", "most": "bigint", "waiting": "bigint"}

#: Of queues without tenants.
_UNDIVIDED: Final = {"value": raw("null::text"), "tenant": raw("null::text")}

#: What is read by its name. A queue's jobs are looked for, see `pgboss_pieces`.
_TABLES: Final = ("version", "queue", "archive", "schedule", "warning", "instance")

#: Times are put in as text.
_SETTINGS: Final = ("datestyle = 'ISO'",)


def helpers(database: Database) -> list[Query]:
    """What the functions call, and nobody else may."""
    which, named = tables(database), names_in_schema(*_TABLES)
    found: list[Query] = [sound_functions("pgboss", list(database.pgboss.schemas), which, named)]
    for number, schema in enumerate(database.pgboss.schemas):
        shape = script(
            "role_pgboss_shape",
            name=identifier(SCHEMA, function_of(schema, "shape")),
            place_name=identifier(SCHEMA, function_of(schema, "place")),
            of_name=sound("pgboss", "_of"),
            schema=schema,
            queue_table=identifier(schema, "queue"),
            noise=NOISE.pattern,
            live=LIVE,
            queued=list(QUEUED),
        )
        label = "pgboss" if number == 0 else f"pgboss:{schema}"
        found += [shape, tenant_function(database, function_of(schema, "tenant"), label, "data")]
    return found


def functions(database: Database) -> list[Function]:
    """Those of all schemas."""
    return [function for schema in database.pgboss.schemas for function in _of_schema(database, schema)]


def tables(database: Database) -> Query:
    """Which tables they read: a condition on ``pg_class c``."""
    schemas = joined(", ", [literal(schema) for schema in database.pgboss.schemas])
    return filled(
        "c.relnamespace in (select oid from pg_namespace where nspname in ({schemas})) and (c.relname in ({names})"
        " or c.oid in (select i.inhrelid from pg_inherits i join pg_class j on j.oid = i.inhparent"
        " where j.relnamespace = c.relnamespace and j.relname = 'job'))",
        schemas=schemas,
        names=joined(", ", [literal(name) for name in (*_TABLES, "job")]),
    )


def _of_schema(database: Database, schema: str) -> list[Function]:
    found = [
        *pgboss_housekeeping.functions(schema),
        *_of_queues(schema),
        *_of_ended(schema),
        *_ended_by_tenant(database, schema),
        *_by_tenant(schema),
    ]
    return guarded(found, "pgboss", schema)


def _of_queues(schema: str) -> list[Function]:
    capped = {**_NAMES, "cap": "bigint"}
    fetch: Pieces = {"fetch": pieces.predicate("fetch", queued=True)}

    def function(what: str, about: str, row: type, parameters: dict[str, str], more: Pieces) -> Function:
        found = {**pieces.shape(schema), **pieces.named(edges=True), **more}
        return executed(schema, what, about, row, parameters, found, selecting(f"pgboss_{what}"), settings=_SETTINGS)

    return [
        function("head_live", "When the longest-ready job became ready.", Probe, _NAMES, pieces.live()),
        function("head_fetch", "The same of an older pg-boss.", Probe, _NAMES, fetch),
        function("counts_live", "Jobs by state, up to a limit.", Counted, capped, pieces.counts_live()),
        function("counts_fetch", "The same of an older pg-boss.", Counted, capped, fetch),
        function("counts_order", "The same of one between both.", Counted, capped, pieces.oldest_queued()),
    ]


def _of_ended(schema: str) -> list[Function]:
    window: Pieces = {"created": pieces.predicate("created"), "completed": pieces.predicate("completed")}
    queues = {**pieces.shape(schema), **pieces.named(edges=False)}
    return [
        _ended(
            schema,
            "window",
            "How many jobs came and ended in a window of time, and how long they waited and ran.",
            _WINDOW,
            {**queues, **window},
            selecting("pgboss_window", **ENDED, **_UNDIVIDED, fence=raw("")),
        ),
        _ended(
            schema,
            "scan",
            "The same, and jobs by state, where no index leads to them.",
            _WINDOW,
            {**queues, **pieces.scan(schema)},
            selecting("pgboss_scan", **ENDED, **_UNDIVIDED),
        ),
    ]


def _ended_by_tenant(database: Database, schema: str) -> list[Function]:
    window: Pieces = {"created": pieces.predicate("created"), "completed": pieces.predicate("completed")}
    queues = {**pieces.shape(schema), **pieces.named(edges=False)}
    places = {place(rule, PAYLOAD) for rule in database.tenants.from_}
    value = Found(raw(pieces.divided(schema)))
    slice_ = statement("pgboss_slice", after=raw("$2"), until=raw("$3"))
    # Only the payloads of jobs that ended in the slice are looked into.
    text = "case when {slice} then {whole} end"
    in_slice = piece(lambda **parts: filled(text, slice=slice_, whole=parts["whole_"]), "whole_")
    return [
        _divided(schema, "window", {**queues, **window, "value": value}, fence=raw("offset 0")),
        _divided(
            schema,
            "scan",
            {
                **queues,
                **pieces.scan(schema, {found for found in places if found is not None}),
                "whole_": value,
                "value": Found(raw(in_slice)),
            },
        ),
    ]


def _divided(schema: str, what: str, found: Pieces, **fixed: Query) -> Function:
    rows = selecting(f"pgboss_{what}", **ENDED, tenant=raw(FOLD), **fixed)

    def select(*, kept_queues: Query, kept_names: Query, most: Query, divided: Query, **parts: Query) -> Query:
        kept = statement("role_kept", kept_queues=kept_queues, kept_names=kept_names)
        return statement("pgboss_ended_tenants", rows=rows(**parts), kept=kept, most=most, divided=divided)

    about = "How many jobs came and ended, by tenant: of each queue those asked for and the busiest by name."
    return _ended(schema, f"{what}_tenants", about, _ENDED_TENANTS, found, select)


def _by_tenant(schema: str) -> list[Function]:
    def function(what: str, about: str, bounds: dict[str, str], *, together: bool = False, **fixed: Query) -> Function:
        rows = selecting(f"pgboss_tenants_{what}", **fixed)

        def select(**parts: Query) -> Query:
            groups = by_state(rows(**parts), many=not together)
            if together:
                return statement("tenants", fold=raw(FOLD), groups=groups, **STATES, **parts)
            return statement("tenants_many", fold=raw(FOLD), groups=groups, **parts)

        of = "each_queue[_n]" if together else "_names[1]"
        odd = {"odd": odd_found()} if together else {}
        return Function(
            function_of(schema, f"tenants_{what}"),
            about,
            TenantRow,
            {**({"queue": "text"} if together else {"names": "text[]"}), **_TENANTS, **bounds},
            select,
            {**pieces.shape(schema, of), **pieces.tenants(schema, of, alone=together), **odd},
            {"tenants": "integer"},
            how="executed",
            settings=_SETTINGS,
            together=together,
        )

    sample = {"percent": "real", "thin": "real", "cap": "bigint"}
    oldest = {"ready_from": "timestamp with time zone", "cap": "bigint"}
    return [
        function("all", "Jobs by tenant, of one queue.", {"cap": "bigint"}, together=True),
        function("scan", "Jobs by tenant, of a small table.", {}),
        function("sample", "Jobs by tenant, of a sample of pages.", sample, of=raw("true")),
        function("oldest", "Jobs by tenant, of those that have waited longest.", oldest, together=True),
    ]


def _ended(
    schema: str, what: str, about: str, parameters: dict[str, str], found: Pieces, select: Callable[..., Query]
) -> Function:
    types = {"run_within": "integer", "wait_within": "integer"}
    return executed(schema, what, about, Ended, parameters, found, select, types, _SETTINGS)
