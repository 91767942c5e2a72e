"""Job tables as described in the file: tables or views that record jobs, in the operator's own SQL."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from .values import Duration

#: Value of ``source`` for a table whose queues no other source knows.
ALONE: Final = "none"

#: What stands before a job table's name in the label ``source``.
_LABEL: Final = "jobtable:"

#: The alias of the table in expressions.
ALIAS: Final = "job"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SOURCE: Final = re.compile(r"pgmq|pgboss(:.+)?|none")
_IDENTIFIER: Final = r'(?:[A-Za-z_\u0080-\uffff][\w$]*|"(?:[^"]|"")+")'
_RELATION: Final = re.compile(rf"({_IDENTIFIER})\.({_IDENTIFIER})")
_JOIN: Final = re.compile(
    rf"({_IDENTIFIER})\.({_IDENTIFIER})\s+(?:as\s+)?({_IDENTIFIER})\s+on\s+(.+)", re.IGNORECASE | re.DOTALL
)
_CONSTANT: Final = re.compile(r"'((?:[^']|'')*)'")

#: Text and quoted names, which may hold anything; what else could end an expression, or hide its end.
_TOKEN: Final = re.compile(r"""[A-Za-z]?'(?:[^']|'')*'|"(?:[^"]|"")*"|--|/\*|\$\w*\$|[;,()'"]""")


class Relation(NamedTuple):
    """A table's or view's name as the catalogue has it."""

    schema: str
    name: str


class Join(NamedTuple):
    """What a job's row is joined with: a relation, its alias, and the condition (SQL)."""

    relation: Relation
    alias: str
    condition: str


def expression(text: str) -> str:
    """The text when it can only be a single SQL expression, as written. Raises ValueError."""
    depth = 0
    if not text.strip() or "\0" in text:
        raise ValueError("expected a column or an SQL expression")
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in {"--", "/*"}:
            raise ValueError("expected an expression without comments")
        if token[0] == "$":
            raise ValueError("expected text in single quotes, not between dollar signs")
        if token[:2] in {"e'", "E'"} and "\\" in token:
            raise ValueError("expected text without backslash escapes")
        if token in {"'", '"'}:
            raise ValueError(f"expected a {token} at the end of what is quoted")
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == ";" or (token == "," and depth == 0):  # noqa: S105  # SQL's, no secret
            raise ValueError(f"expected a single expression, without {token}")
        if depth < 0:
            break
    if depth:
        raise ValueError("expected as many closing as opening parentheses")
    return text.strip()


def _identifier(written: str) -> str:
    """A name as the catalogue has it: quoted as it is, else in lower case."""
    return written[1:-1].replace('""', '"') if written[0] == '"' else written.lower()


def _several(value: Any) -> Any:  # noqa: ANN401  # whatever stood in the file
    return (value,) if isinstance(value, str) else value


