"""What `rules diff` shows, and how much it compares for that."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.rulegen.comparing import compared

LINES = st.lists(st.builds("{}: {}".format, st.sampled_from("abcdef"), st.integers(1, 2)), max_size=12)


def test_a_value_that_changed_stands_beside_what_it_was() -> None:
    before = ["job: a", "x: 1", "y: 2", "z: 3"]
    after = ["job: b", "x: 1", "y: 3", "new: 1", "z: 3"]
    assert list(compared(before, after)) == ["- job: a", "+ job: b", "- y: 2", "+ y: 3", "+ new: 1"]


def test_what_changed_places_is_shown_for_the_order_counts() -> None:
    assert list(compared(["a: 1", "b: 1", "c: 1"], ["c: 1", "a: 1", "b: 1"])) == ["+ c: 1", "- c: 1"]


@given(LINES, LINES)
def test_nothing_is_lost_and_nothing_shown_of_files_that_say_the_same(before: list[str], after: list[str]) -> None:
    found = list(compared(before, after))
    assert (found == []) == (before == after)
    gone, come = ([line[2:] for line in found if line[0] == kind] for kind in "-+")
    assert sorted([*after, *gone]) == sorted([*before, *come])


class Counted(str):
    """A line that counts how often it is compared."""

    __slots__ = ()
    times = 0

    def __eq__(self, other: object) -> bool:
        Counted.times += 1
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        Counted.times += 1
        return str.__ne__(self, other)

    __hash__ = str.__hash__


def test_each_line_is_compared_once_also_where_all_changed() -> None:
    before = [Counted(f"queue=q{place}: ready_age warning: {place}") for place in range(5000)]
    after = [Counted(f"queue=q{place}: ready_age warning: {place + 1}") for place in range(5000)]
    Counted.times = 0
    assert len(list(compared(before, after))) == 10_000
    assert Counted.times <= 5000
