"""What `check` tells of pgmq."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import vouching
from .findings import ERROR, NOTE, WARNING, Finding, Found, Index
from .pgmq_selects import VersionRow
from .postgres import statement

if TYPE_CHECKING:
    from ..config import Database
    from .pgmq import Pgmq
    from .postgres import Session


def examine(pgmq: Pgmq, session: Session, database: Database) -> tuple[Found, list[Finding]]:
    """What was found, and what to know about it."""
    looked_for = f"pgmq in schema {database.pgmq.schema_name!r}"
    if not pgmq.present:
        wanted = database.pgmq.enabled is True and pgmq.present is False
        findings = [Finding(ERROR, "pgmq", f"no {looked_for}, although pgmq.enabled is true")] if wanted else []
        # Not asked is not the same as not there: why it could not be asked is told by its parts.
        return Found(pgmq.label, pgmq.present is None, looked_for, "not asked", ()), findings
    rows = session.read(statement("pgmq_version"), VersionRow)
    version = f"{rows[0].version} (extension)" if rows else "installed as plain SQL"
    return Found(pgmq.label, True, looked_for, version, tuple(sorted(pgmq.queues))), [
        *_findings(pgmq),
        *vouching.findings(session, database.pgmq.schema_name, "pgmq", database.pgmq.enabled),
    ]


def _findings(pgmq: Pgmq) -> Iterator[Finding]:
    if not pgmq.queues:
        yield Finding(WARNING, "pgmq", "no queue is there, or none is included by the configuration")
    for name in pgmq.shared:
        yield Finding(WARNING, f"queue {name}", "shares its table with a queue whose name differs in capitals only")
    for name, queue in pgmq.queues.items():
        about, table = f"queue {name}", queue.tables.queue
        if table.shape.sequence is not None and queue.last_id is None:
            message = "its sequence may not be read: arrivals are counted by statistics; grant select on the sequence"
            yield Finding(WARNING, about, message)
        if not table.probed_by_vt:
            message = "has no index on vt: the ready age is exact only among the first count_limit jobs"
            yield Finding(NOTE, about, message)
        if queue.tables.archive is not None and not queue.tables.archive.timed:
            message = "its archive does not tell when jobs were read (an older pgmq): no run times"
            yield Finding(NOTE, about, message)


def indexes(pgmq: Pgmq, session: Session) -> list[Index]:
    """Partitioned queues are made without an index on ``vt``; ``pgmq.read`` itself gains from one too."""
    wanted = []
    for name, queue in sorted(pgmq.queues.items()):
        table = queue.tables.queue
        if queue.dropped_at is None and not table.probed_by_vt and "vt" not in table.shape.indexed:
            on = session.quoted(queue.tables.schema, table.root.name)
            how = "create index concurrently" if len(table.leaves) == 1 else "create index"
            statement = f"{how} on {on} (vt)"
            wanted.append(Index(statement, f"{name}: the longest-ready job is one probe away, whatever the backlog"))
    return wanted
