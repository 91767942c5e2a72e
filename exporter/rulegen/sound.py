"""What of a file with faults of form can still be judged for its meaning, so that all faults are told at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from ..config.document import Path_, dotted
from ..errors import ConfigFault
from .shape import File
from .signals import SIGNAL

#: Stands for an override whose match is at fault: it limits nothing.
_NOTHING: Final = {"match": {"queue": "?"}}


class Sound:
    """A file's content without what is at fault, and without what could only be judged beside that.

    A signal with a fault anywhere is left out everywhere: without one limit, another might seem to contradict a third.
    """

    def __init__(self, content: Mapping[str, Any], places: Collection[Path_]) -> None:
        self._broken = {dotted(place) for place in places}
        self._below: dict[Path_, list[Path_]] = {}
        for place in places:
            self._below.setdefault(place[:2], []).append(place[2:])
        self._signals = {name for place in places for name in _concerned(content, place)}
        known = {key: value for key, value in content.items() if key in File.model_fields and (key,) not in self._below}
        self.content: dict[str, Any] = known | {"version": 1}
        for section, value in known.items():
            if isinstance(value, dict):
                self.content[section] = {
                    key: block
                    for key, block in value.items()
                    if key not in self._signals and (section, key) not in self._below
                }
            elif isinstance(value, list):
                one = self._override if section == "overrides" else self._entry
                self.content[section] = [
                    made for place in range(len(value)) if (made := one(section, place, value)) is not None
                ]

    def _entry(self, section: str, place: int, entries: list[Any]) -> Any:  # noqa: ANN401  # whatever stood in the file
        """One of the labels or promises; for one at fault another, in its place, so that places stay what they are."""
        if (section, place) not in self._below:
            return entries[place]
        self._broken.add(dotted((section, place)))
        whole = next((entry for other, entry in enumerate(entries) if (section, other) not in self._below), None)
        return {**whole, "name": f"at-fault-{place}"} if whole is not None and section == "slo" else whole

    def _override(self, section: str, place: int, entries: list[Any]) -> Any:  # noqa: ANN401  # as above
        below = self._below.get((section, place), [])
        if any(step[:1] in {(), ("match",)} for step in below):
            self._broken.add(dotted((section, place)))
            return _NOTHING
        faulty = {step[0] for step in below}
        left = {key: block for key, block in entries[place].items() if key not in self._signals | faulty}
        if len(left) < len(entries[place]) and len(left) == 1:
            self._broken.add(dotted((section, place)))  # what it changes was left out
        return left

    def told(self, faults: Iterable[ConfigFault]) -> list[ConfigFault]:
        """Those that are of what is sound."""
        return [fault for fault in faults if not self._broken.intersection(_above(fault.path))]


def _above(path: str) -> list[str]:
    """A path, and all above it."""
    return [path, *(path[: found.start()] for found in re.finditer(r"[.\[]", path))]


def _concerned(content: Mapping[str, Any], place: Path_) -> list[str]:
    """The signals that a fault may be about; of a misspelt one, that which is meant."""
    if place[:1] == ("defaults",):
        return _meant(place[1:2]) or (list(SIGNAL) if len(place) == 1 else [])
    if place[:1] != ("overrides",):
        return []
    if len(place) == 1:
        return list(SIGNAL)
    if place[2:3] not in {(), ("match",)}:
        return _meant(place[2:3])
    entry = content["overrides"][place[1]]
    return [name for key in entry for name in _meant((key,))] if isinstance(entry, dict) else []


def _meant(step: Path_) -> list[str]:
    return difflib.get_close_matches(str(step[0]), list(SIGNAL), n=1) if step else []