Expression = Annotated[StrictStr, AfterValidator(expression)]
_Expressions = Annotated[
    tuple[Expression, ...],
    BeforeValidator(_several),
    Field(min_length=1, max_length=8),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class JobTable(BaseModel):
    """One table or view with a row a job (or an attempt), and what its columns mean.

    Expressions are SQL over the row, which is called ``job``. They are read with an empty search path: names of
    types, functions and tables of one's own need their schema.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)

    name: StrictStr = Field(
        examples=["tracking"], description="What the table is called here: small letters, digits, `-` and `_`."
    )
    table: StrictStr = Field(
        examples=["public.job_tracking"], description="The table, partitioned table or view, with its schema."
    )
    source: StrictStr = Field(
        "pgmq",
        examples=["none"],
        description="Whose queues it describes: `pgmq`, `pgboss` or `pgboss:<schema>`; `none`: its own.",
    )
    queues: tuple[StrictStr, ...] = Field(
        ("*",), min_length=1, examples=["[workflow_jobs]"], description="Globs of the queues it describes."
    )
    queue: Expression = Field(
        examples=["job.queue_name"], description="The queue's name: a column, an SQL expression, or a constant."
    )
    tenant: Expression | None = Field(None, examples=["run.project_id"], description="Whose job it is.")
    join: StrictStr | None = Field(
        None,
        examples=["public.workflow_runs run on run.id = job.run_id"],
        description="What `tenant` is looked up in.",
    )
    enqueued: Expression | None = Field(
        None, examples=["job.enqueued_at"], description="When the job became ready: timestamptz."
    )
    started: Expression | None = Field(
        None, examples=["job.started_at"], description="When its last attempt began: timestamptz."
    )
    finished: _Expressions = Field(
        examples=["[job.completed_at, job.failed_at]"],
        description="When it ended: timestamptz, with an index; of several, a row counts at the earliest.",
    )
    outcome: Expression = Field(
        "'completed'",
        examples=["job.outcome"],
        description="`completed`, `failed`, `cancelled`, `dead_lettered`, `archived` or `retried`; "
        "null leaves the row out.",
    )
    attempt: Expression | None = Field(
        None, examples=["job.attempt"], description="The attempt's number, from 1: only a first one's wait is timed."
    )
    retries: Literal["outcome", "attempt"] = Field(
        "outcome",
        examples=["attempt"],
        description="What tells retries: rows whose outcome is `retried`, or `attempt - 1` of each finished row.",
    )
    time_zone: Literal["UTC"] | None = Field(
        None, examples=["UTC"], description="Where times are columns without a time zone: that they hold UTC."
    )
    lag: Annotated[Duration, Field(ge=0, le=3600)] = Field(
        0.0, examples=["2s"], description="How far the clock that gives the times may be behind the database's."
    )

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("expected small letters, digits, - and _")
        return name

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if not _SOURCE.fullmatch(source):
            raise ValueError("expected pgmq, pgboss, pgboss:<schema> or none")
        return source

    @field_validator("table")
    @classmethod
    def _with_schema(cls, table: str) -> str:
        if not _RELATION.fullmatch(table.strip()):
            raise ValueError("expected schema.table such as public.jobs")
        return table.strip()

    @field_validator("join")
    @classmethod
    def _one_join(cls, join: str | None) -> str | None:
        if join is None:
            return None
        match = _JOIN.fullmatch(join.strip())
        if match is None:
            raise ValueError("expected schema.table alias on condition, such as public.runs run on run.id = job.run_id")
        if _identifier(match[3]) == ALIAS:
            raise ValueError(f"expected an alias other than {ALIAS}, which is the job's own row")
        expression(match[4])
        return join.strip()

    @model_validator(mode="after")
    def _agreeing(self) -> Self:
        if self.join is not None and self.tenant is None:
            raise ValueError("expected tenant beside join; found join alone")
        if self.retries == "attempt" and self.attempt is None:
            raise ValueError("expected attempt beside retries: attempt; found none")
        return self

    @property
    def label(self) -> str:
        """The label ``source`` of its collections; of its queues' series, too, where it stands alone."""
        return _LABEL + self.name

    @property
    def alone(self) -> bool:
        """Whether its queues are its own."""
        return self.source == ALONE

    @property
    def queue_source(self) -> str:
        """The label ``source`` of its queues' series."""
        return self.label if self.alone else self.source

    @property
    def relation(self) -> Relation:
        """The table or view."""
        return _relation(self.table, _RELATION)

    @property
    def joined(self) -> Join | None:
        """What the tenant is looked up in."""
        if self.join is None:
            return None
        match = _JOIN.fullmatch(self.join)
        assert match is not None  # noqa: S101  # _one_join
        return Join(_relation(self.join, _JOIN), _identifier(match[3]), match[4])

    @property
    def named_queues(self) -> tuple[str, ...]:
        """Queues that are known without a row: a constant, or a glob that is a name."""
        match = _CONSTANT.fullmatch(self.queue)
        if match is not None:
            names = [match[1].replace("''", "'")]
        else:
            names = [glob for glob in self.queues if not set(glob) & set("*?[")]
        return tuple(name for name in dict.fromkeys(names) if self.selects(name))

    def selects(self, queue: str) -> bool:
        """Whether it describes a queue of its source."""
        return any(fnmatchcase(queue, glob) for glob in self.queues)

    def can_say(self, outcome: str) -> bool:
        """Whether a row may have that outcome: the expression names it, or is a column, which may hold any."""
        return f"'{outcome}'" in self.outcome or "'" not in self.outcome


def _relation(text: str, pattern: re.Pattern[str]) -> Relation:
    match = pattern.fullmatch(text)
    assert match is not None  # noqa: S101  # the validators
    return Relation(_identifier(match[1]), _identifier(match[2]))
