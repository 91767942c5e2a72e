"""What a window or a scan tells of jobs that were created and that ended, and of the unfinished."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Ended(NamedTuple):
    """A row of ``pgboss_window.sql`` or ``pgboss_scan.sql``: jobs of one outcome that waited and ran about as long.

    Every queue that was read has at least one row; of jobs that did not end in the slice, ``outcome`` is None. From
    ``active`` on: the unfinished jobs, which a scan counts on its way; None from a window. Times are epoch seconds of
    the server, ``*_seconds`` sums, ``*_within`` how many bounds of a histogram a time does not exceed; None without it.
    """

    queue: str
    outcome: str | None
    run_within: int | None
    wait_within: int | None
    jobs: int
    retried: int
    run_seconds: float
    wait_seconds: float
    enqueued: int
    tenant: str | None
    named: bool
    """Whether the jobs are of one tenant (None: of none); else of several of the queue, or not told apart."""
    active: int | None
    failed_now: int | None
    blocked: int | None
    oldest_started: float | None
    newest_started: float | None
    oldest_unfinished: float | None
    expired: int | None
    next_expiry: float | None
    newest_ended: float | None


class Unfinished(NamedTuple):
    """The unfinished jobs of a queue, as a scan counted them."""

    active: int
    failed_now: int
    blocked: int
    oldest_started: float | None
    newest_started: float | None
    oldest_unfinished: float | None
    expired: int
    next_expiry: float | None
    newest_ended: float | None


def unfinished(rows: Sequence[Ended]) -> Unfinished:
    """A queue's rows of a scan put together."""
    return Unfinished(
        active=sum(row.active or 0 for row in rows),
        failed_now=sum(row.failed_now or 0 for row in rows),
        blocked=sum(row.blocked or 0 for row in rows),
        oldest_started=least(*(row.oldest_started for row in rows)),
        newest_started=most(*(row.newest_started for row in rows)),
        oldest_unfinished=least(*(row.oldest_unfinished for row in rows)),
        expired=sum(row.expired or 0 for row in rows),
        next_expiry=least(*(row.next_expiry for row in rows)),
        newest_ended=most(*(row.newest_ended for row in rows)),
    )


def least(*times: float | None) -> float | None:
    """The earliest of those that are known."""
    return min((when for when in times if when is not None), default=None)


def most(*times: float | None) -> float | None:
    """The latest of those that are known."""
    return max((when for when in times if when is not None), default=None)
