"""What `check` tells of a job table, and which indexes it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .findings import NOTE, WARNING, Finding, Found, Index
from .jobtable_definition import missing_indexes

if TYPE_CHECKING:
    from ..config import JobTable as Described
    from .jobtable import JobTable
    from .postgres import Session


def examine(source: JobTable, table: Described) -> tuple[Found, list[Finding]]:
    """How it is read, and what to know about it."""
    looked_for = f"job table {table.name} ({table.table})"
    definition = source.definition
    if definition is None:
        return Found(source.label, False, looked_for, "not readable", ()), []
    findings = []
    if definition.no_arrivals:
        message = f"enqueued: no index leads with {table.enqueued}: arrivals are not counted"
        findings.append(Finding(NOTE, f"job table {table.name}", message))
    for name, recorded in source.queues.items():
        if not table.alone and not recorded.shown:
            message = f"job table {table.name} describes it, but {table.source} does not show it"
            findings.append(Finding(WARNING, f"queue {name}", message))
    by = " and ".join(definition.indexes[:2]) or "its own plan"
    version = f"{table.table}, read by {by}" + (", and more" if len(definition.indexes) > 2 else "")
    return Found(source.label, True, looked_for, version, tuple(sorted(source.queues))), findings


def indexes(table: Described, session: Session) -> list[Index]:
    """Those on finish times."""
    on = session.quoted(*table.relation)
    return [
        Index(
            f"create index concurrently on {on} ({column})",
            f"job table {table.name}: without it, jobs that finish by {column} are not read at all",
        )
        for column in missing_indexes(session, table)
    ]
