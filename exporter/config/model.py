"""What the configuration means: frozen models whose field names are the keys of the file."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Annotated, Final, Literal, Self

from pydantic import (
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from ..errors import ConfigError, ConfigFault
from .address import address
from .document import shown
from .jobtables import JobTable
from .queues import DeadLetterQueues, Model, Queues
from .secrets import Secret, read_dsn_file, read_file, resolve
from .tenants import Tenants
from .values import Duration, Flag, Resolved, Share, Whole, written

#: Keys of which the first may not outlast the second, when that holds, and what is expected of each.
ORDER: Final = (
    ("lock_timeout", "statement_timeout", operator.lt, "less than", "more than"),
    ("settle_max", "settle_max_writing", operator.le, "at most", "at least"),
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Pgmq(Model):
    """How pgmq's queues are read."""

    enabled: Annotated[Literal["auto"] | StrictBool, Resolved] = Field(
        "auto",
        examples=["true"],
        description="auto: where it is found in a schema of a superuser's, the database owner's or the exporter's own;"
        " true: whoever owns it, and its absence is an error; false: never.",
    )
    schema_name: StrictStr = Field(
        "pgmq", alias="schema", min_length=1, max_length=63, examples=["queues"], description="Where pgmq lives."
    )
    wait_histogram: Flag = Field(
        False,
        examples=["true"],
        description="Also time the wait of archived jobs read once; a planned delay is inside it.",
    )


FileName = Annotated[StrictStr, Field(min_length=1)]


class PgBoss(Model):
    """How pg-boss's queues are read."""

    enabled: Literal["auto"] | StrictBool = Field(
        "auto",
        description="auto: where it is found in a schema of a superuser's, the database owner's or the exporter's own;"
        " true: whoever owns it, and its absence is an error; false: never.",
    )
    schemas: tuple[Annotated[StrictStr, Field(min_length=1, max_length=63)], ...] = Field(
        ("pgboss",),
        min_length=1,
        description="Where pg-boss lives. The first is the source `pgboss`, others are `pgboss:<schema>`.",
    )

    @field_validator("schemas")
    @classmethod
    def _different(cls, schemas: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in schemas if schemas.count(name) > 1})
        if twice:
            raise ValueError(f"expected each schema once; found {twice[0]!r} twice")
        return schemas


class Tuning(Model):
    """The keys that may stand under `defaults` and in every database."""

    interval: Annotated[Duration, Field(ge=1, le=300)] = Field(
        5.0, examples=["10s"], description="How often cheap parts are collected."
    )
    budget: Annotated[Share, Field(gt=0, le=0.5)] = Field(
        0.01,
        examples=["2%"],
        description="Share of one database core that collecting may use; dear parts stretch to keep it.",
    )
    stale_after: Annotated[Duration, Field(ge=5, le=3600)] = Field(
        60.0, examples=["2m"], description="Data at least this old, and three intervals old, is shown no more."
    )
    connect_timeout: Annotated[Duration, Field(ge=2, le=60)] = Field(
        5.0, examples=["10s"], description="For each host of a connection."
    )
    statement_timeout: Annotated[Duration, Field(ge=0.05, le=30)] = Field(
        2.0, examples=["5s"], description="For each read."
    )
    lock_timeout: Annotated[Duration, Field(ge=0.01, le=10)] = Field(
        0.2, examples=["500ms"], description="For each lock a read waits for."
    )
    count_limit: Annotated[Whole, Field(ge=100, le=1_000_000)] = Field(
        10_000,
        examples=["50000"],
        description="Jobs counted one by one, for ready and for unready ones each; beyond, counts are estimates.",
    )
    poison_limit: Annotated[Whole, Field(ge=1, le=1_000_000)] = Field(
        5, examples=["10"], description="A job read more often than this counts as redelivered."
    )
    full_look_every: Annotated[Duration, Field(ge=5, le=3600)] = Field(
        60.0, examples=["5m"], description="How often probes start from the beginning again, while that is cheap."
    )
    settle_max: Annotated[Duration, Field(ge=0, le=3600)] = Field(
        60.0,
        examples=["30s"],
        description="How long open transactions that have not written are waited for before jobs are timed.",
    )
    settle_max_writing: Annotated[Duration, Field(ge=0, le=86400)] = Field(
        600.0, examples=["1h"], description="The same for transactions that have written."
    )
    settle_seconds: Annotated[Duration, Field(ge=0, le=600)] = Field(
        6.0,
        examples=["10s"],
        description="On a standby, which does not see the primary's transactions: how old is old enough.",
    )
    vacuum: Flag = Field(
        True, examples=["false"], description="Whether to watch what keeps VACUUM from removing dead rows."
    )
    queues: Queues = Field(Queues(), description="Which queues are watched.")
    dead_letter_queues: DeadLetterQueues = Field(DeadLetterQueues(), description="Which queues hold dead letters.")
    tenants: Tenants = Field(Tenants(), description="Tenant labels.")
    pgmq: Pgmq = Field(Pgmq(), description="How pgmq's queues are read.")
    pgboss: PgBoss = Field(PgBoss(), description="How pg-boss's queues are read.")


