"""The tenants of pgmq's queues: every job where that is cheaper than a sample, else an unbiased sample."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .. import names
from ..errors import SourceError
from ..tenants import LONGEST_WAITING, Look, Standing, label
from .batches import allowance, read_batches
from .pgmq_selects import first_id, ready_from, table_of
from .pinned import rules_of
from .postgres import raw, statement
from .tenancy import FOLD, Cost, TenantRow, kept, look_of, share_of_pages, value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Database
    from ..model import Fault
    from ..tenants import Rules
    from .access import Access
    from .pgmq_counts import Counted
    from .pgmq_queue import Queue
    from .postgres import Query, Session

#: Ids that a sample probes: shares of 5 % are then within 10 %, nine times in ten.
_PROBES: Final = 3000

#: Rows that a sample of pages may return.
_MOST_ROWS: Final = 20_000

#: At least so many of the probed ids must be there, or pages are sampled.
_DENSE: Final = 0.2

#: Bytes of a page.
_PAGE: Final = 8192

#: The state of a job in the table ``t``.
STATE: Final = raw("case when t.vt <= now() then 'ready' when t.read_ct > 0 then 'in_flight' else 'scheduled' end")


class Reading:
    """Looks at the tenants of the queues that changed since they were looked at."""

    def __init__(self, access: Access[Queue]) -> None:
        self._access = access
        self._cost = Cost()

    def read(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """Shares and ages of tenants. Gives the queues that could not be asked."""
        faults: list[Fault] = []
        rules = rules_of(database)
        due = self._due(queues, rules)
        named = [queue for queue in due if queue.tenancy is not None and queue.tenancy.rule.queue_name is not None]
        for queue in named:
            _take(queue, _look_by_name(queue, session.now), rules)
        asked = [queue for queue in due if queue not in named]
        exact = {
            queue.tables.listed.queue
            for queue in asked
            if not _counted(queue).estimated and self._cost.cheaper_whole(_depth(queue))
        }
        until, failed = allowance(database), self._access.failing(faults)
        small = [queue for queue in asked if queue.tables.listed.queue in exact]
        spent = session.spent
        rows = read_batches(session, small, lambda queue: _all(queue, rules), TenantRow, failed, until)
        self._cost.learn_rows(session.spent - spent, sum(_depth(queue) for queue in small))
        by_queue: dict[str, list[TenantRow]] = {}
        for row in rows:
            by_queue.setdefault(row.queue, []).append(row)
        for queue in small:
            found = by_queue.get(queue.tables.listed.queue)
            if found is not None:
                _take(queue, look_of(found, session.now, exact=True), rules)
            elif _depth(queue) == 0:
                _take(queue, look_of([], session.now, exact=True), rules)
        for queue in asked:
            if queue.tables.listed.queue not in exact and time.monotonic() < until:
                self._sample(session, database, queue, rules, faults)
        return faults + self._access.denied(queues)

    def _due(self, queues: Sequence[Queue], rules: Rules) -> list[Queue]:
        due = []
        for queue in self._access.readable(queues, lambda queue: queue.tenancy.looked_at if queue.tenancy else None):
            if queue.tenancy is None or queue.counted is None:
                continue
            if queue.tenancy.signature == _signature(queue):
                queue.tenancy.unchanged(rules, time.monotonic())
            else:
                due.append(queue)
        return due

    def _sample(self, session: Session, database: Database, queue: Queue, rules: Rules, faults: list[Fault]) -> None:
        """A large queue: random jobs for the shares, and the longest-ready ones for the ages."""
        spent = session.spent
        try:
            rows = session.read(_some(queue, rules), TenantRow)
            self._cost.learn_sample(session.spent - spent)
            oldest = session.read(_oldest(queue, rules, database.count_limit), TenantRow)
        except SourceError as error:
            if error.reason == "connection":
                raise
            self._access.failing(faults)(queue, error)
            return
        _take(queue, look_of(rows, session.now, exact=False, oldest=oldest), rules)


def _counted(queue: Queue) -> Counted:
    assert queue.counted is not None  # noqa: S101  # only counted queues are due
    return queue.counted


def _depth(queue: Queue) -> int:
    counted = _counted(queue)
    return counted.ready + counted.scheduled + counted.in_flight


def _signature(queue: Queue) -> object:
    counted = _counted(queue)
    return (queue.counted_signature, counted.ready, counted.scheduled, counted.in_flight)


def _take(queue: Queue, look: Look, rules: Rules) -> None:
    assert queue.tenancy is not None  # noqa: S101  # only queues with tenants are due
    queue.tenancy.take(look, rules, time.monotonic())
    queue.tenancy.signature = _signature(queue)


def _look_by_name(queue: Queue, now: float) -> Look:
    """All jobs belong to the tenant in the queue's name."""
    assert queue.tenancy is not None  # noqa: S101  # as above
    counted = _counted(queue)
    jobs = {
        names.READY: float(counted.ready),
        names.SCHEDULED: float(counted.scheduled),
        names.IN_FLIGHT: float(counted.in_flight),
    }
    tenant = label(queue.tenancy.rule.in_name(queue.tables.listed.queue))
    return Look(True, now, {tenant: Standing(jobs, queue.oldest_ready())}, {}, 0)


def _look(queue: Queue, rules: Rules, rows: str, **bounds: object) -> Query:
    """Tenants of the jobs that the SELECT ``rows`` finds within its bounds."""
    assert queue.tenancy is not None  # noqa: S101  # as above
    table = queue.tables.queue
    where = {
        "queue": queue.tables.listed.queue,
        "table": table_of(queue),
        "value": value(queue.tenancy.rule, table.shape.columns, "message"),
        "state": STATE,
        **bounds,
    }
    return statement(
        "tenants",
        rows,
        kept=kept((*rules.pinned, *queue.tenancy.membership.shown)),
        most=rules.shown + LONGEST_WAITING,
        waiting=LONGEST_WAITING,
        fold=raw(FOLD),
        rows=statement(rows, **where),
        **where,
    )


def _all(queue: Queue, rules: Rules) -> Query:
    # A queue that has grown since it was counted is not read whole.
    return _look(queue, rules, "pgmq_tenants_all", id_from=first_id(queue), cap=2 * _depth(queue) + 100)


def _some(queue: Queue, rules: Rules) -> Query:
    head = queue.probe.head_id if queue.probe is not None else None
    if head is not None and queue.last_id is not None and queue.tables.queue.key == "msg_id":
        span = queue.last_id - head + 1
        if span > 0 and _depth(queue) / span >= _DENSE:
            return _look(queue, rules, "pgmq_tenants_sample", first=head, last=queue.last_id, probes=_PROBES)
    pages = max(1, sum(leaf.bytes for leaf in queue.tables.queue.leaves) // _PAGE)
    percent = share_of_pages(pages, _PROBES, _depth(queue), _MOST_ROWS)
    return _look(queue, rules, "pgmq_tenants_pages", percent=percent, cap=_MOST_ROWS)


def _oldest(queue: Queue, rules: Rules, count_limit: int) -> Query:
    return _look(queue, rules, "pgmq_tenants_oldest", ready_from=ready_from(queue), cap=count_limit)
