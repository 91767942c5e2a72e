"""How much is read at once, and for how long a table that failed is left out."""

from __future__ import annotations

import time

import pytest

from exporter.model import Fault
from exporter.sources.batches import LeftOut
from exporter.sources.slices import START, Slice


def test_a_slice_halved_is_not_doubled_at_once() -> None:
    slice_ = Slice()
    slice_.learn(slow=True, whole=False)
    for _ in range(4):
        slice_.learn(slow=False, whole=True)
        assert slice_.seconds == START / 2
    slice_.learn(slow=False, whole=True)
    assert slice_.seconds == START


def test_a_slice_that_ended_where_all_is_read_tells_nothing() -> None:
    slice_ = Slice()
    for _ in range(20):
        slice_.learn(slow=False, whole=False)
    assert slice_.seconds == START


def test_a_lock_that_lasts_is_asked_for_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    left_out = LeftOut(5.0)
    for pause in (5, 10, 20, 40, 60, 60):
        left_out.add(1, Fault("", "lock", ""))
        now += pause - 0.1
        assert left_out.fault(1) is not None
        now += 0.2
        assert left_out.fault(1) is None
    left_out.answered(1)
    left_out.add(1, Fault("", "lock", ""))
    now += 5.1
    assert left_out.fault(1) is None
    left_out.add(1, Fault("", "timeout", ""))
    now += 59
    assert left_out.fault(1) is not None
