"""Counters as sums of steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.steps import Steps

NONE: frozenset[int] = frozenset()

readings = st.lists(
    st.tuples(st.dictionaries(st.integers(1, 4), st.integers(0, 1_000), max_size=4), st.frozensets(st.integers(1, 4))),
    max_size=30,
)


@given(readings, st.booleans())
def test_a_counter_never_falls(script: list[tuple[dict[int, int], frozenset[int]]], restarts: bool) -> None:
    steps = Steps(restarts=restarts)
    for found, born in script:
        before = steps.total
        step = steps.advance(found, born)
        assert step >= 0
        assert steps.total == before + step


@given(st.lists(st.integers(0, 1_000), min_size=1))
def test_a_counter_that_only_grows_is_followed_exactly(increases: list[int]) -> None:
    steps = Steps(restarts=True)
    value = 500
    steps.advance({1: value}, NONE)
    assert steps.total == 0, "what was there before the exporter is no step"
    for increase in increases:
        value += increase
        steps.advance({1: value}, NONE)
    assert steps.total == sum(increases)


@pytest.mark.parametrize(("restarts", "expected"), [(True, 30), (False, 0)])
def test_a_reading_that_fell(restarts: bool, expected: int) -> None:
    """Statistics that were reset began anew from 0; a sequence that was set back did not."""
    steps = Steps(restarts=restarts)
    steps.advance({1: 1_000}, NONE)
    assert steps.advance({1: 30}, NONE) == expected
    assert steps.advance({1: 35}, NONE) == 5


def test_a_new_relation_counts_from_its_birth_and_an_old_one_from_its_first_reading() -> None:
    steps = Steps(restarts=True)
    steps.advance({1: 100}, NONE)
    assert steps.advance({1: 100, 2: 7, 3: 900}, frozenset({2})) == 7
    assert steps.advance({1: 101, 2: 8, 3: 901}, NONE) == 3


def test_a_relation_that_goes_leaves_its_steps() -> None:
    """A dropped partition; and one that comes back with an old id is not a step back, nor all it shows a step."""
    steps = Steps(restarts=True)
    steps.advance({1: 0, 2: 0}, NONE)
    steps.advance({1: 50, 2: 70}, NONE)
    assert steps.advance({1: 51}, NONE) == 1
    assert steps.total == 121
    assert steps.advance({1: 51, 2: 70}, NONE) == 0


def test_what_is_forgotten_is_no_step() -> None:
    """Another database, whose tables may have the same ids."""
    steps = Steps(restarts=True)
    steps.advance({1: 10}, NONE)
    steps.advance({1: 15}, NONE)
    assert steps.knows(1)
    steps.forget()
    assert not steps.knows(1)
    assert steps.advance({1: 5_000}, NONE) == 0
    assert steps.advance({1: 5_001}, NONE) == 1
    assert steps.total == 6
