"""The tenants of pg-boss's queues: every live job of small queues, random pages for the large ones of a table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .. import names
from ..errors import SourceError
from ..model import Fault
from ..tenants import LONGEST_WAITING, Look, Standing, label
from .batches import allowance, read_batches
from .pgboss_selects import BEGINNING, function_of
from .pinned import rules_of
from .postgres import raw, statement, values
from .tenancy import FOLD, STATES, Cost, Tenancy, TenantRow, by_state, kept, look_of, odd, share_of_rows, value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..config import Database, TenantOf
    from ..tenants import Rules
    from .pgboss_queue import Queue
    from .pgboss_tables import JobTable
    from .postgres import Query, Session

#: Pages that a sample reads, and rows that it may return: of jobs that come in bursts, a few of a page do.
_PAGES: Final = 2000
_MOST_ROWS: Final = 10_000

#: Bytes of a page.
_PAGE: Final = 8192

#: Of large queues, at least so many of the longest-ready jobs are looked at for the ages of their tenants.
_LEAST_OLDEST: Final = 100


class Reading:
    """Looks at the tenants of the queues that changed since they were looked at."""

    def __init__(self) -> None:
        self._cost = Cost()

    def read(self, session: Session, database: Database, queues: Sequence[Queue]) -> list[Fault]:
        """Shares and ages of tenants. Gives the queues that could not be asked."""
        faults: list[Fault] = []
        rules = rules_of(database)
        due = self._due(queues, rules)
        for queue in [queue for queue in due if _tenancy(queue).rule.queue_name is not None]:
            _take(queue, _look_by_name(queue, session.now), rules)
            due.remove(queue)
        until = allowance(database)
        # Beyond the counting limit it is not known how many jobs there are, and some would pass for all.
        counted = (queue for queue in due if queue.table.live is not None and _depth(queue) <= database.count_limit)
        indexed = sorted(counted, key=_depth)
        small = indexed[: self._cost.wholes(map(_depth, indexed))]
        self._read_small(session, small, rules, until, faults)
        by_table: dict[tuple[int, TenantOf], list[Queue]] = {}
        for queue in due:
            if queue not in small:
                by_table.setdefault((queue.table.relid, _tenancy(queue).rule), []).append(queue)
        large = sum(1 for queue in due if queue not in small)
        for group in by_table.values():
            if time.monotonic() < until:
                table = group[0].table.relation
                depths = [_depth(queue) for queue in queues if queue.table.relid == table.relid and queue.counted]
                # Beyond the counting limit, the table's rows are all that is known.
                rows = sum(depths) if max(depths) <= database.count_limit else max(sum(depths), table.live_rows)
                oldest = max(_LEAST_OLDEST, database.count_limit // large)
                self._read_table(session, group, rules, oldest, rows, faults)
        return faults

    def _due(self, queues: Sequence[Queue], rules: Rules) -> list[Queue]:
        due = []
        for queue in queues:
            if queue.tenancy is None or queue.counted is None:
                continue
            if queue.tenancy.signature == _signature(queue):
                queue.tenancy.unchanged(rules, time.monotonic())
            else:
                due.append(queue)
        return due

    def _read_small(
        self, session: Session, queues: list[Queue], rules: Rules, until: float, faults: list[Fault]
    ) -> None:
        spent = session.spent
        failed: set[str] = set()

        def note(queue: Queue, error: SourceError) -> None:
            failed.add(queue.listed.queue)
            if error.reason != "missing":
                faults.append(_fault(queue, error))

        rows = read_batches(session, queues, lambda queue: _all(queue, rules), TenantRow, note, until)
        self._cost.learn_rows(session.spent - spent, sum(_depth(queue) for queue in queues))
        found = _by_queue(rows)
        for queue in queues:
            name = queue.listed.queue
            # No row: not reached in time, unless there is no job.
            if name in found or (_depth(queue) == 0 and name not in failed):
                _take(queue, look_of(found.get(name, []), session.now, exact=True), rules)

    def _read_table(
        self, session: Session, group: list[Queue], rules: Rules, oldest: int, live: int, faults: list[Fault]
    ) -> None:
        """The large queues of a table, and those of one without an index over live jobs: whole, or by a sample."""
        table = group[0].table
        whole = self._cost.cheaper_whole(table.relation.live_rows)
        spent = session.spent
        try:
            rows = session.read(_scan(group, rules) if whole else _sample(group, rules, live), TenantRow)
            if not whole:
                self._cost.learn_sample(session.spent - spent)
            times: Mapping[str, list[TenantRow]] = {}
            if not whole and table.live is not None:
                times = _by_queue(
                    read_batches(
                        session, group, lambda queue: _oldest(queue, rules, oldest), TenantRow, lambda *_: None
                    )
                )
        except SourceError as error:
            if error.reason == "connection":
                raise
            faults.append(_fault(group[0], error))
            return
        found = _by_queue(rows)
        for queue in group:
            name = queue.listed.queue
            look = look_of(found.get(name, []), session.now, exact=whole, oldest=times.get(name, []))
            _take(queue, look, rules)


def _by_queue(rows: Sequence[TenantRow]) -> dict[str, list[TenantRow]]:
    found: dict[str, list[TenantRow]] = {}
    for row in rows:
        found.setdefault(row.queue, []).append(row)
    return found


def _fault(queue: Queue, error: SourceError) -> Fault:
    return Fault(queue.listed.queue, error.reason, error.detail)


def _tenancy(queue: Queue) -> Tenancy:
    assert queue.tenancy is not None  # noqa: S101  # only queues with tenants are due
    return queue.tenancy


def _jobs(queue: Queue) -> dict[str, int]:
    """The queue's jobs by state, as counted by index or by the last scan."""
    counted, scanned = queue.counted, queue.scanned
    jobs = {names.READY: counted.ready, names.SCHEDULED: counted.scheduled} if counted is not None else {}
    if counted is not None and counted.active is not None:
        rest = {names.IN_FLIGHT: counted.active, names.BLOCKED: counted.blocked, names.FAILED: counted.failed}
    elif scanned is not None:
        rest = {names.IN_FLIGHT: scanned.active, names.BLOCKED: scanned.blocked, names.FAILED: scanned.failed_now}
    else:
        rest = {}
    return jobs | {state: count or 0 for state, count in rest.items()}


