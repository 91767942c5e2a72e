"""From what bounded passes saw to numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.pgmq_counts import LEASES, Counted, Seen, derive

LIMIT = 10_000


def by_vt(ready: int, leased: int, scheduled: int, *, head: int | None = None, limit: int = LIMIT) -> Seen:
    """What passes by vt see of such a queue, leases ending before delays."""
    cap = limit + 1
    unready = min(cap, leased + scheduled)
    beyond = leased + scheduled > limit
    last = range(unready - LEASES, unready)
    farthest = range(leased + scheduled - LEASES, leased + scheduled)
    return Seen(
        queue="mail",
        ready=min(cap, ready),
        unready=unready,
        leased=min(unready, leased),
        beyond_looked_at=2 * LEASES if beyond else 0,
        beyond_leased=sum(place < leased for place in (*last, *farthest)) if beyond else 0,
        oldest_ready=1.0 if ready else None,
        next_ready=2.0 if leased + scheduled else None,
        oldest_read=None,
        redelivered=0,
        oldest_enqueued=None,
        head=head,
    )


def by_key(ready: int, leased: int, scheduled: int, *, head: int | None = None) -> Seen:
    """What a pass by id saw."""
    return by_vt(ready, leased, scheduled, head=head)._replace(
        ready=ready, unready=leased + scheduled, leased=leased, beyond_looked_at=0, beyond_leased=0
    )


def states(counted: Counted) -> tuple[int, int, int]:
    return counted.ready, counted.scheduled, counted.in_flight


numbers = st.integers(0, 30_000)
half = st.integers(0, LIMIT // 2)


@given(st.integers(0, LIMIT), half, half, numbers)
def test_below_the_caps_all_is_exact_whatever_the_catalogue_believes(
    ready: int, leased: int, scheduled: int, rows: int
) -> None:
    counted = derive(by_vt(ready, leased, scheduled, head=0), limit=LIMIT, rows=rows, by_key=False)
    assert states(counted) == (ready, scheduled, leased)
    assert not counted.estimated


@given(numbers, numbers, numbers, st.integers(0, 200_000))
def test_no_estimate_is_below_what_was_seen(ready: int, leased: int, scheduled: int, rows: int) -> None:
    seen = by_vt(ready, leased, scheduled, head=0)
    counted = derive(seen, limit=LIMIT, rows=rows, by_key=False)
    assert counted.ready >= seen.ready
    assert counted.in_flight + counted.scheduled >= seen.unready
    assert counted.in_flight >= seen.leased
    assert min(states(counted)) >= 0


@given(numbers, numbers, numbers, st.integers(-20, 20))
def test_the_sum_is_the_catalogues_beyond_a_cap(ready: int, leased: int, scheduled: int, wrong: int) -> None:
    true = ready + leased + scheduled
    rows = round(true * (1 + wrong / 100))
    seen = by_vt(ready, leased, scheduled, head=0)
    counted = derive(seen, limit=LIMIT, rows=rows, by_key=False)
    if seen.ready > LIMIT or seen.unready > LIMIT:
        assert counted.estimated
        assert sum(states(counted)) == max(rows, seen.ready + seen.unready)
    if seen.ready <= LIMIT:
        assert counted.ready == ready
    if seen.unready <= LIMIT:
        assert counted.in_flight + counted.scheduled == leased + scheduled


@given(st.integers(0, LIMIT), st.integers(0, LIMIT), st.integers(0, LIMIT), st.integers(0, 200_000))
def test_a_pass_by_id_is_exact_up_to_its_cap_and_keeps_shares_beyond(
    ready: int, leased: int, scheduled: int, rows: int
) -> None:
    seen = by_key(ready, leased, scheduled, head=0)
    counted = derive(seen, limit=LIMIT, rows=rows, by_key=True)
    if ready + leased + scheduled <= LIMIT:
        assert states(counted) == (ready, scheduled, leased)
        assert not counted.estimated
    else:
        assert counted.estimated
        assert sum(states(counted)) == max(rows, ready + leased + scheduled)
        assert counted.ready >= ready
        assert counted.in_flight + counted.scheduled >= leased + scheduled


@pytest.mark.parametrize(
    ("leased", "scheduled", "in_flight"),
    [(3_000, 60_000, 3_000), (60_000, 0, 60_000), (12_000, 500, 12_000), (0, 30_000, 0)],
    ids=["delays-beyond", "leases-alone", "a-few-delays", "delays-alone"],
)
def test_beyond_the_limit_the_split_is_that_of_those_beside(leased: int, scheduled: int, in_flight: int) -> None:
    seen = by_vt(0, leased, scheduled)
    counted = derive(seen, limit=LIMIT, rows=leased + scheduled, by_key=False)
    assert counted.estimated
    assert counted.in_flight == pytest.approx(in_flight, rel=0.06)
    assert counted.in_flight + counted.scheduled == leased + scheduled


@pytest.mark.parametrize(
    ("seen", "by_key", "head"),
    [
        (by_vt(0, 30, 12), False, 42),
        (by_vt(0, 0, 0), False, 0),
        (by_vt(0, 20_000, 0), False, LIMIT),
        (by_vt(500, 30, 0, head=30), False, 30),
        (by_vt(500, 12_000, 0), False, None),
        (by_key(500, 3_000, 0, head=3_000), True, 3_000),
        (by_key(500, 3_000, 0), True, LIMIT),
    ],
    ids=["none-ready", "empty", "none-ready-capped", "short", "longer-than-looked-at", "by-key", "by-key-unknown"],
)
def test_unready_head(seen: Seen, by_key: bool, head: int | None) -> None:
    assert derive(seen, limit=LIMIT, rows=0, by_key=by_key).unready_head == head
