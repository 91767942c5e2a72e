"""What became of the jobs of a pg-boss queue, by tenant: rows of one slice of time put together, and told apart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .. import names
from ..tenants import OTHER, label
from .pgboss_queue import Ended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .pgboss_queue import Queue

_EARLIEST: Final = ("oldest_started", "oldest_unfinished", "next_expiry")
_LATEST: Final = ("newest_started", "newest_ended")


def together(rows: Sequence[Ended]) -> Ended:
    """The rows of one queue as one."""
    if len(rows) == 1:
        return rows[0]
    found: dict[str, object] = {"queue": rows[0].queue, "tenant": None, "named": False}
    for field in Ended._fields:
        known = [value for row in rows if (value := getattr(row, field)) is not None]
        if field in found:
            continue
        if not known:
            found[field] = None
        elif field in _EARLIEST or field in _LATEST:
            found[field] = min(known) if field in _EARLIEST else max(known)
        elif isinstance(known[0], list):
            found[field] = [sum(places) for places in zip(*known, strict=True)]
        else:
            found[field] = sum(known)
    return Ended(**found)  # type: ignore[arg-type]  # fields by their names


def add_by_tenant(queue: Queue, rows: Sequence[Ended]) -> None:
    """Add jobs that ended to the labels that their tenants have now; all of one slice at once."""
    tenancy = queue.tenancy
    if tenancy is None or queue.described:
        return
    finished: dict[str, dict[str, int]] = {outcome: {} for outcome in queue.finished}
    retried: dict[str, int] = {}
    for row in rows:
        if queue.divided:
            name = label(row.tenant) if row.named else OTHER
        else:
            name = label(tenancy.rule.in_name(queue.listed.queue))
        finished[names.COMPLETED][name] = row.completed
        finished[names.FAILED][name] = row.failed
        finished[names.DEAD_LETTERED][name] = row.dead_lettered
        finished[names.CANCELLED][name] = row.cancelled
        retried[name] = row.retried
        tenancy.time(names.COMPLETED, name, row.run_completed, row.runs_completed, row.run_completed_seconds)
        tenancy.time(names.FAILED, name, row.run_failed, row.runs_failed, row.run_failed_seconds)
        tenancy.time_wait(name, row.wait, row.waits, row.wait_seconds)
    tenancy.add(finished, retried, time.monotonic())
