"""What `check` tells of pg-boss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from . import vouching
from .findings import ERROR, NOTE, WARNING, Finding, Found, Index
from .postgres import statement

if TYPE_CHECKING:
    from ..config import Database
    from .pgboss import PgBoss
    from .postgres import Session


class _SchemaRow(NamedTuple):
    name: str


def examine(source: PgBoss, session: Session, database: Database) -> tuple[Found, list[Finding]]:
    """What was found, and what to know about it."""
    looked_for = f"pg-boss in schema {source.schema_name!r}"
    if not source.present:
        wanted = database.pgboss.enabled is True and source.present is False
        findings = [Finding(ERROR, source.label, f"no {looked_for}, although pgboss.enabled is true")] if wanted else []
        findings += _elsewhere(source, session, database)
        return Found(source.label, source.present is None, looked_for, "not asked", ()), findings
    version = source.maintenance.version
    told = f"schema version {version}" if version is not None else "an unknown version"
    queues = tuple(sorted(name for name, queue in source.queues.items() if queue.dropped_at is None))
    return Found(source.label, True, looked_for, told, queues), [
        *_findings(source),
        *vouching.findings(session, source.schema_name, "pgboss", database.pgboss.enabled),
        *_elsewhere(source, session, database),
    ]


def _elsewhere(source: PgBoss, session: Session, database: Database) -> Iterator[Finding]:
    """Schemas that look like pg-boss and are not watched: told once, by the first source."""
    if source.schema_name != database.pgboss.schemas[0]:
        return
    for row in session.read(statement("pgboss_schemas"), _SchemaRow):
        if row.name not in database.pgboss.schemas:
            message = "looks like pg-boss and is not watched: add it to pgboss.schemas"
            yield Finding(NOTE, f"schema {row.name}", message)


def _findings(source: PgBoss) -> Iterator[Finding]:
    label = source.label
    if not source.queues:
        yield Finding(WARNING, label, "no queue is there, or none is included by the configuration")
    tables = {queue.table.relid: queue.table for queue in source.queues.values() if queue.dropped_at is None}
    slow = [table for table in tables.values() if not table.windowed]
    if slow:
        names = ", ".join(sorted(table.relation.name for table in slow)[:3]) + (", ..." if len(slow) > 3 else "")
        message = (
            f"this version has no index by time on {names}: arrivals and outcomes take a scan, as often as the budget"
            " allows (pgqueue-exporter sql indexes prints indexes that make it cheap)"
        )
        yield Finding(NOTE, label, message)
    blind = [table for table in tables.values() if not table.probed]
    if blind:
        message = "no index leads to the longest-ready job: its age is exact only among the first count_limit jobs"
        yield Finding(NOTE, label, message)
    for schedule in source.maintenance.schedules:
        name = f"schedule {schedule.queue} {schedule.key}".strip()
        if schedule.kind != "cron":
            yield Finding(NOTE, name, "recurs by an rrule: whether it is overdue is not judged")
        elif schedule.due is None:
            message = f"{schedule.cron!r} in the time zone {schedule.timezone!r} cannot be read: it is not judged"
            yield Finding(WARNING, name, message)


def indexes(source: PgBoss, session: Session) -> list[Index]:
    """What newer versions of pg-boss bring along themselves."""
    tables = {queue.table.relid: queue.table for queue in source.queues.values() if queue.dropped_at is None}
    wanted = []
    for table in sorted(tables.values(), key=lambda table: table.relation.name):
        on = session.quoted(table.schema, table.relation.name)
        start = f"create index concurrently on {on}"
        name = table.relation.name
        if table.completed is None:
            statement = f"{start} (name, completed_on) where completed_on is not null"
            wanted.append(Index(statement, f"{name}: ended jobs are read by time instead of scanning the table"))
        if table.created is None:
            statement = f"{start} (name, created_on)"
            wanted.append(Index(statement, f"{name}: the same for arrivals; both are needed to do without the scan"))
        if table.live is None:
            blocked = "blocked, " if "blocked" in table.columns else ""
            statement = (
                f"{start} (name, state, {blocked}start_after) where state in ('created', 'retry', 'active', 'failed')"
            )
            gain = f"{name}: jobs in flight and failed are counted every time, not as often as a scan is allowed"
            wanted.append(Index(statement, gain))
    return wanted
