"""Which queues are watched, and which hold dead letters."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, field_validator

from ..names import DEAD_LETTER, WORK
from .document import shown


class Model(BaseModel):
    """Frozen, and without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)


class Queues(Model):
    """Which queues are watched: globs, matched with case; a queue must match an include and no exclude."""

    include: tuple[StrictStr, ...] = Field(
        ("*",), examples=["[orders, mail_*]"], description="Globs of the queues to watch."
    )
    exclude: tuple[StrictStr, ...] = Field(
        (), examples=["[tmp_*]"], description="Globs of queues to leave out, even if included."
    )

    def selects(self, queue: str) -> bool:
        """Whether a queue is watched."""
        return any(fnmatchcase(queue, glob) for glob in self.include) and not any(
            fnmatchcase(queue, glob) for glob in self.exclude
        )


def _one_star(pattern: str) -> str:
    if pattern.count("*") != 1 or pattern == "*":
        raise ValueError("expected exactly one * and something beside it")
    return pattern


class DeadLetterQueues(Model):
    """Which queues hold jobs given up on, and whose."""

    patterns: tuple[Annotated[StrictStr, AfterValidator(_one_star)], ...] = Field(
        ("*_dlq",),
        examples=["['*_dlq', dead_*]"],
        description="Patterns with one `*`, which stands for the owning queue's name.",
    )
    names: dict[StrictStr, StrictStr] = Field(
        {},
        examples=["{orders: orders_failed}"],
        description="Owning queue: its dead letter queue. Wins over the patterns.",
    )

    @field_validator("names")
    @classmethod
    def _not_itself(cls, names: dict[str, str]) -> dict[str, str]:
        for owner, queue in names.items():
            if owner == queue:
                raise ValueError(f"expected another queue than its owner; found {shown(owner)} twice")
        return names

    def owner_of(self, queue: str, known: Collection[str]) -> tuple[str, ...]:
        """The known queues whose dead letter queue this is, sorted."""
        owners = {owner for owner, dead in self.names.items() if dead == queue}
        owners |= {owner for owner in self._pattern_owners(queue) if owner not in self.names}
        return tuple(sorted(owner for owner in owners if owner in known and owner != queue))

    def role(self, queue: str, known: Collection[str]) -> str:
        """``dead_letter`` for a queue that is named or looks like one (its owner may be gone), else ``work``."""
        named = queue in self.names.values()
        looks = queue not in self.names and next(iter(self._pattern_owners(queue)), None) is not None
        return DEAD_LETTER if named or looks or self.owner_of(queue, known) else WORK

    def dead_letter_queue(self, owner: str, known: Collection[str]) -> str:
        """The known dead letter queue of a queue; empty when it has none."""
        if owner in self.names:
            return self.names[owner] if self.names[owner] in known else ""
        if self.role(owner, known) == DEAD_LETTER:
            return ""
        candidates = (pattern.replace("*", owner) for pattern in self.patterns)
        return next((candidate for candidate in candidates if candidate in known), "")

    def _pattern_owners(self, queue: str) -> list[str]:
        owners = []
        for pattern in self.patterns:
            before, _, after = pattern.partition("*")
            if queue.startswith(before) and queue.endswith(after) and len(queue) > len(before) + len(after):
                owners.append(queue[len(before) : len(queue) - len(after)])
        return owners
