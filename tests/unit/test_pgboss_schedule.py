"""When a recurring job is late."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from exporter.sources.pgboss_schedule import Schedule, overdue


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def late(cron: str, fired: str | None, now: str, zone: str = "UTC", seen: str = "2026-01-01") -> float | None:
    row = Schedule("q", "", cron, zone, "cron", at("2026-01-01"), at(fired) if fired else None)
    return overdue(row, at(seen), at(now))


@pytest.mark.parametrize(
    ("cron", "fired", "now", "zone", "expected"),
    [
        ("* * * * *", "2026-03-01 12:00:05", "2026-03-01 12:01:50", "UTC", 0),
        ("* * * * *", "2026-03-01 12:00:05", "2026-03-01 12:11:00", "UTC", 600),
        ("0 3 * * *", "2026-03-01 03:00:10", "2026-03-02 02:59:00", "UTC", 0),
        ("0 3 * * *", "2026-03-01 03:00:10", "2026-03-02 04:00:00", "UTC", 3600),
        # Three in the morning in Kolkata is 21:30 of the day before.
        ("0 3 * * *", "2026-02-28 21:30:10", "2026-03-01 22:30:00", "Asia/Kolkata", 3600),
        # pg-boss reads seconds first where there are six fields.
        ("0 0 3 * * *", "2026-03-01 03:00:10", "2026-03-02 04:00:00", "UTC", 3600),
        ("0 0 1 * *", "2026-02-01 00:00:10", "2026-02-20 00:00:00", "UTC", 0),
    ],
)
def test_late_is_counted_from_the_first_firing_that_did_not_come(
    cron: str, fired: str, now: str, zone: str, expected: float
) -> None:
    assert late(cron, fired, now, zone) == expected


def test_without_a_record_only_what_was_missed_since_it_was_seen_counts() -> None:
    assert late("0 3 * * *", None, "2026-03-02 02:00:00", seen="2026-03-01 04:00:00") == 0
    assert late("0 3 * * *", None, "2026-03-02 05:00:00", seen="2026-03-01 04:00:00") == 7200


@pytest.mark.parametrize("cron", ["every now and then", "R * * * *", "H H * * *", "61 * * * *", ""])
def test_what_cannot_be_read_is_not_judged(cron: str) -> None:
    assert late(cron, "2026-03-01 03:00:10", "2026-03-02 04:00:00") is None


def test_a_zone_that_is_none_is_not_judged() -> None:
    assert late("0 3 * * *", "2026-03-01 03:00:10", "2026-03-02 04:00:00", "Mars/Olympus") is None
