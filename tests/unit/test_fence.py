"""The fence: what was stamped before a look is complete once those open at the look are gone, or given up."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from exporter.sources.fence import SLACK, Open, Settling, Transactions

NOBODY: frozenset[str] = frozenset()


def open_(*, writing: bool = False, relations: tuple[int, ...] = ()) -> Open:
    return Open(writing, frozenset(relations))


# Settling.


def test_a_mark_without_witnesses_settles_at_once() -> None:
    assert settled_after([(1, "")]) == 1


def test_a_mark_settles_when_all_its_witnesses_are_gone() -> None:
    looks = [(1, "ab"), (2, "bc"), (3, "cd"), (4, "d"), (5, "e")]
    assert [settled_after(looks[:end]) for end in range(6)] == [None, None, None, 1, 1, 3]


def settled_after(looks: list[tuple[int, str]]) -> int | None:
    """The mark that is settled after these marks and their witnesses."""
    settling: Settling[int] = Settling()
    for mark, witnesses in looks:
        settling.offer(mark, frozenset(witnesses))
    return settling.settled


def test_who_comes_later_never_holds_a_mark_up() -> None:
    """Overlapping transactions, never a quiet moment: marks settle all the same."""
    settling: Settling[int] = Settling()
    for look in range(100):
        settling.offer(look, frozenset((str(look), str(look + 1))))
    assert settling.settled is not None
    assert settling.settled >= 95


@given(
    st.lists(st.frozensets(st.sampled_from("abcd")), min_size=1, max_size=30),
)
def test_a_settled_mark_never_goes_back(looks: list[frozenset[str]]) -> None:
    settling: Settling[int] = Settling()
    before = -1
    for mark, witnesses in enumerate(looks):
        settling.offer(mark, witnesses)
        if settling.settled is not None:
            assert before <= settling.settled <= mark
            before = settling.settled


# Transactions.


def test_patience_ends_sooner_for_those_that_have_not_written() -> None:
    transactions = Transactions()
    found = {"idle": open_(), "writer": open_(writing=True)}
    for clock, expected in ((100, {"idle", "writer"}), (109, {"idle", "writer"}), (110, {"writer"}), (160, set())):
        transactions.look(clock, found, patience=10, patience_writing=60)
        assert transactions.waited_for() == expected, clock


def test_given_up_once_is_given_up_for_good() -> None:
    """Else a mark offered without it would wait for it after all when it writes."""
    transactions = Transactions()
    transactions.look(0, {"one": open_()}, patience=10, patience_writing=60)
    transactions.look(10, {"one": open_()}, patience=10, patience_writing=60)
    transactions.look(11, {"one": open_(writing=True)}, patience=10, patience_writing=60)
    assert transactions.waited_for() == set()
    transactions.look(12, {}, patience=10, patience_writing=60)
    transactions.look(13, {"one": open_()}, patience=10, patience_writing=60)
    assert transactions.waited_for() == {"one"}, "the same name again is another transaction"


def test_only_writers_to_a_table_hold_its_ids_up() -> None:
    transactions = Transactions()
    found = {"queue": open_(relations=(1, 7)), "other": open_(relations=(2,)), "reader": open_()}
    transactions.look(0, found, patience=10, patience_writing=60)
    assert transactions.writers_to([1], patience=10) == {"queue"}
    assert transactions.writers_to([1, 2], patience=10) == {"queue", "other"}
    assert transactions.writers_to([3], patience=10) == set()
    transactions.look(10, found, patience=10, patience_writing=60)
    assert transactions.writers_to([1, 2], patience=10) == set(), "waited for long enough"


# Together, and why they are needed.


class Job(NamedTuple):
    """Stamped with its transaction's start, there to be read from its commit on."""

    stamped: float
    committed: float


jobs = st.lists(
    st.builds(lambda start, lasts: Job(start / 10, (start + lasts) / 10), st.integers(1, 300), st.integers(0, 80)),
    max_size=30,
)
pauses = st.lists(st.integers(1, 40).map(lambda tenths: tenths / 10), min_size=1, max_size=30)


def looks_at(pauses: list[float]) -> list[float]:
    """Times of looks; the last ones when everything is over."""
    clock, times = 0.0, []
    for pause in pauses:
        clock += pause
        times.append(clock)
    return [*times, clock + 50, clock + 51, clock + 52]


def read(jobs: list[Job], after: float, until: float, now: float) -> list[Job]:
    return [job for job in jobs if after < job.stamped <= until and job.committed <= now]


@given(jobs, pauses)
def test_behind_the_fence_every_job_is_read_once(jobs: list[Job], pauses: list[float]) -> None:
    transactions, settling = Transactions(), Settling[float]()
    found: list[Job] = []
    after = 0.0
    for clock in looks_at(pauses):
        # A transaction shows among the locks a moment after it took its start time: SLACK is for that.
        there = {
            str(place): open_(writing=True)
            for place, job in enumerate(jobs)
            if job.stamped + SLACK / 2 <= clock < job.committed
        }
        transactions.look(clock, there, patience=1_000, patience_writing=1_000)
        settling.offer(clock - SLACK, transactions.waited_for())
        if settling.settled is not None and settling.settled > after:
            found += read(jobs, after, settling.settled, clock)
            after = settling.settled
    assert sorted(found) == sorted(jobs)


def test_a_reader_without_a_fence_loses_jobs() -> None:
    """The same by reading up to now: a job that was stamped before a look and committed after it is never read."""
    late = Job(stamped=1.0, committed=3.0)
    found: list[Job] = []
    after = 0.0
    for clock in (2.0, 4.0):
        found += read([late], after, clock, clock)
        after = clock
    assert found == []
