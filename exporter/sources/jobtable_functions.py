"""A job table's functions for a role that may not read it: the operator's expressions are written into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .functions import Found, Function
from .jobtable_definition import RelationRow, TypeRow
from .jobtable_selects import (
    TIME,
    Bounds,
    EnqueuedRow,
    FinishedRow,
    arm_select,
    by_tenant_select,
    enqueued_select,
    expressions,
    finished_select,
    function_of,
    tenant,
)
from .role_sound import guarded, sound_functions
from .statements import PLAN, Query, filled, identifier, joined, literal, raw, statement

if TYPE_CHECKING:
    from ..config import Database, JobTable
    from ..config.jobtables import Relation

_WINDOW: Final = {"start": "double precision", "end": "double precision"}


class PlanRow(NamedTuple):
    """EXPLAIN's answer."""

    plan: Any


def functions(database: Database) -> list[Function]:
    """Those of all job tables."""
    return [
        function
        for table in database.job_tables
        for function in guarded(_functions(table), "jobtable", _written(table.relation))
    ]


def helpers(database: Database) -> list[Query]:
    """What the functions call, and nobody else may."""
    which = relations(database)
    arms = [
        filled("when {key} then {names}", key=literal(key), names=literal([_written(relation) for relation in those]))
        for key, those in which.items()
    ]
    named = filled(
        "array(select to_regclass(r)::oid from unnest((case _key {arms} end)::text[]) with ordinality u(r, n)"
        " order by n)",
        arms=joined(" ", arms),
    )
    tables = filled("c.oid = any ({named})", named=named)
    return [sound_functions("jobtable", list(which), tables, named, in_schema=False)]


def relations(database: Database) -> dict[str, list[Relation]]:
    """What is read by name: job tables, and what tenants are looked up in; by the job table's name as SQL."""
    found: dict[str, list[Relation]] = {}
    for table in database.job_tables:
        of = found.setdefault(_written(table.relation), [table.relation])
        if table.joined is not None and table.joined.relation not in of:
            of.append(table.joined.relation)
    return found


def tables(database: Database) -> Query:
    """Which relations they read: a condition on ``pg_class c``."""
    names = dict.fromkeys(_written(relation) for of in relations(database).values() for relation in of)
    return raw(" or ".join(f"c.oid = to_regclass({literal(name).as_string(None)})" for name in names) or "false")


def _written(relation: Relation) -> str:
    return identifier(*relation).as_string(None)


def _functions(table: JobTable) -> list[Function]:
    # Which times have no time zone is not known here: taken for UTC in the function, they need no other SQL.
    types = dict.fromkeys(expressions(table), TIME)
    schema, name = table.relation
    found = [
        Function(
            function_of(table, "relation"),
            f"Whether the job table {table.name} is there, readable, and of which tables. Reads no row.",
            RelationRow,
            {},
            lambda: statement("jobtable_relation", schema=schema, relation=name),
            types={"tables": "bigint[]"},
        ),
        Function(
            function_of(table, "type"),
            f"The types of the expressions over the job table {table.name}.",
            TypeRow,
            {"key": "text"},
            lambda key, value: statement("jobtable_type", key=key, value=value, table=identifier(schema, name)),
            {"value": _value(table)},
            together=True,
        ),
        _reading(
            table,
            "finished",
            "How many jobs finished in a window of time, by queue and outcome, and how long they ran and waited.",
            FinishedRow,
            lambda bounds: finished_select(table, types, bounds),
        ),
        _reading(
            table,
            "seen",
            "The same of some of them.",
            FinishedRow,
            lambda bounds: finished_select(table, types, bounds, sample=True),
        ),
    ]
    found += [_plan(table, f"arm{place}", _arm(table, types, place)) for place in range(len(table.finished))]
    if table.tenant is not None:
        whose = lambda bounds: arm_select(table, types, 0, bounds, whose=True)  # noqa: E731  # as its likes
        found += [_by_tenant(table, types), _plan(table, "arm0_whose", whose)]
    if table.alone and table.enqueued is not None:
        about = "How many jobs were enqueued in a window of time, by queue."
        select = _enqueued(table, types)
        found += [_reading(table, "enqueued", about, EnqueuedRow, select), _plan(table, "enqueued", select)]
    return found


def _settings(table: JobTable) -> tuple[str, ...]:
    return ("timezone = 'UTC'",) if table.time_zone == "UTC" else ()


def _arm(table: JobTable, types: dict[str, str], place: int) -> Callable[[Bounds], Query]:
    return lambda bounds: arm_select(table, types, place, bounds)


def _enqueued(table: JobTable, types: dict[str, str]) -> Callable[[Bounds], Query]:
    return lambda bounds: enqueued_select(table, types, bounds)


def _value(table: JobTable) -> Found:
    """The expression of a key."""
    have = expressions(table)
    if table.tenant is not None:
        have["tenant"] = tenant(table)
    arms = [
        f"when {literal(key).as_string(None).strip()} then {literal(value.as_string(None)).as_string(None).strip()}"
        for key, value in have.items()
    ]
    return Found(raw("case each_key[_n] " + " ".join(arms) + " end"))


def _reading(table: JobTable, what: str, about: str, row: type, select: Callable[[Bounds], Query]) -> Function:
    return Function(
        function_of(table, what),
        about,
        row,
        _WINDOW,
        lambda start, end: select(Bounds(start, end)),
        how="executed",
        settings=_settings(table),
    )


def _by_tenant(table: JobTable, types: dict[str, str]) -> Function:
    return Function(
        function_of(table, "finished_tenants"),
        "How many jobs finished in a window of time, by tenant: of each queue those asked for and the busiest by name.",
        FinishedRow,
        {
            **_WINDOW,
            "queues": "text[]",
            "mosts": "bigint[]",
            "kept_queues": "text[]",
            "kept_names": "text[]",
            "most": "bigint",
        },
        lambda start, end, queues, mosts, kept_queues, kept_names, most: by_tenant_select(
            table,
            types,
            Bounds(start, end),
            kept=statement(
                "role_kept_most", queues=queues, mosts=mosts, kept_queues=kept_queues, kept_names=kept_names
            ),
            most=most,
        ),
        how="executed",
        settings=_settings(table),
    )


def _plan(table: JobTable, what: str, select: Callable[[Bounds], Query]) -> Function:
    return Function(
        function_of(table, what) + PLAN,
        "By which index these are read.",
        PlanRow,
        _WINDOW,
        lambda start, end: select(Bounds(start, end)),
        types={"plan": "json"},
        how="explained",
        settings=_settings(table),
    )
