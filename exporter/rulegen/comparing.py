"""Two lists of settings compared: in n log n steps, for files of thousands of overrides in which every one changed."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence


def compared(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Lines ``name: value`` that differ, with - and +; a value that changed in its place as a pair of these."""
    old, new = _named(before), _named(after)
    places = {name: place for place, name in enumerate(new)}
    left = right = 0
    for first, second in (
        *_in_order([(at, places[name]) for at, name in enumerate(old) if name in places]),
        (None, None),
    ):
        yield from (f"- {line}" for line in before[left:first])
        yield from (f"+ {line}" for line in after[right:second])
        if first is None or second is None:
            return
        if before[first] != after[second]:
            yield from (f"- {before[first]}", f"+ {after[second]}")
        left, right = first + 1, second + 1


def _named(lines: Sequence[str]) -> list[tuple[str, int]]:
    """The name of each line, and how often it was there before."""
    seen: Counter[str] = Counter()
    names = []
    for line in lines:
        name = line.rpartition(": ")[0]
        names.append((name, seen[name]))
        seen[name] += 1
    return names


def _in_order(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most of these pairs, given by rising first numbers, whose second ones rise too."""
    ends: list[int] = []  # ends[n]: the least second number with which n + 1 pairs can end, and which pair that is
    last: list[int] = []
    former: list[int] = []
    for at, (_, second) in enumerate(pairs):
        length = bisect_left(ends, second)
        former.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [second]
        last[length : length + 1] = [at]
    chosen = []
    at = last[-1] if last else -1
    while at >= 0:
        chosen.append(pairs[at])
        at = former[at]
    return chosen[::-1]
