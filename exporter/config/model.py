"""What the configuration means: frozen models whose field names are the keys of the file."""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, field_validator, model_validator

from ..errors import ConfigError, ConfigFault
from ..names import DEAD_LETTER, WORK
from .dsn import problem
from .secrets import Secret, read_file, resolve
from .values import Duration, Share

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)


class Queues(_Model):
    """Which queues are watched: globs, matched with case; a queue must match an include and no exclude."""

    include: tuple[StrictStr, ...] = Field(("*",), description="Globs of the queues to watch.")
    exclude: tuple[StrictStr, ...] = Field((), description="Globs of queues to leave out, even if included.")

    def selects(self, queue: str) -> bool:
        """Whether a queue is watched."""
        return any(fnmatchcase(queue, glob) for glob in self.include) and not any(
            fnmatchcase(queue, glob) for glob in self.exclude
        )


class DeadLetterQueues(_Model):
    """Which queues hold jobs given up on, and whose."""

    patterns: tuple[StrictStr, ...] = Field(
        ("*_dlq",), description="Patterns with one `*`, which stands for the owning queue's name."
    )
    names: dict[StrictStr, StrictStr] = Field(
        {}, description="Owning queue: its dead letter queue. Wins over the patterns."
    )

    @field_validator("patterns")
    @classmethod
    def _one_star(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if pattern.count("*") != 1 or pattern == "*":
                raise ValueError(f"expected exactly one * and something beside it in each pattern; found {pattern!r}")
        return patterns

    @field_validator("names")
    @classmethod
    def _not_itself(cls, names: dict[str, str]) -> dict[str, str]:
        for owner, queue in names.items():
            if owner == queue:
                raise ValueError(f"a queue cannot be its own dead letter queue; found {owner!r} twice")
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


class Pgmq(_Model):
    """How pgmq's queues are read."""

    enabled: Literal["auto"] | StrictBool = Field(
        "auto", description="auto: where pgmq is found; true: its absence is an error; false: never."
    )
    schema_name: StrictStr = Field("pgmq", alias="schema", min_length=1, max_length=63, description="Where pgmq lives.")
    wait_histogram: StrictBool = Field(
        False, description="Also time the wait of archived jobs read once; a planned delay is inside it."
    )


class Tuning(_Model):
    """The keys that may stand under `defaults` and in every database."""

    interval: Annotated[Duration, Field(ge=1, le=300)] = Field(5.0, description="How often cheap parts are collected.")
    budget: Annotated[Share, Field(gt=0, le=0.5)] = Field(
        0.01, description="Share of one database core that collecting may use; dear parts stretch to keep it."
    )
    stale_after: Annotated[Duration, Field(ge=5, le=3600)] = Field(
        60.0, description="Data at least this old, and three intervals old, is shown no more."
    )
    connect_timeout: Annotated[Duration, Field(ge=2, le=60)] = Field(5.0, description="For each host of a connection.")
    statement_timeout: Annotated[Duration, Field(ge=0.05, le=30)] = Field(2.0, description="For each read.")
    lock_timeout: Annotated[Duration, Field(ge=0.01, le=10)] = Field(0.2, description="For each lock a read waits for.")
    count_limit: Annotated[StrictInt, Field(ge=100, le=1_000_000)] = Field(
        10_000,
        description="Jobs counted one by one, for ready and for unready ones each; beyond, counts are estimates.",
    )
    poison_limit: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = Field(
        5, description="A job read more often than this counts as redelivered."
    )
    full_look_every: Annotated[Duration, Field(ge=5, le=3600)] = Field(
        60.0, description="How often probes start from the beginning again, while that is cheap."
    )
    settle_max: Annotated[Duration, Field(ge=0, le=3600)] = Field(
        60.0, description="How long open transactions that have not written are waited for before jobs are timed."
    )
    settle_max_writing: Annotated[Duration, Field(ge=0, le=86400)] = Field(
        600.0, description="The same for transactions that have written."
    )
    settle_seconds: Annotated[Duration, Field(ge=0, le=600)] = Field(
        6.0, description="On a standby, which does not see the primary's transactions: how old is old enough."
    )
    vacuum: StrictBool = Field(True, description="Whether to watch what keeps VACUUM from removing dead rows.")
    queues: Queues = Field(Queues(), description="Which queues are watched.")
    dead_letter_queues: DeadLetterQueues = Field(DeadLetterQueues(), description="Which queues hold dead letters.")
    pgmq: Pgmq = Field(Pgmq(), description="How pgmq's queues are read.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lock_timeout >= self.statement_timeout:
            raise ValueError("lock_timeout must be shorter than statement_timeout")
        if self.settle_max > self.settle_max_writing:
            raise ValueError("settle_max must not be longer than settle_max_writing")
        return self


class Database(Tuning):
    """One database to watch. Secrets are read anew at every connection, so they can be rotated without a restart."""

    name: StrictStr = Field(min_length=1, max_length=128, description="The value of the label `database`.")
    dsn: Secret | None = Field(
        None, description="Connection string: URL or key=value; several hosts are tried in turn."
    )
    dsn_file: StrictStr | None = Field(None, description="A file that holds the connection string.")
    password_file: StrictStr | None = Field(None, description="A file that holds the password.")

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if _CONTROL.search(name):
            raise ValueError("expected a name without control characters")
        return name

    @model_validator(mode="after")
    def _one_dsn(self) -> Self:
        if (self.dsn is None) == (self.dsn_file is None):
            raise ValueError("expected either dsn or dsn_file" + ("; found both" if self.dsn else "; found neither"))
        return self

    def conninfo(self) -> str:
        """The connection string as it is now. Raises ConfigError when its file or variable is missing."""
        if self.dsn_file is not None:
            text = read_file(f"{self.name}: dsn_file", self.dsn_file)
            if wrong := problem(text):
                raise ConfigError(f"{self.name}: dsn_file", [ConfigFault("", wrong)])
            return text
        assert self.dsn is not None  # noqa: S101  # _one_dsn
        return resolve(f"{self.name}: dsn", self.dsn)

    def password(self) -> str | None:
        """The password from ``password_file`` as it is now, else None. Raises ConfigError when it cannot be read."""
        return None if self.password_file is None else read_file(f"{self.name}: password_file", self.password_file)


class Config(_Model):
    """The whole configuration."""

    listen: StrictStr = Field("127.0.0.1:9718", description="host:port of the HTTP listener; IPv6 in brackets.")
    series_limit: Annotated[StrictInt, Field(ge=1000, le=10_000_000)] = Field(
        50_000, description="The ceiling on the series of the page."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
    databases: tuple[Database, ...] = Field(min_length=1, description="The databases to watch, each with its name.")

    @field_validator("listen")
    @classmethod
    def _address(cls, listen: str) -> str:
        address(listen)
        return listen

    @field_validator("databases")
    @classmethod
    def _unique(cls, databases: tuple[Database, ...]) -> tuple[Database, ...]:
        names = [database.name for database in databases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected a different name for each database; found {twice[0]!r} twice")
        return databases


def address(listen: str) -> tuple[str, int]:
    """Host and port of ``host:port``, ``[ipv6]:port`` or ``:port`` (all interfaces). Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and host[:1] != "["):
        raise ValueError(f"expected host:port such as 127.0.0.1:9718; found {listen!r}")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  # asked for by leaving the host out
