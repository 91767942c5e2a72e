"""Sharing out the budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collector.budget import Spending, share_out

LONGEST = 60.0
OVERRUNS = 3.0


def spending(cost: float, *, every: float = 5.0, cheap: bool = False, feeds_rates: bool = False) -> Spending:
    """A part that has shown again and again what it costs."""
    return Spending(every, cheap, feeds_rates, cost, overruns=OVERRUNS)


parts = st.lists(
    st.builds(
        lambda cost, every, cheap: spending(cost, every=every, cheap=cheap),
        st.floats(0, 10),
        st.floats(1, 300),
        st.booleans(),
    ),
    max_size=10,
)


def spent(parts: list[Spending], *, cheap: bool) -> float:
    """The share of a core that those parts use at their intervals."""
    return sum(part.cost / part.interval for part in parts if part.cheap is cheap)


@given(st.floats(0.001, 0.5), parts)
def test_all_together_stay_under_the_budget(budget: float, parts: list[Spending]) -> None:
    share_out(budget, parts)
    cheap, dear = spent(parts, cheap=True), spent(parts, cheap=False)
    # Cheap parts keep their intervals, whatever they cost; the dear ones may always share a quarter.
    assert dear <= max(budget - cheap, budget / 4) * 1.000_001
    for part in parts:
        assert part.interval == part.every if part.cheap else part.interval >= part.every


@given(st.floats(0.001, 0.5), parts)
def test_nothing_is_stretched_that_need_not_be(budget: float, parts: list[Spending]) -> None:
    share_out(budget, parts)
    dear = [part for part in parts if not part.cheap]
    stretched = [part for part in dear if part.interval > part.every]
    if stretched:
        left = max(budget - spent(parts, cheap=True), budget / 4)
        assert spent(parts, cheap=False) == pytest.approx(left), "what is left is used up"
        # All that are stretched share alike, and none that runs as it should takes more.
        shares = [part.cost / part.interval for part in stretched]
        assert shares == pytest.approx([shares[0]] * len(shares))
        assert all(part.cost / part.interval <= shares[0] * 1.000_001 for part in dear)


def test_shares() -> None:
    cheap, small, large = spending(0.01, cheap=True), spending(0.005), spending(0.1)
    share_out(0.01, [cheap, small, large])
    assert (cheap.interval, small.interval) == (5.0, 5.0)
    # 1 % less 0.2 % for the cheap and 0.1 % for the small one.
    assert large.interval == pytest.approx(0.1 / 0.007)


def test_cheap_parts_that_spend_all_leave_a_quarter() -> None:
    cheap, large = spending(1.0, cheap=True), spending(0.1)
    share_out(0.01, [cheap, large])
    assert cheap.interval == 5.0
    assert large.interval == pytest.approx(0.1 / 0.0025)


# What is too dear for the longest interval.


def after(*costs: float, every: float = 5.0, feeds_rates: bool = False) -> Spending:
    """A part that has run so."""
    part = Spending(every, cheap=False, feeds_rates=feeds_rates)
    for cost in costs:
        part.ran(cost)
        share_out(0.01, [part])
        part.judge()
    return part


def test_one_dear_run_is_no_reason_to_be_silent_for_an_hour() -> None:
    assert after(35.0).interval == LONGEST
    assert after(35.0, 0.01, 0.01).interval == LONGEST, "whatever the mean says"
    assert after(35.0, *[0.01] * 30).interval == 5.0


def test_repeated_overruns_stretch() -> None:
    assert after(35.0, 35.0).interval == LONGEST
    assert after(35.0, 35.0, 35.0).interval == pytest.approx(3_500)
    assert after(*[35.0, 0.01] * 5, 35.0).interval > LONGEST, "also with runs in time between them"
    assert after(35.0, 35.0, 35.0, 0.01).interval == LONGEST, "and one in time ends it"


def test_over_is_said_of_parts_that_feed_rates_only() -> None:
    assert not after(*[2.0] * 5).over
    rate = after(2.0, 2.0, 2.0, feeds_rates=True)
    assert rate.over
    assert rate.interval == LONGEST
    assert not after(*[0.01] * 5, feeds_rates=True).over


def test_an_interval_that_is_asked_for_is_no_overrun() -> None:
    part = after(*[0.01] * 5, every=300.0, feeds_rates=True)
    assert not part.over
    assert part.interval == 300.0


def test_a_dearer_run_counts_at_once_and_cheaper_ones_bit_by_bit() -> None:
    part = spending(0.0)
    part.ran(1.0)
    assert part.cost == 1.0
    part.ran(0.0)
    assert part.cost == pytest.approx(0.7)
    part.ran(0.0)
    assert part.cost == pytest.approx(0.49)
    part.ran(0.6)
    assert part.cost == 0.6
