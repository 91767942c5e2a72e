"""The bound on tenants: who is shown, that numbers add up, that nothing flaps, that nothing ever falls."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.membership import Membership
from exporter.names import BUCKETS
from exporter.sources.outcomes import Timings
from exporter.tenants import NONE, OTHER, Look, Rules, Shares, Standing, Steps, apportion, label

RULES = Rules(shown=3, histograms=2, pinned=(), forget_after=3600.0)


def page_of(steps: Steps) -> dict[str, int]:
    """What a page shows of it."""
    page = dict(steps.draft())
    steps.published()
    return page


def look(jobs: dict[str, int], oldest: dict[str, float] | None = None) -> Look:
    """An exact look at ready jobs."""
    oldest = oldest or {}
    named = {name: Standing({"ready": float(count)}, oldest.get(name, 100.0)) for name, count in jobs.items()}
    return Look(exact=True, at=100.0, named=named, rest={}, unnamed=0)


def test_reserved_names_stay_reserved() -> None:
    assert [label(value) for value in (None, "", "_other", "_x", "acme")] == [NONE, "_", "__other", "__x", "acme"]


@given(st.integers(0, 10**7), st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), max_size=12))
def test_shares_add_up(total: int, weights: dict[str, float]) -> None:
    weights[OTHER] = weights.get(OTHER, 0.0)
    shares = apportion(total, weights)
    assert sum(shares.values()) == total
    assert all(share >= 0 for share in shares.values())
    sum_ = sum(weights.values())
    if sum_ > 0:
        for name, weight in weights.items():
            assert abs(shares[name] - total * weight / sum_) < 1


def test_exact_numbers_are_exact() -> None:
    shares = Shares()
    shares.take(look({"a": 7, "b": 5, "c": 1}))
    assert shares.counts("ready", 13, ["a", "b"]) == {"a": 7, "b": 5, OTHER: 1}


def test_the_order_of_the_places() -> None:
    member = Membership()
    jobs = {"starved": 1, "large": 1000, "middle": 500, "small": 2}
    oldest = {"starved": 1.0, "large": 90.0, "middle": 91.0, "small": 92.0}
    rules = Rules(shown=50, histograms=2, pinned=("vip",), forget_after=3600.0)
    crowd = {f"crowd {n:02}": 3 for n in range(80)}
    many = {f"crowd {n:02}": 95.0 + n / 100 for n in range(80)}
    member.choose(look(jobs | crowd, oldest | many), rules, 0.0)
    # Pinned, then the ten that waited longest, then by backlog.
    assert member.shown[:2] == ["vip", "starved"]
    assert {"large", "middle", "small"} <= set(member.shown)
    assert len(member.shown) == 50
    assert member.hidden == 84 - 49
    assert member.timed == ["vip", "starved", "large"]


def test_membership_does_not_flap_by_one_job() -> None:
    member = Membership()
    member.choose(look({"a": 50, "b": 40, "c": 10, "d": 9}), RULES, 0.0)
    first = list(member.shown)
    for turn in range(20):
        c, d = (10, 9) if turn % 2 else (9, 10)
        assert member.choose(look({"a": 50, "b": 40, "c": c, "d": d}), RULES, turn) == set()
        assert set(member.shown) == set(first)
    member.choose(look({"a": 50, "b": 40, "c": 10, "d": 30}), RULES, 30.0)
    assert "d" in member.shown


def test_who_goes_is_forgotten_but_for_the_pinned() -> None:
    member = Membership()
    rules = Rules(shown=3, histograms=2, pinned=("vip",), forget_after=60.0)
    member.choose(look({"a": 1}), rules, 0.0)
    member.choose(look({}), rules, 59.0)
    assert member.shown == ["vip", "a"]
    member.choose(look({}), rules, 61.0)
    assert member.shown == ["vip"]


def test_recent_work_is_a_reason_to_be_shown() -> None:
    member = Membership()
    member.work({"fast": 100}, 0.0)
    member.choose(look({"a": 1}), RULES, 0.0)
    assert member.shown == ["a", "fast"]


def test_ages_have_the_queues_as_their_largest() -> None:
    shares = Shares()
    shares.take(look({"a": 5, "b": 5}, {"a": 40.0, "b": 80.0}))
    counts = shares.counts("ready", 10, ["a"])
    assert shares.ages(60.0, 100.0, counts, ["a"]) == {"a": 60.0, OTHER: 20.0}
    # The queue's own age has grown beyond what the look knew: somebody in _other.
    assert shares.ages(70.0, 100.0, counts, ["a"]) == {"a": 60.0, OTHER: 70.0}
    # The oldest was taken meanwhile: nobody is older than the queue.
    assert shares.ages(30.0, 100.0, counts, ["a"]) == {"a": 30.0, OTHER: 20.0}


def test_three_samples_are_averaged_and_an_exact_look_replaces_them() -> None:
    def sample(a: int, rest: int) -> Look:
        return Look(False, 0.0, {"a": Standing({"ready": float(a)}, None)}, {"ready": float(rest)}, 9)

    shares = Shares()
    for a in (10, 20, 30, 40):
        shares.take(sample(a, 100 - a))
    assert shares.counts("ready", 1000, ["a"]) == {"a": 300, OTHER: 700}
    shares.take(look({"a": 1, "b": 1}))
    assert shares.counts("ready", 1000, ["a"]) == {"a": 500, OTHER: 500}


def test_who_waits_longest_is_shown_although_no_sample_met_it() -> None:
    seen = Look(
        exact=False,
        at=100.0,
        named={"large": Standing({"ready": 3000.0}, 90.0), "starved": Standing({}, 10.0)},
        rest={"ready": 5.0},
        unnamed=5,
    )
    member, shares = Membership(), Shares()
    member.choose(seen, RULES, 0.0)
    assert set(member.shown) == {"starved", "large"}
    assert member.hidden == 5
    shares.take(seen)
    counts = shares.counts("ready", 1_000_000, member.shown)
    assert counts["starved"] == 1
    assert sum(counts.values()) == 1_000_000
    assert shares.ages(95.0, 105.0, counts, member.shown)["starved"] == 95.0
    # There are no more jobs to tell.
    assert shares.counts("ready", 0, member.shown) == {"starved": 0, "large": 0, OTHER: 0}
    assert sum(shares.counts("ready", 1, member.shown).values()) == 1


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 50), max_size=8),  # jobs finished
            st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 50), max_size=8),  # jobs waiting
        ),
        max_size=30,
    )
)
def test_rates_add_up_through_promotions_and_demotions(script: list[tuple[dict[str, int], dict[str, int]]]) -> None:
    member, steps, now = Membership(), Steps(), 0.0
    page = dict(page_of(steps))
    seen = dict(page)
    for finished, waiting in script:
        now += 10
        member.work(finished, now)
        steps.add(finished, member.shown)
        new = member.choose(look({name: count for name, count in waiting.items() if count}), RULES, now)
        steps.show(member.shown)
        assert all(steps.totals[name] == seen.get(name, 0) for name in new), "who becomes shown starts at 0, or goes on"
        # What Prometheus sees: each series that is there rises by its own step, and all together by the queue's.
        page = dict(page_of(steps))
        rises = {name: total - seen.get(name, 0) for name, total in page.items()}
        seen |= page
        assert all(rise >= 0 for rise in rises.values())
        assert sum(rises.values()) == sum(finished.values())
        assert len(member.shown) <= RULES.shown + 1
        assert OTHER in page


def test_what_no_page_has_shown_goes_to_other() -> None:
    steps = Steps()
    steps.show(["a", "b"])
    steps.add({"a": 2}, ["a", "b"])
    assert page_of(steps) == {"a": 0, "b": 0, OTHER: 2}
    steps.add({"a": 3, "b": 1}, ["a", "b"])
    # Who leaves takes along only what was seen; who comes back begins there, at 0.
    steps.show(["b"])
    assert steps.totals == {"b": 1, OTHER: 5}
    steps.show(["b", "a"])
    steps.add({"a": 7}, ["b", "a"])
    assert page_of(steps) == {"a": 0, "b": 1, OTHER: 12}


def test_a_tenant_that_left_and_came_back_between_two_pages_goes_on() -> None:
    steps = Steps()
    steps.show(["a", "b"])
    page_of(steps)
    steps.add({"a": 5, "b": 1}, ["a", "b"])
    assert page_of(steps) == {"a": 5, "b": 1, OTHER: 0}
    steps.add({"a": 3}, ["a", "b"])
    for shown in (["b"], ["b", "a"], ["b"], ["b", "a"]):
        steps.show(shown)
        steps.add({"a": 1}, shown)
    assert page_of(steps) == {"a": 5, "b": 1, OTHER: 7}
    steps.add({"a": 2}, ["a", "b"])
    assert page_of(steps)["a"] == 7


def test_a_histogram_goes_on_as_well() -> None:
    timings = Timings()

    def page() -> dict[str, int]:
        shown = {name: times.observations for name, times in timings.draft().items()}
        timings.published()
        return shown

    timings.show(["a"])
    page()
    timings.add("a", ["a"], [1] * len(BUCKETS), 1, 0.05)
    assert page() == {"a": 1, OTHER: 0}
    timings.add("a", ["a"], [1] * len(BUCKETS), 1, 0.05)
    for timed in ([], ["a"], [], ["a"]):
        timings.show(timed)
    assert page() == {"a": 1, OTHER: 1}


def test_what_is_remembered_of_those_who_left_is_bounded() -> None:
    steps = Steps()
    for turn in range(300):
        steps.show([f"t{turn}"])
        page_of(steps)
        steps.add({f"t{turn}": 2}, [f"t{turn}"])
        page_of(steps)
    assert len(steps._left) == 100
    steps.show(["t298", "t5"])
    assert page_of(steps) == {"t298": 2, "t5": 0, OTHER: 0}


@settings(max_examples=200)
@given(st.integers(1, 1000), st.integers(2, 9))
def test_two_that_differ_by_one_job_do_not_take_turns(jobs: int, turns: int) -> None:
    for work in (False, True):
        member = Membership()
        rules = Rules(shown=1, histograms=1, pinned=(), forget_after=3600.0)
        shown = set()
        for turn in range(turns):
            two = {"a": jobs + turn % 2, "b": jobs + (turn + 1) % 2}
            if work:
                member.work({} if turn else {"a": jobs + 1, "b": jobs}, turn * 10.0)
                member.work({"a": 1} if turn % 2 else {"b": 1}, turn * 10.0)
            found = {} if work else {name: Standing({"scheduled": float(number)}, None) for name, number in two.items()}
            member.choose(Look(exact=True, at=0.0, named=found, rest={}, unnamed=0), rules, turn * 10.0)
            shown.update(member.shown)
        assert len(shown) == 1


def test_what_is_remembered_of_tenants_is_bounded() -> None:
    member = Membership()
    for turn in range(50):
        member.work({f"{turn} {n}": 1 for n in range(100)}, turn * 5.0)
        member.choose(look({f"look {turn} {n}": 1 for n in range(100)}), RULES, turn * 5.0)
    assert max(len(member._seen), len(member._worked)) <= 1100
    assert member.hidden >= 500
