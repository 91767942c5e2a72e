"""From what bounded passes saw of a queue to its numbers, and which of them are estimates."""

from __future__ import annotations

from typing import Final, NamedTuple

#: So many leased jobs, by visibility time, are looked at for redeliveries; and so many unready ones at either end of
#: those beyond the counting limit for leases.
LEASES: Final = 1000

#: How many jobs are looked at by id.
FIRST: Final = 100


class Seen(NamedTuple):
    """A row of ``pgmq_counts_by_vt.sql`` or ``pgmq_counts_by_key.sql``; times are epoch seconds of the server."""

    queue: str
    ready: int
    unready: int
    leased: int
    beyond_looked_at: int
    """Where more are unready than the limit: jobs looked at on either side of those not seen."""
    beyond_leased: int
    oldest_ready: float | None
    next_ready: float | None
    oldest_read: float | None
    redelivered: int
    oldest_enqueued: float | None
    head: int | None


class Counted(NamedTuple):
    """A queue's numbers: jobs by state, whether any is an estimate, and the server's times (epoch seconds)."""

    ready: int
    scheduled: int
    in_flight: int
    estimated: bool
    unready_head: int | None
    """None: longer than was looked at."""
    redelivered: int
    oldest_ready: float | None
    next_ready: float | None
    oldest_read: float | None
    oldest_enqueued: float | None


def derive(seen: Seen, *, limit: int, rows: int, by_key: bool) -> Counted:
    """Numbers from what was seen. ``rows`` is the catalogue's belief of all rows, used beyond ``limit`` only.

    A state below the limit is exact. The rest of the rows goes to the state at the limit; no number is below what
    was seen.
    """
    ready, unready = seen.ready, seen.unready
    if by_key:
        capped = ready + unready > limit
        if capped:
            extra = max(0, rows - ready - unready)
            ready_share = ready / (ready + unready)
            ready += round(extra * ready_share)
            unready += extra - round(extra * ready_share)
    else:
        ready_capped, unready_capped = ready > limit, unready > limit
        capped = ready_capped or unready_capped
        if ready_capped and unready_capped:
            extra = max(0, rows - ready - unready)
            ready, unready = ready + extra - extra // 2, unready + extra // 2
        elif ready_capped:
            ready = max(ready, rows - unready)
        elif unready_capped:
            unready = max(unready, rows - ready)
    in_flight = seen.leased + round((unready - seen.unready) * _leased_share(seen))
    return Counted(
        ready=ready,
        scheduled=unready - in_flight,
        in_flight=in_flight,
        estimated=capped,
        unready_head=_head(seen, limit, by_key=by_key),
        redelivered=seen.redelivered,
        oldest_ready=seen.oldest_ready,
        next_ready=seen.next_ready,
        oldest_read=seen.oldest_read,
        oldest_enqueued=seen.oldest_enqueued,
    )


def _leased_share(seen: Seen) -> float:
    """The share of leases among unready jobs that were not seen: that of those beside them, else of those seen."""
    if seen.beyond_looked_at:
        return seen.beyond_leased / seen.beyond_looked_at
    return seen.leased / seen.unready if seen.unready else 0.0


def _head(seen: Seen, limit: int, *, by_key: bool) -> int | None:
    if seen.ready == 0:
        return min(limit, seen.unready)
    if seen.head is not None:
        return min(limit, seen.head)
    return limit if by_key else None
