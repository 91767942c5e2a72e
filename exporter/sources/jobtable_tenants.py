"""Whose jobs a job table records: by which tenants its queues are told apart, and who of these is shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from ..errors import SourceError
from ..tenants import LONGEST_WAITING, OTHER, Look, label
from .jobtable_selects import (
    MOST_BY_TENANT,
    FinishedRow,
    Kept,
    Window,
    finished_by_tenant_select,
    finished_select,
)
from .outcomes import Outcomes
from .pinned import rules_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..config import Database
    from ..config import JobTable as Described
    from ..tenants import Rules
    from .jobtable_definition import Definition
    from .jobtable_queue import Recorded
    from .postgres import Session
    from .tenancy import Tenancy

#: After a failure jobs are read without tenants for so long, in seconds.
_PAUSE: Final = 60.0

#: A job table sees jobs when they have ended: nobody waits.
_NOBODY: Final = Look(True, 0.0, {}, {}, 0)


class Watching(Protocol):
    """A source whose queues a job table may describe."""

    @property
    def label(self) -> str:
        """The value of the label ``source``."""

    def tenancy(self, queue: str) -> Tenancy | None:
        """What it remembers of a queue's tenants; None where it knows of none."""


class Whose:
    """The tenants of the queues of one job table.

    Where the queue's own source shows its tenants, the same ones are shown here: so that a queue has so many and no
    more. Else those whose jobs ended the most lately.
    """

    def __init__(self) -> None:
        #: The sources of the same database by label.
        self.beside: Mapping[str, Watching] = {}
        self._plain_until = float("-inf")

    def take(self, recorded: Recorded, database: Database, table: Described, queue: str) -> None:
        """See whether a queue has tenants, and who decides on them."""
        rule = database.tenants.first(table.queue_source, queue)
        if rule is not None:
            has = not rule.none and (table.tenant is not None or rule.queue_name is not None or not table.alone)
        else:
            has = table.tenant is not None
        if not has:
            recorded.by_tenant = None
            return
        recorded.by_tenant = recorded.by_tenant or Outcomes()
        in_name = rule is not None and rule.queue_name is not None and table.tenant is None
        recorded.in_name = label(rule.in_name(queue)) if in_name and rule is not None else None
        source = self.beside.get(table.queue_source)
        tenancy = source.tenancy(queue) if source is not None else None
        recorded.decides = tenancy is None
        if tenancy is not None:
            recorded.by_tenant.membership = tenancy.membership

    def read(
        self,
        session: Session,
        database: Database,
        definition: Definition,
        window: Window,
        known: Mapping[str, Recorded],
    ) -> tuple[list[FinishedRow], str]:
        """The jobs that finished in a window, by tenant where that can be told, and why it could not.

        Tenants that cannot be looked up are no reason not to count jobs. Raises SourceError.
        """
        table, types, why = definition.table, definition.types, ""
        if definition.tenants and time.monotonic() >= self._plain_until:
            rules = rules_of(database)
            kept = [_kept(queue, recorded.by_tenant, rules, recorded) for queue, recorded in known.items()]
            most = rules.shown + LONGEST_WAITING
            select = finished_by_tenant_select(
                table, types, window, [entry for entry in kept if entry is not None], most
            )
            try:
                rows = session.read(select, FinishedRow, by_index=True)
            except SourceError as error:
                if error.reason in ("connection", "timeout", "lock"):
                    raise
                self._plain_until = time.monotonic() + _PAUSE
                why = f"tenant: {error.detail}"
            else:
                if len(rows) < MOST_BY_TENANT:
                    return rows, ""
                why = f"tenant: more than {MOST_BY_TENANT:,} of queue, outcome and tenant at once: all in {OTHER}"
        return session.read(finished_select(table, types, window), FinishedRow, by_index=True), why

    def choose(self, queues: Iterable[Recorded], database: Database) -> None:
        """Decide anew who is shown of the queues that no source decides on."""
        rules, now = rules_of(database), time.monotonic()
        for recorded in queues:
            outcomes = recorded.by_tenant
            if outcomes is not None and recorded.decides and outcomes.membership.due(rules, now):
                outcomes.membership.choose(_NOBODY, rules, now)
                outcomes.follow()


def _kept(queue: str, outcomes: Outcomes | None, rules: Rules, recorded: Recorded) -> Kept | None:
    if outcomes is None:
        return Kept(queue, (), 0)
    shown = outcomes.membership.shown
    room = max(0, rules.shown - len(shown)) if recorded.decides else 0
    return Kept(queue, tuple(shown), room + LONGEST_WAITING)
