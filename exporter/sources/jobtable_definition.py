"""Whether a job table is what the configuration says: there, readable, of the right types, with an index."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import SourceError
from ..model import Fault
from .jobtable_plan import ranged, read_leads, scans, whole
from .jobtable_selects import (
    LOCAL_TIME,
    TIME,
    Window,
    arm_select,
    enqueued_select,
    expressions,
    function_of,
    keys_of_times,
    tenant,
    type_select,
)
from .postgres import statement, union

if TYPE_CHECKING:
    from ..config import JobTable
    from .postgres import Query, Session

_NUMBERS: Final = ("smallint", "integer", "bigint", "numeric")

#: A column's name, with or without the table's alias.
_COLUMN: Final = re.compile(r"(?:job\.)?[a-z_][a-z0-9_]*")

#: How much time the window spans whose plan is asked for, in seconds: about an interval's.
_SPAN: Final = 10.0


class RelationRow(NamedTuple):
    """A row of ``jobtable_relation.sql``."""

    relid: int
    kind: str
    readable: bool
    hidden: bool
    tables: list[int]
    uncounted: bool


class TypeRow(NamedTuple):
    """A row of ``jobtable_type.sql``."""

    key: str
    type: str


@dataclass(frozen=True, slots=True)
class Definition:
    """A job table that can be read."""

    table: JobTable
    #: The type of each expression, by its key in the configuration.
    types: dict[str, str]
    #: The indexes that serve its reads.
    indexes: tuple[str, ...]
    #: The tables whose statistics show whether rows came; None where they are not all known.
    counted: tuple[int, ...] | None
    #: Why arrivals cannot be counted although they are asked for, empty when they can.
    no_arrivals: str
    #: Whether jobs can be read by tenant.
    tenants: bool
    #: What is wrong beside, and does not keep jobs from being read.
    faults: tuple[Fault, ...]


def define(session: Session, table: JobTable) -> Definition:
    """Ask the catalogue and the planner. Raises SourceError that says everything that is wrong, by its keys."""
    relation = _relation(session, table)
    types = _types(session, table)
    _check_types(table, types)
    indexes = _indexes(session, table, types)
    no_arrivals = ""
    if table.alone and table.enqueued is not None:
        found = _served(session, enqueued_select(table, types, _window(session)))
        no_arrivals = found if isinstance(found, str) else ""
    tenant_faults = tuple(_tenant_faults(session, table, types))
    return Definition(
        table,
        types,
        indexes,
        None if relation.uncounted or session.server.standby else tuple(relation.tables),
        no_arrivals,
        table.tenant is not None and not tenant_faults,
        tenant_faults,
    )


def told(table: JobTable, *details: str) -> str:
    """One sentence about a job table."""
    return f"job table {table.name}: " + "; ".join(details)


def _relation(session: Session, table: JobTable) -> RelationRow:
    schema, name = table.relation
    found = session.read(
        statement("jobtable_relation", function_of(table, "relation"), schema=schema, relation=name), RelationRow
    )
    if not found:
        raise SourceError("missing", told(table, f"there is no table or view {table.table}"))
    if not found[0].readable:
        raise SourceError("privilege", told(table, f"the role may not SELECT from {table.table}"))
    if found[0].hidden:
        raise SourceError("hidden", told(table, f"row-level security hides rows of {table.table}"))
    return found[0]


def _types(session: Session, table: JobTable) -> dict[str, str]:
    """The types of all expressions; where one fails, each alone, so that all faults are told at once."""
    have = expressions(table)
    selects = {key: type_select(table, key, value) for key, value in have.items()}
    try:
        rows = session.read(union(list(selects.values())), TypeRow)
    except SourceError as error:
        if error.reason in ("connection", "lock", "timeout"):
            raise SourceError(error.reason, told(table, error.detail), sqlstate=error.sqlstate) from None
    else:
        return {row.key: row.type for row in rows}
    types: dict[str, str] = {}
    failed: list[tuple[str, SourceError]] = []
    for key, select in selects.items():
        try:
            types[key] = session.read(select, TypeRow)[0].type
        except SourceError as error:
            if error.reason == "connection":
                raise
            failed.append((key, error))
    if failed:
        # The same error of every expression is the table's own.
        if len({error.detail for _, error in failed}) == 1 and len(failed) == len(selects):
            details = [f"{table.table}: {failed[0][1].detail}"]
        else:
            details = [f"{key}: {error.detail}" for key, error in failed]
        raise SourceError(failed[0][1].reason, told(table, *details))
    return types


def _check_types(table: JobTable, types: dict[str, str]) -> None:
    wrong = []
    for key in keys_of_times(table):
        if types[key] == LOCAL_TIME and table.time_zone is None:
            wrong.append(f"{key}: {_written(table, key)} is a {LOCAL_TIME}; if it holds UTC, say time_zone: UTC")
        elif types[key] not in (TIME, LOCAL_TIME):
            wrong.append(f"{key}: expected {TIME}; {_written(table, key)} is {types[key]}")
    if types.get("attempt", _NUMBERS[0]) not in _NUMBERS:
        wrong.append(f"attempt: expected a whole number; {_written(table, 'attempt')} is {types['attempt']}")
    if wrong:
        raise SourceError("other", told(table, *wrong))


def _written(table: JobTable, key: str) -> str:
    """The expression as it stands in the configuration."""
    name, _, place = key.partition("[")
    value = getattr(table, name)
    return str(value[int(place[:-1]) if place else 0] if isinstance(value, tuple) else value)


def _window(session: Session) -> Window:
    return Window(session.now - _SPAN, session.now)


def _indexes(session: Session, table: JobTable, types: dict[str, str]) -> tuple[str, ...]:
    indexes, unserved = _reads(session, table, types)
    wrong = [
        f"{key}: no index leads with {expression}, so every read would be of the whole {relation}"
        for key, expression, relation in unserved
    ]
    if wrong:
        raise SourceError("missing", told(table, *wrong))
    return tuple(dict.fromkeys(indexes))


def _reads(session: Session, table: JobTable, types: dict[str, str]) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The indexes that serve the reads; of reads without one the key, its expression and what would be read whole."""
    indexes: list[str] = []
    unserved = []
    for place, key in enumerate(key for key in expressions(table) if key.startswith("finished")):
        try:
            found = _served(session, arm_select(table, types, place, _window(session)))
        except SourceError as error:
            raise SourceError(error.reason, told(table, f"{table.table}: {error.detail}")) from None
        if isinstance(found, str):
            unserved.append((key, _written(table, key), found))
        else:
            indexes += found
    return indexes, unserved


