"""The samples of a job table's queues: what became of their jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .. import names
from ..model import Sample
from .distributions import empty
from .jobtable_selects import FINISHED, RETRIED, TIMED
from .tenancy_samples import finished_by_tenant, members

if TYPE_CHECKING:
    from ..config import Database
    from ..config import JobTable as Described
    from .jobtable import JobTable
    from .jobtable_queue import Recorded
    from .source import Moment

_NO_QUEUE: Final = ""
_NO_TENANT: Final = ""


def samples(source: JobTable, table: Described, database: Database, moment: Moment) -> Iterator[Sample]:
    """Everything known and fresh of every queue, under the source that it belongs to; and whether rows are hidden."""
    if source.hides is not None and source.hides[1] >= moment.oldest(names.FINISHED):
        # Of which queues rows are hidden, nobody knows.
        yield Sample(names.ROWS_HIDDEN, (database.name, source.label, _NO_QUEUE), int(source.hides[0]))
    if source.read_at is None or source.read_at < moment.oldest(names.FINISHED):
        return
    for label, name in moment.shown:
        if label == table.queue_source:
            source.know(database, name)  # before its first row ends, so that its counters start at 0
    known = source.queues
    for name, recorded in known.items():
        labels = (database.name, table.queue_source, name)
        source.whose.take(recorded, database, table, name)
        if labels[1:] in moment.shown:
            recorded.shown = True
        elif recorded.shown:
            continue  # its own source does not show it any more: it is dropped
        else:
            # Its own source does not know it, or it has none: its info comes from here.
            owners = database.dead_letter_queues.owner_of(name, known)
            role = database.dead_letter_queues.role(name, known)
            dead_letters = database.dead_letter_queues.dead_letter_queue(name, known)
            yield Sample(names.QUEUE_INFO, (*labels, role, dead_letters, ",".join(owners), "", "", ""), 1)
        yield from _recorded(source, table, recorded, labels)


def _recorded(source: JobTable, table: Described, recorded: Recorded, labels: tuple[str, str, str]) -> Iterator[Sample]:
    definition = source.definition
    if table.alone and table.enqueued is not None and definition is not None and not definition.no_arrivals:
        yield Sample(names.ENQUEUED, labels, recorded.enqueued)
    outcomes = [outcome for outcome in FINISHED if outcome in recorded.finished or table.can_say(outcome)]
    retried = table.retries == "attempt" or recorded.retried > 0 or table.can_say(RETRIED)
    timed = (names.FAILED if outcome == names.DEAD_LETTERED else outcome for outcome in outcomes if outcome in TIMED)
    runs = list(dict.fromkeys(timed)) if table.started is not None else []
    waits = table.started is not None and table.enqueued is not None
    if recorded.by_tenant is not None:
        by = recorded.by_tenant
        yield from finished_by_tenant(by, labels, finished=outcomes, runs=runs, retried=retried, waits=waits)
        if recorded.decides:
            yield from members(by.membership, labels)
        return
    for outcome in outcomes:
        yield Sample(names.FINISHED_JOBS, (*labels, _NO_TENANT, outcome), recorded.finished[outcome])
    if retried:
        yield Sample(names.RETRIED, (*labels, _NO_TENANT), recorded.retried)
    for outcome in runs:
        yield Sample(names.RUN, (*labels, _NO_TENANT, outcome), recorded.run.get(outcome, empty()))
    if waits:
        yield Sample(names.WAIT, (*labels, _NO_TENANT), recorded.wait)
