"""What became of the jobs of a pg-boss queue, by tenant."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from .. import names
from ..tenants import OTHER, label
from .distributions import cumulative
from .pgboss_queue import ran_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .pgboss_ended import Ended
    from .pgboss_queue import Queue


def add_by_tenant(queue: Queue, rows: Sequence[Ended]) -> None:
    """Add jobs that ended to the labels that their tenants have now; all of one slice at once."""
    tenancy = queue.tenancy
    if tenancy is None or queue.described:
        return
    finished: dict[str, Counter[str]] = {outcome: Counter() for outcome in queue.finished}
    retried: Counter[str] = Counter()
    in_name = label(tenancy.rule.in_name(queue.listed.queue)) if not queue.divided else None
    for row in rows:
        if row.outcome is None:
            continue
        name = in_name or (label(row.tenant) if row.named else OTHER)
        finished[row.outcome][name] += row.jobs
        retried[name] += row.retried
        if row.outcome == names.CANCELLED:
            continue
        if row.run_within is not None:
            buckets = cumulative(row.run_within, row.jobs)
            tenancy.time(ran_as(row.outcome), name, buckets, row.jobs, row.run_seconds)
        if row.wait_within is not None:
            tenancy.time_wait(name, cumulative(row.wait_within, row.jobs), row.jobs, row.wait_seconds)
    tenancy.add(finished, retried, time.monotonic())