def _depth(queue: Queue) -> int:
    return sum(_jobs(queue).values())


def _signature(queue: Queue) -> object:
    return (queue.counted_signature, tuple(_jobs(queue).values()))


def _take(queue: Queue, look: Look, rules: Rules) -> None:
    _tenancy(queue).take(look, rules, time.monotonic())
    _tenancy(queue).signature = _signature(queue)


def _look_by_name(queue: Queue, now: float) -> Look:
    """All jobs belong to the tenant in the queue's name."""
    tenant = label(_tenancy(queue).rule.in_name(queue.listed.queue))
    jobs = {state: float(count) for state, count in _jobs(queue).items()}
    return Look(True, now, {tenant: Standing(jobs, queue.oldest_ready())}, {}, 0)


def _state(table: JobTable) -> Query:
    blocked = "when t.blocked then 'blocked' " if "blocked" in table.columns else ""
    return raw(
        "case when t.state = 'active' then 'in_flight' when t.state = 'failed' then 'failed' "
        f"{blocked}when t.start_after <= now() then 'ready' else 'scheduled' end"
    )


def _shared(group: Sequence[Queue]) -> dict[str, object]:
    table = group[0].table
    return {
        "table": table.rows([queue.listed.queue for queue in group], whole=True),
        "value": value(_tenancy(group[0]).rule, table.columns, "data"),
        "state": _state(table),
    }


def _look(
    rows: str,
    group: Sequence[Queue],
    rules: Rules,
    named: Sequence[str],
    table: Query | None = None,
    *,
    many: bool = False,
    **bounds: object,
) -> Query:
    """Tenants of the jobs that the SELECT ``rows`` finds within its bounds."""
    where = {**_shared(group), **({} if table is None else {"table": table}), **bounds}
    return statement(
        "tenants_many" if many else "tenants",
        function_of(group[0].table.schema, rows.removeprefix("pgboss_")),
        kept=kept(named),
        odd=odd(named),
        most=rules.shown + LONGEST_WAITING,
        waiting=LONGEST_WAITING,
        fold=raw(FOLD),
        groups=by_state(statement(rows, **where), many=many),
        **({} if many else STATES),
        names=_names(group),
        **bounds,
    )


def _all(queue: Queue, rules: Rules) -> Query:
    return _look(
        "pgboss_tenants_all",
        [queue],
        rules,
        (*rules.pinned, *_tenancy(queue).membership.shown),
        queue=queue.listed.queue,
        live=raw(queue.table.live or "true"),
        # A queue that has grown since it was counted is not read whole.
        cap=2 * _depth(queue) + 100,
    )


def _scan(group: Sequence[Queue], rules: Rules) -> Query:
    return _look("pgboss_tenants_scan", group, rules, _shown(group, rules), many=True, queues=_names(group))


def _sample(group: Sequence[Queue], rules: Rules, live: int) -> Query:
    pages = max(1, group[0].table.relation.bytes // _PAGE)
    percent, thin = share_of_rows(pages, _PAGES, live, _MOST_ROWS)
    return _look(
        "pgboss_tenants_sample",
        group,
        rules,
        _shown(group, rules),
        group[0].table.name,
        many=True,
        of=group[0].table.of([queue.listed.queue for queue in group]),
        queues=_names(group),
        percent=percent,
        thin=thin,
        cap=_MOST_ROWS,
    )


def _names(group: Sequence[Queue]) -> Query:
    return values([queue.listed.queue for queue in group])


def _shown(group: Sequence[Queue], rules: Rules) -> tuple[str, ...]:
    shown = () if len(group) > 1 else _tenancy(group[0]).membership.shown
    return (*rules.pinned, *shown)


def _oldest(queue: Queue, rules: Rules, most: int) -> Query:
    return _look(
        "pgboss_tenants_oldest",
        [queue],
        rules,
        (*rules.pinned, *_tenancy(queue).membership.shown),
        queue=queue.listed.queue,
        live=raw(queue.table.live or "true"),
        unblocked=raw("not blocked" if "blocked" in queue.table.columns else "true"),
        ready_from=raw(BEGINNING) if queue.ready_from is None else statement("time", at=queue.ready_from),
        cap=most,
    )