class Database(Tuning):
    """One database to watch. Secrets are read anew at every connection, so they can be rotated without a restart."""

    name: StrictStr = Field(
        min_length=1, max_length=128, examples=["main"], description="The value of the label `database`."
    )
    dsn: Secret | None = Field(
        None,
        examples=["postgresql://exporter@db.example/app"],
        description="Connection string: URL or key=value; several hosts are tried in turn.",
    )
    dsn_file: FileName | None = Field(
        None, examples=["/run/secrets/dsn"], description="A file that holds the connection string."
    )
    password_file: FileName | None = Field(
        None, examples=["/run/secrets/password"], description="A file that holds the password."
    )
    job_tables: tuple[JobTable, ...] = Field((), description="Tables or views that record jobs: docs/sources.md.")

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if _CONTROL.search(name):
            raise ValueError("expected a name without control characters")
        return name

    @field_validator("job_tables")
    @classmethod
    def _unique_tables(cls, job_tables: tuple[JobTable, ...]) -> tuple[JobTable, ...]:
        names = [table.name for table in job_tables]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected a different name for each job table; found {twice[0]!r} twice")
        return job_tables

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        wrong: list[InitErrorDetails] = []
        for shorter, longer, holds, least, most in ORDER:
            values = {shorter: getattr(self, shorter), longer: getattr(self, longer)}
            if not holds(values[shorter], values[longer]):
                expected = {
                    shorter: f"expected {least} {longer}, which is {written(values[longer])}",
                    longer: f"expected {most} {shorter}, which is {written(values[shorter])}",
                }
                wrong.append({"type": PydanticCustomError("order", "order", {"expected": expected}), "input": None})
        if (self.dsn is None) == (self.dsn_file is None):
            found = "neither" if self.dsn is None else "both"
            message = f"expected either dsn or dsn_file; found {found}"
            wrong.append({"type": PydanticCustomError("sentence", message), "input": None})
        if wrong:
            raise ValidationError.from_exception_data("Database", wrong, hide_input=True)
        return self

    def conninfo(self) -> str:
        """The connection string as it is now. Raises ConfigError when its file or variable is missing."""
        if self.dsn_file is not None:
            return self._read("dsn_file", self.dsn_file, read_dsn_file)
        assert self.dsn is not None  # noqa: S101  # _fit_together
        return resolve(f"{self.name}: dsn", self.dsn)

    def job_table_of(self, source: str, queue: str) -> JobTable | None:
        """The job table that describes a queue of a source (its label), the first of several; None when none does."""
        tables = (table for table in self.job_tables if table.queue_source == source)
        return next((table for table in tables if table.selects(queue)), None)

    def described_by_job_table(self, source: str, queue: str) -> bool:
        """Whether outcomes, retries, wait and run of a queue come from a job table, and from nowhere else."""
        return self.job_table_of(source, queue) is not None

    def password(self) -> str | None:
        """The password from ``password_file`` as it is now, else None. Raises ConfigError when it cannot be read."""
        return None if self.password_file is None else self._read("password_file", self.password_file, read_file)

    def _read(self, key: str, path: str, read: Callable[[str], str]) -> str:
        try:
            return read(path)
        except ValueError as error:
            raise ConfigError(f"{self.name}: {key}", [ConfigFault("", str(error))]) from None


class Config(Model):
    """The whole configuration."""

    listen: StrictStr = Field(
        "127.0.0.1:9718", examples=[":9718"], description="host:port of the HTTP listener; IPv6 in brackets."
    )
    series_limit: Annotated[Whole, Field(ge=1000, le=10_000_000)] = Field(
        50_000, examples=["100000"], description="The ceiling on the series of the page."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", examples=["debug"], description="What is logged."
    )
    databases: tuple[Database, ...] = Field(
        min_length=1,
        examples=["- {name: main, dsn_file: /run/secrets/dsn}"],
        description="The databases to watch, each with its name.",
    )

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
            raise ValueError(f"expected a different name for each database; found {shown(twice[0])} twice")
        return databases
