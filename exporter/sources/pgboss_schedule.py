"""Recurring jobs: when one should have come after the last that did."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

#: pg-boss looks at its schedules twice a minute and forwards with a poll: so late is on time, in seconds.
_GRACE: Final = 60.0


#: Letters that croniter takes for random or hashed times, and pg-boss for none.
_NOT_CRON: Final = re.compile(r"(?<![A-Za-z])[RHrh](?![A-Za-z])")


class Schedule(NamedTuple):
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


def overdue(schedule: Schedule, seen: float, now: float) -> float | None:
    """Seconds by which the next firing after the last one is late; 0 on time, None when that cannot be told.

    Without a record of a firing, those due since the schedule was first ``seen`` (or changed) are missed.
    """
    if schedule.kind != "cron" or _NOT_CRON.search(schedule.cron):
        return None
    after = schedule.fired if schedule.fired is not None else max(seen, schedule.since)
    after = max(after, schedule.since)
    try:
        zone = ZoneInfo(schedule.timezone)
        start = datetime.fromtimestamp(after, zone)
        due = croniter(schedule.cron, start, second_at_beginning=True).get_next(datetime).timestamp()
    except (CroniterBadCronError, CroniterBadDateError, ZoneInfoNotFoundError, ValueError, OverflowError, OSError):
        return None
    late = now - due
    return late if late > _GRACE else 0.0
