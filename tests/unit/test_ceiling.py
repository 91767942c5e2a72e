"""The ceiling on the page: tenants give way, queues never, and no counter falls or jumps."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import names
from exporter.collector.ceiling import Ceiling
from exporter.collector.exposition import series
from exporter.config import TenantOf
from exporter.model import Distribution, Sample
from exporter.sources.tenancy import Tenancy
from exporter.tenants import NONE, OTHER, Look, Rules, Standing


class Queues:
    """So many queues, each with so many tenants that have one job each, and 10 series without a tenant a queue."""

    def __init__(self, queues: int, tenants: int, pinned: tuple[str, ...] = ()) -> None:
        self.rules = Rules(shown=50, histograms=0, pinned=pinned, forget_after=3600.0)
        self.tenancies = [Tenancy(rule=TenantOf(column="t")) for _ in range(queues)]
        self.finished = 0
        self.resize(tenants)

    def resize(self, tenants: int) -> None:
        self.tenants = tenants
        named = {f"t{n:03}": Standing({"ready": 1.0}, 100.0 + n) for n in range(tenants)}
        for tenancy in self.tenancies:
            tenancy.take(Look(True, 200.0, named | {NONE: Standing({"ready": 1.0}, 150.0)}, {}, 0), self.rules, 0.0)

    def work(self) -> None:
        """Every tenant finishes a job."""
        self.finished += self.tenants
        for tenancy in self.tenancies:
            tenancy.add({names.COMPLETED: {f"t{n:03}": 1 for n in range(self.tenants)}}, {}, 0.0)

    def samples(self) -> Iterator[Sample]:
        for place, tenancy in enumerate(self.tenancies):
            labels = ("db", "pgmq", f"q{place}")
            yield from (Sample(names.STALLED, (*labels[:2], f"{place}.{n}"), 0) for n in range(10))
            for name, jobs in tenancy.jobs("ready", self.tenants + 1).items():
                yield Sample(names.JOBS, (*labels, name, names.READY), jobs)
            for name, jobs in tenancy.finished(names.COMPLETED).draft().items():
                yield Sample(names.FINISHED_JOBS, (*labels, name, names.COMPLETED), jobs)


def admitted(ceiling: Ceiling, queues: Queues, database: str = "db") -> tuple[Sample, ...]:
    return ceiling.admit(database, queues.samples, queues.tenancies)


def limited(samples: tuple[Sample, ...]) -> float:
    (value,) = [sample.value for sample in samples if sample.metric is names.SERIES_LIMITED]
    assert not isinstance(value, Distribution)
    return value


def by_tenant(samples: tuple[Sample, ...], metric: object, queue: str = "q0") -> dict[str, int]:
    return {s.labels[3]: int(s.value) for s in samples if s.metric is metric and s.labels[2] == queue}  # type: ignore[arg-type]  # no histogram


def test_a_page_that_fits_is_left_alone() -> None:
    queues = Queues(3, 50)
    samples = admitted(Ceiling(10_000), queues)
    assert limited(samples) == 0
    assert len(by_tenant(samples, names.JOBS)) == 52


@pytest.mark.parametrize("limit", [1000, 500, 150, 80])
def test_tenants_give_way_until_it_fits_and_sums_stay(limit: int) -> None:
    queues = Queues(5, 50)
    whole = series(list(queues.samples()))
    samples = admitted(Ceiling(limit), queues)
    assert series(samples) <= limit
    assert limited(samples) == (whole > limit)
    for place in range(5):
        jobs = by_tenant(samples, names.JOBS, f"q{place}")
        assert sum(jobs.values()) == 51
        assert {OTHER, NONE} <= jobs.keys()


def test_what_it_uses_is_most_of_what_there_is() -> None:
    assert series(admitted(Ceiling(500), Queues(5, 50))) > 400


def test_the_pinned_and_the_longest_waiting_stay_longest() -> None:
    queues = Queues(5, 50, pinned=("t049",))
    jobs = by_tenant(admitted(Ceiling(150), queues), names.JOBS)
    assert {"t049", "t000"} <= jobs.keys()
    assert len(jobs) < 12


def test_no_counter_falls_or_jumps_when_tenants_give_way() -> None:
    queues, ceiling = Queues(5, 20), Ceiling(10_000)
    admitted(ceiling, queues)
    queues.work()
    before = by_tenant(admitted(ceiling, queues), names.FINISHED_JOBS)
    assert before["t000"] == 1
    ceiling.limit = 200
    after = by_tenant(admitted(ceiling, queues), names.FINISHED_JOBS)
    assert len(after) < len(before)
    assert after[OTHER] == before[OTHER]
    queues.work()
    then = by_tenant(admitted(ceiling, queues), names.FINISHED_JOBS)
    assert sum(then.values()) - sum(after.values()) == 20
    assert then[OTHER] > after[OTHER]


@given(st.lists(st.tuples(st.integers(70, 600), st.integers(1, 3)), min_size=1, max_size=12))
def test_rates_add_up_whatever_the_ceiling(cycles: list[tuple[int, int]]) -> None:
    """Jobs end, and tenants give way and come back, in the same cycle."""
    queues, ceiling = Queues(3, 20), Ceiling(10_000)
    before = by_tenant(admitted(ceiling, queues), names.FINISHED_JOBS)
    seen = 0
    for limit, works in cycles:
        ceiling.limit = limit
        for _ in range(works):
            queues.work()
        queues.resize(20)
        page = by_tenant(admitted(ceiling, queues), names.FINISHED_JOBS)
        # As Prometheus counts: a new series begins at 0, one that comes back goes on from where it was.
        for name, value in page.items():
            last = before.get(name, 0)
            assert value >= last
            seen += value - last
        before |= page
    assert seen == queues.finished


def pages(ceiling: Ceiling, databases: dict[str, Queues], cycles: int = 8) -> dict[str, int]:
    """Collects in turn; gives the last series of each, which together keep to the limit."""
    last = dict.fromkeys(databases, 0)
    for _ in range(cycles):
        for name, queues in databases.items():
            queues.resize(queues.tenants)
            last[name] = series(admitted(ceiling, queues, name))
    assert cycles < 2 or sum(last.values()) <= ceiling.limit
    return last


def test_a_tenant_that_gave_way_for_a_moment_counts_on() -> None:
    queues, ceiling = Queues(5, 20), Ceiling(10_000)
    admitted(ceiling, queues)
    for _ in range(3):
        queues.work()
        before = by_tenant(admitted(ceiling, queues), names.FINISHED_JOBS)
    for limit in (200, 10_000):
        ceiling.limit = limit
        for tenancy in queues.tenancies:
            tenancy.bound(0 if limit == 200 else None)
        queues.resize(20)
    after = by_tenant(admitted(ceiling, queues), names.FINISHED_JOBS)
    assert after == before
    assert after["t000"] == 3


@pytest.mark.parametrize("turned", [False, True])
def test_two_databases_share_the_page_whoever_came_first(*, turned: bool) -> None:
    ceiling, queues = Ceiling(1000), {"one": Queues(5, 50), "two": Queues(5, 50)}
    first, second = ("two", "one") if turned else ("one", "two")
    pages(ceiling, {first: queues[first]}, 2)
    shares = pages(ceiling, {first: queues[first], second: queues[second]})
    assert all(400 < share <= 500 for share in shares.values()), shares


def test_what_one_does_not_need_is_the_others() -> None:
    shares = pages(Ceiling(1000), {"large": Queues(5, 50), "small": Queues(1, 20), "other": Queues(5, 50)})
    small = series(list(Queues(1, 20).samples())) + 1
    assert shares["small"] == small
    assert all((1000 - small) * 0.4 < shares[name] <= (1000 - small) / 2 for name in ("large", "other")), shares


def test_one_that_needs_more_than_its_share_without_tenants_has_it_from_the_others() -> None:
    shares = pages(Ceiling(1000), {"many": Queues(45, 2), "other": Queues(5, 50)})
    assert shares["many"] > 600
    assert shares["other"] > 200


def test_who_is_gone_leaves_the_room_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr("exporter.collector.ceiling.time.monotonic", lambda: clock[0])
    ceiling, one, two = Ceiling(1000), Queues(5, 50), Queues(5, 50)
    pages(ceiling, {"one": one, "two": two})
    ceiling.forget("one")
    for _ in range(12):
        clock[0] += 61
        shares = pages(ceiling, {"two": two}, 2)
    assert shares["two"] == series(list(Queues(5, 50).samples())) + 1


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), min_size=1, max_size=25),
    st.integers(500, 1500),
)
def test_the_page_is_over_its_ceiling_only_by_what_cannot_be_cut(changes: list[tuple[str, int]], limit: int) -> None:
    """Of each database that comes to a full page, until the others have collected once."""
    databases = {name: Queues(4, 10) for name in "abc"}
    least = series(list(Queues(4, 0).samples())) + 1
    ceiling, last = Ceiling(limit), dict.fromkeys(databases, 0)
    for name, tenants in changes:
        databases[name].resize(tenants)
        last[name] = series(admitted(ceiling, databases[name], name))
        assert sum(last.values()) <= limit + least * (sum(map(bool, last.values())) - 1)
    pages(ceiling, databases, 1)
    assert sum(pages(ceiling, databases, 1).values()) <= limit


def test_it_is_told_once_while_it_settles(caplog: pytest.LogCaptureFixture) -> None:
    ceiling, one, two = Ceiling(600), Queues(5, 5), Queues(5, 50)
    for tenants in range(5, 51, 5):
        one.tenants = tenants
        pages(ceiling, {"one": one, "two": two}, 2)
    assert len(caplog.messages) == 2
    assert len(set(caplog.messages)) == 1


def test_it_is_told_once_and_lifted_when_there_is_room_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    clock = [1000.0]
    monkeypatch.setattr("exporter.collector.ceiling.time.monotonic", lambda: clock[0])
    queues, ceiling = Queues(5, 50), Ceiling(400)
    for _ in range(3):
        admitted(ceiling, queues)
    (line,) = caplog.messages
    assert line.startswith("the page is at its ceiling: ")
    shown = len(queues.tenancies[0].membership.shown)
    # Nothing swings while all is as it was.
    for _ in range(20):
        clock[0] += 61
        queues.resize(50)
        assert series(admitted(ceiling, queues)) <= 400
    assert len(caplog.messages) == 1
    assert abs(len(queues.tenancies[0].membership.shown) - shown) <= 1
    # The tenants went: there is room for all.
    for _ in range(20):
        clock[0] += 61
        queues.rules.forget_after = -1.0
        queues.resize(3)
        samples = admitted(ceiling, queues)
    assert limited(samples) == 0
    assert caplog.messages[1:] == ["the page is below its ceiling again: as many tenants as configured"]


def test_queues_are_never_cut_and_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    queues, ceiling = Queues(20, 5), Ceiling(100)
    for _ in range(3):
        samples = admitted(ceiling, queues)
    assert len({sample.labels[2] for sample in samples if sample.metric is names.JOBS}) == 20
    assert [line for line in caplog.messages if "even without tenants" in line] == caplog.messages[:1]
