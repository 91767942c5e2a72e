"""Tenants as described in the file: where a job's tenant stands, and how many have series of their own."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StrictStr, field_validator, model_validator

from ..folding import LONGEST, fold, is_folded, odd
from .values import Duration, Flag, Whole

#: The columns of pgmq and pg-boss that hold payloads: whole ones would become labels.
_PAYLOADS: Final = ("message", "headers", "data", "output")

_KINDS: Final = ("message", "headers", "column", "queue_name", "none")


#: Of the configuration and its file together.
MOST_PINNED: Final = 1000


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)


class TenantOf(_Model):
    """Where the tenant of some queues' jobs stands: exactly one of message, headers, column, queue_name and none."""

    queues: tuple[StrictStr, ...] = Field(("*",), description="Globs of the queues that this is about.")
    source: StrictStr | None = Field(None, description="Only of this source: pgmq, pgboss, pgboss:<schema>.")
    message: StrictStr | None = Field(None, min_length=1, description="A key of the job's payload.")
    headers: StrictStr | None = Field(None, min_length=1, description="A key of a pgmq message's headers.")
    column: StrictStr | None = Field(
        None, min_length=1, max_length=63, description="A column of the job's table, such as group_id."
    )
    queue_name: StrictStr | None = Field(
        None, description="A regular expression over the queue's name, whose one group is the tenant."
    )
    none: Flag = Field(False, description="These queues have no tenants.")

    @field_validator("column")
    @classmethod
    def _no_payload(cls, column: str | None) -> str | None:
        if column in _PAYLOADS:
            raise ValueError("expected a column that holds no payload; for one of its keys say message or headers")
        return column

    @field_validator("queue_name")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"expected a regular expression; {error}") from None
        if groups != 1:
            raise ValueError(f"expected a regular expression with one group; it has {groups}")
        return pattern

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [kind for kind in _KINDS if getattr(self, kind)]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            raise ValueError(f"expected exactly one of message, headers, column, queue_name and none; found {found}")
        return self

    def matches(self, source: str, queue: str) -> bool:
        """Whether this is about the queue."""
        return self.source in (None, source) and any(fnmatchcase(queue, glob) for glob in self.queues)

    def in_name(self, queue: str) -> str | None:
        """The tenant in the queue's name, folded as those in jobs are; None where the pattern does not match."""
        found = re.search(self.queue_name, queue) if self.queue_name is not None else None
        return fold(found[1]) if found is not None and found[1] is not None else None


class Tenants(_Model):
    """Tenant labels: none unless `from` says where a tenant stands."""

    from_: tuple[TenantOf, ...] = Field(
        (),
        alias="from",
        examples=["[{message: project_id}]"],
        description="Where a job's tenant stands; the first that matches a queue counts: docs/sources.md.",
    )
    shown: Annotated[Whole, Field(ge=1, le=1000)] = Field(
        50,
        examples=["100"],
        description="Tenants of a queue that have series of their own; the others are in `_other`.",
    )
    histograms: Annotated[Whole, Field(ge=0, le=100)] = Field(
        5, examples=["10"], description="Of these, how many have histograms, beside the pinned ones."
    )
    pinned: tuple[StrictStr, ...] = Field(
        (), max_length=MOST_PINNED, examples=["[acme]"], description="Tenants that are always shown."
    )
    pinned_file: StrictStr | None = Field(
        None,
        examples=["rules/pinned.tenants"],
        description="A file with one such tenant a line; read again when it changes.",
    )
    forget_after: Annotated[Duration, Field(ge=60, le=86400)] = Field(
        3600.0,
        examples=["6h"],
        description="A tenant without jobs for so long has no series any more, unless it is pinned.",
    )

    @field_validator("pinned")
    @classmethod
    def _as_labels(cls, pinned: tuple[str, ...]) -> tuple[str, ...]:
        if any(odd(name) and not is_folded(name) for name in pinned):
            raise ValueError(
                f"expected names of at most {LONGEST} characters that labels can show; any other is shown folded"
            )
        return pinned

    def of(self, source: str, queue: str) -> TenantOf | None:
        """Where the tenant of a queue's jobs stands; None without tenants."""
        found = self.first(source, queue)
        return None if found is None or found.none else found

    def first(self, source: str, queue: str) -> TenantOf | None:
        """The entry that counts for a queue, also one that says that it has no tenants; None where none matches."""
        return next((rule for rule in self.from_ if rule.matches(source, queue)), None)

    def concern(self, source: str) -> bool:
        """Whether queues of a source may have tenants."""
        return any(rule.source in (None, source) and not rule.none for rule in self.from_)
