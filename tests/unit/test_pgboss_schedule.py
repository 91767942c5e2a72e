"""When a recurring job is due: as pg-boss's own cron parser has it."""

from __future__ import annotations

from datetime import datetime

import pytest

from exporter.sources.pgboss_schedule import ScheduleRow, due_after, overdue


def utc(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


def due(cron: str, timezone: str, fired: str, kind: str = "cron") -> float | None:
    return due_after(ScheduleRow("mail", "", cron, timezone, kind, 0.0, utc(fired)), 0.0)


@pytest.mark.parametrize(
    ("cron", "timezone", "fired", "expected"),
    [
        ("0 12 * * *", "UTC", "2026-03-07T12:00:20", "2026-03-08T12:00"),
        ("0 12 * * *", "Asia/Kathmandu", "2026-03-07T06:15:20", "2026-03-08T06:15"),
        # Half past two does not come on the day that the clock is put forward, and pg-boss does nothing then.
        ("30 2 * * *", "America/New_York", "2026-03-07T07:30:20", "2026-03-09T06:30"),
        ("*/15 * * * *", "America/New_York", "2026-03-08T06:45:20", "2026-03-08T07:00"),
        # Half past one comes twice on the day that it is put back, and pg-boss fires both times.
        ("30 1 * * *", "America/New_York", "2026-11-01T05:30:20", "2026-11-01T06:30"),
        ("0 * * * *", "America/New_York", "2026-11-01T05:00:20", "2026-11-01T06:00"),
        # Of six fields, the first is seconds.
        ("30 0 12 * * *", "UTC", "2026-03-07T12:00:40", "2026-03-08T12:00:30"),
        ("@daily", "UTC", "2026-03-07T00:00:20", "2026-03-08T00:00"),
    ],
)
def test_the_next_firing(cron: str, timezone: str, fired: str, expected: str) -> None:
    assert due(cron, timezone, fired) == utc(expected)


@pytest.mark.parametrize(
    ("cron", "timezone", "kind"),
    [
        ("FREQ=DAILY", "UTC", "rrule"),
        ("not a cron", "UTC", "cron"),
        # To croniter alone: random, hashed.
        ("R * * * *", "UTC", "cron"),
        ("H H * * *", "UTC", "cron"),
        ("", "UTC", "cron"),
        ("0 0 31 2 *", "UTC", "cron"),
        ("0 0 * * *", "Mars/Olympus", "cron"),
        ("0 0 * * *", "", "cron"),
        ("0 0 * * *", "../../etc/passwd", "cron"),
    ],
)
def test_what_cannot_be_read_is_not_judged(cron: str, timezone: str, kind: str) -> None:
    assert due(cron, timezone, "2026-03-07T12:00:20", kind) is None


def test_a_schedule_never_seen_to_fire_is_due_after_it_was_first_seen_or_changed() -> None:
    row = ScheduleRow("mail", "", "0 * * * *", "UTC", "cron", utc("2026-03-07T10:30"), None)
    assert due_after(row, utc("2026-03-07T08:30")) == utc("2026-03-07T11:00")
    assert due_after(row, utc("2026-03-07T13:30")) == utc("2026-03-07T14:00")


def test_a_minute_late_is_on_time() -> None:
    assert overdue(1000.0, 1060.0) == 0
    assert overdue(1000.0, 1061.0) == 61
