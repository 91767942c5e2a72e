"""Recurring jobs: when one should have come after the last that did."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

#: pg-boss looks at its schedules twice a minute and forwards with a poll: so late is on time, in seconds.
_GRACE: Final = 60.0

#: Letters that croniter takes for random or hashed times, and pg-boss for none.
_NOT_CRON: Final = re.compile(r"(?<![A-Za-z])[RHrh](?![A-Za-z])")

#: So many times that do not exist, as a clock is put forward, are passed over in a row.
_GAPS: Final = 10


class ScheduleRow(NamedTuple):
    """A row of ``pgboss_schedules.sql``; times are epoch seconds of the server."""

    queue: str
    key: str
    cron: str
    timezone: str
    kind: str
    since: float
    """When it was made or last changed."""
    fired: float | None
    """When it was last forwarded; None when it never was, or that record is gone."""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Another recurrence is another schedule."""
        return (self.queue, self.key, self.cron, self.timezone)


class Schedule(NamedTuple):
    """A recurring job, and when its next firing is due (the server's clock); None when that cannot be told."""

    queue: str
    key: str
    cron: str
    timezone: str
    kind: str
    due: float | None


def due_after(row: ScheduleRow, seen: float) -> float | None:
    """When a recurring job is due after it was last ``seen`` on time, fired or changed; None when it cannot be told."""
    if row.kind != "cron" or _NOT_CRON.search(row.cron):
        return None
    try:
        zone = ZoneInfo(row.timezone)
        start = datetime.fromtimestamp(max(seen, row.since, row.fired or 0.0), zone)
        times = croniter(row.cron, start, second_at_beginning=True)
        for _ in range(_GAPS):
            due = times.get_next(datetime)
            # As a clock is put forward, croniter gives the hour after the gap, where pg-boss does nothing.
            if croniter.match(row.cron, due.replace(tzinfo=None), second_at_beginning=True):
                return due.timestamp()
    except (CroniterError, ZoneInfoNotFoundError, ValueError, OverflowError, OSError):
        return None
    return None


def overdue(due: float, now: float) -> float:
    """Seconds by which a firing is late; 0 on time."""
    return now - due if now - due > _GRACE else 0.0
