"""Which sources a database has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .jobtable import JobTable
from .pgboss import PgBoss
from .pgmq import Pgmq
from .vacuum import Vacuum

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config import Database
    from .source import Source


def sources_of(database: Database, known: Iterable[Source] = ()) -> tuple[Source, ...]:
    """The sources that the configuration asks for; those already known go on with what they remember."""
    wanted: list[Source] = []
    if database.pgmq.enabled is not False:
        wanted.append(Pgmq())
    if database.pgboss.enabled is not False:
        wanted += [
            PgBoss(schema, "pgboss" if place == 0 else f"pgboss:{schema}")
            for place, schema in enumerate(database.pgboss.schemas)
        ]
    # After those whose queues they describe.
    wanted += [JobTable(table.name, table.label) for table in database.job_tables]
    wanted.append(Vacuum())
    kept = {source.identity: source for source in known}
    sources = tuple(kept.get(source.identity, source) for source in wanted)
    watching = {source.label: source for source in sources if isinstance(source, (Pgmq, PgBoss))}
    for source in sources:
        if isinstance(source, JobTable):
            source.whose.beside = watching
    return sources