def missing_indexes(session: Session, table: JobTable) -> list[str]:
    """The columns of finish times that no index leads with, quoted by the server; [] where it cannot be told."""
    try:
        if _relation(session, table).kind not in ("r", "p"):
            return []
        _, unserved = _reads(session, table, _types(session, table))
    except SourceError as error:
        if error.reason == "connection":
            raise
        return []
    return [expression.removeprefix("job.") for _, expression, _ in unserved if _COLUMN.fullmatch(expression)]


def _served(session: Session, select: Query) -> list[str] | str:
    """The indexes that serve a read, or the table that it would read whole."""
    found = list(scans(session.explain(select)))
    leads = read_leads(session, found)
    unserved = whole(found, leads)
    if unserved is not None:
        return unserved
    return [scan.by for scan in found if scan.by is not None and ranged(scan, leads)]


def _tenant_faults(session: Session, table: JobTable, types: dict[str, str]) -> list[Fault]:
    """What is wrong with the tenant's expression: told, and no reason not to count jobs."""
    if table.tenant is None:
        return []
    try:
        session.read(type_select(table, "tenant", tenant(table)), TypeRow)
        arm, window = 0, _window(session)
        own = Counter(scans(session.explain(arm_select(table, types, arm, window))))
        found = Counter(scans(session.explain(arm_select(table, types, arm, window, whose=True))))
    except SourceError as error:
        if error.reason == "connection":
            raise
        return [Fault("", error.reason, told(table, f"tenant: {error.detail}"))]
    for scan in found - own:
        if scan.by is None or not scan.condition:
            message = f"join: no index serves it, so every job's tenant would take a read of {scan.schema}.{scan.table}"
            return [Fault("", "missing", told(table, message))]
    return []
