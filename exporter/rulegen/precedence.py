"""Which override comes first for all that another one matches, as far as can be told from their globs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Final

from .globs import effort, is_glob, matches
from .thresholds import Override

Key = tuple[str, str]
"""A signal and a severity."""

#: So much is spent on globs (see ``effort``), a second or two; after that, only the very same matches are found.
MOST: Final = 3_000_000


class Precedence:
    """Overrides by what they state, in their order.

    Most are found by their very match, or a part of it; those with globs by what stands before the first of their stars
    and question marks, and only those that begin alike are looked at one by one: as long as that does not cost too
    much, in a file of thousands that all begin alike. Rules are what they are either way; some words are lost.
    """

    def __init__(self, overrides: Iterable[Override]) -> None:
        self._same: dict[Key, dict[frozenset[tuple[str, str]], tuple[int, Override]]] = {}
        self._wide: dict[tuple[Key, str, str, bool], list[tuple[int, Override]]] = {}
        self._lengths: dict[str, set[int]] = {}
        self._left = MOST
        for place, override in enumerate(overrides):
            match = frozenset(override.match.items())
            for key in override.limits:
                same = self._same.setdefault(key, {})
                if match not in same:
                    same[match] = place, override
                    if any(is_glob(glob) for glob in override.match.values()):
                        begins = max(map(_beginning, override.match.items()), key=lambda one: len(one[1]))
                        self._wide.setdefault((key, *begins), []).append((place, override))
                        self._lengths.setdefault(begins[0], set()).add(len(begins[1]))

    def first(self, key: Key, override: Override) -> Override | None:
        """The override whose limit is in force for all that this one matches; itself where none comes before it."""
        same = self._same.get(key, {})
        found = min((same[part] for part in _parts(override.match) if part in same), key=_place, default=None)
        for label, text in override.match.items() if self._left >= 0 else ():
            lengths = [length for length in self._lengths.get(label, ()) if length <= len(text)]
            self._left -= len(lengths)
            for begin, whole in [(text, True), *((text[:length], False) for length in lengths)]:
                for place, wide in self._wide.get((key, label, begin, whole), []):
                    if self._left < 0 or (found is not None and found[0] <= place):
                        break
                    self._left -= sum(effort(glob, len(override.match.get(of, ""))) for of, glob in wide.match.items())
                    if covers(wide.match, override.match):
                        found = place, wide
        return found and found[1]


def _place(found: tuple[int, Override]) -> int:
    return found[0]


def _beginning(item: tuple[str, str]) -> tuple[str, str, bool]:
    """The label, the text before what stands for other text, and whether that is all."""
    label, glob = item
    return label, glob[: min(glob.find(char) % (len(glob) + 1) for char in "*?")], not is_glob(glob)


def _parts(match: Mapping[str, str]) -> Iterator[frozenset[tuple[str, str]]]:
    """Every choice among the labels of a match: what names fewer of them matches more."""
    for count in range(len(match) + 1):
        yield from map(frozenset, combinations(match.items(), count))


def covers(wide: Mapping[str, str], narrow: Mapping[str, str]) -> bool:
    """Whether all that the narrow one matches is matched by the wide one, as far as can be told from the globs."""
    return all(label in narrow and _covers(glob, narrow[label]) for label, glob in wide.items())


def _covers(wide: str, narrow: str) -> bool:
    """A star takes in whatever stands in a narrower glob, its stars too; a question mark no star."""
    return wide == narrow or (("?" not in wide or not is_glob(narrow)) and matches(wide, narrow))
