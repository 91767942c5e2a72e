"""The tenants of one queue, whatever its source: where they stand in SQL, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ..model import Distribution
from ..names import READY
from ..tenants import OTHER, Look, Membership, Rules, Shares, Standing, Steps, label
from .distributions import add, empty
from .postgres import identifier, joined, literal, raw, values

if TYPE_CHECKING:
    from ..config import Database, TenantOf
    from .postgres import Query

#: What a folded value begins with; the rest is a piece of its SHA-256.
FOLDED: Final = "folded:"

#: A tenant's value, shortened where it could not stand in a label: never a piece of it, which might be payload.
FOLD: Final = (
    r"case when char_length(v) > 128 or v ~ '[\x01-\x1f\x7f]'"
    f" then '{FOLDED}' || left(encode(sha256(convert_to(v, 'UTF8')), 'hex'), 16) else v end"
)

#: Folded values that are remembered of a queue, to count each once.
_MOST_FOLDED: Final = 1000


class TenantRow(NamedTuple):
    """A row of ``*_tenants*.sql``: jobs of one tenant, or (not ``named``) of all others; times in epoch seconds."""

    queue: str
    tenant: str | None
    named: bool
    tenants: int
    ready: int
    scheduled: int
    in_flight: int
    blocked: int
    failed: int
    oldest_ready: float | None


def value(rule: TenantOf, columns: Collection[str], payload: str) -> Query:
    """SQL for the tenant of a job in the table ``t``, as text; NULL where this version has no such place."""
    for place, key in ((payload, rule.message), ("headers", rule.headers)):
        if key is not None:
            if place not in columns:
                return raw("null::text")
            return joined("", [raw("t."), identifier(place), raw(" ->> "), literal(key)])
    if rule.column is not None:
        if rule.column not in columns:
            return raw("null::text")
        return joined("", [raw("t."), identifier(rule.column), raw("::text")])
    return raw("null::text")


def kept(names: Iterable[str]) -> Query:
    """The tenants that a look must name, as an array of values."""
    return values([name.removeprefix("_") for name in names if name not in ("_none", OTHER)])


@dataclass(slots=True)
class Tenancy:
    """What is remembered of one queue's tenants."""

    rule: TenantOf
    membership: Membership = field(default_factory=Membership)
    shares: Shares = field(default_factory=Shares)
    #: Finished jobs by outcome.
    finished: dict[str, Steps] = field(default_factory=dict)
    retried: Steps = field(default_factory=Steps)
    run: dict[str, dict[str, Distribution]] = field(default_factory=dict)
    wait: dict[str, Distribution] = field(default_factory=lambda: {OTHER: empty()})
    folded: int = 0
    signature: object = None
    looked_at: float | None = None
    _folded: set[str] = field(default_factory=set)

    def take(self, look: Look, rules: Rules, now: float) -> None:
        """Take a look, and choose anew who is shown. ``now`` is the monotonic clock."""
        for name in look.named:
            if name.startswith(FOLDED) and name not in self._folded:
                self.folded += 1
                if len(self._folded) < _MOST_FOLDED:
                    self._folded.add(name)
        self.shares.take(look)
        self.membership.choose(look, rules, now)
        self.looked_at = now
        shown, timed = self.membership.shown, self.membership.timed
        for steps in (*self.finished.values(), self.retried):
            steps.show(shown)
        for outcome, run in self.run.items():
            self.run[outcome] = {name: run.get(name, empty()) for name in (*timed, OTHER)}
        self.wait = {name: self.wait.get(name, empty()) for name in (*timed, OTHER)}

    def finish(self, outcome: str, steps: Mapping[str, int], now: float) -> None:
        """Add finished jobs by label."""
        self.membership.work({name: step for name, step in steps.items() if name != OTHER}, now)
        self.finished.setdefault(outcome, self._steps()).add(steps, self.membership.shown)

    def jobs(self, state: str, total: int) -> dict[str, int]:
        """The newest count of a state by label; they add up to it."""
        return self.shares.counts(state, total, self.membership.shown)

    def ages(self, oldest_ready: float | None, now: float, ready: int) -> dict[str, float]:
        """The ready age by label, in seconds; their largest is the queue's. Times are the server's."""
        age = 0.0 if oldest_ready is None else max(0.0, now - oldest_ready)
        return self.shares.ages(age, now, self.jobs(READY, ready), self.membership.shown)

    def _steps(self) -> Steps:
        steps = Steps()
        steps.show(self.membership.shown)
        return steps

    def steps(self, outcome: str) -> dict[str, int]:
        """Finished jobs of an outcome by label."""
        return self.finished.setdefault(outcome, self._steps()).totals

    def runs(self, outcome: str) -> dict[str, Distribution]:
        """Run times of an outcome by label, of those that have histograms."""
        return self.run.setdefault(outcome, {name: empty() for name in (*self.membership.timed, OTHER)})

    def time(self, outcome: str, name: str, buckets: list[int], count: int, total: float) -> None:
        """Add run times of a tenant's jobs."""
        run = self.runs(outcome)
        where = name if name in run else OTHER
        run[where] = add(run[where], buckets, count, total)

    def time_wait(self, name: str, buckets: list[int], count: int, total: float) -> None:
        """Add waits of a tenant's jobs."""
        where = name if name in self.wait else OTHER
        self.wait[where] = add(self.wait[where], buckets, count, total)


def look_of(rows: Iterable[TenantRow], at: float, *, exact: bool, oldest: Iterable[TenantRow] = ()) -> Look:
    """A look from its rows. ``oldest`` are rows of a second one, over the longest-ready jobs, for their times."""
    times = {label(row.tenant): row.oldest_ready for row in oldest if row.named}
    named: dict[str, Standing] = {}
    rest: dict[str, float] = {}
    unnamed = 0
    for row in rows:
        jobs = {
            "ready": float(row.ready),
            "scheduled": float(row.scheduled),
            "in_flight": float(row.in_flight),
            "blocked": float(row.blocked),
            "failed": float(row.failed),
        }
        if row.named:
            name = label(row.tenant)
            named[name] = Standing(jobs, row.oldest_ready if exact else times.get(name))
        else:
            rest, unnamed = jobs, row.tenants
    for name, since in times.items():
        if name not in named:
            named[name] = Standing({}, since)
    return Look(exact, at, named, rest, unnamed)


class Cost:
    """What looking at a job cost when it was last measured: by reading all of a queue, and by a sample (seconds)."""

    #: What is believed before the first measurement.
    _ROW: Final = 2e-6
    _SAMPLE: Final = 12e-3

    #: Fewer rows tell nothing about a row.
    _ENOUGH: Final = 1000

    def __init__(self) -> None:
        self._row = self._ROW
        self._sample = self._SAMPLE

    def cheaper_whole(self, rows: int) -> bool:
        """Whether reading so many rows is cheaper than a sample."""
        return rows * self._row <= self._sample

    def wholes(self, rows: Iterable[int]) -> int:
        """How many queues, of so many rows each, may be read whole, where one sample would do for all the others."""
        whole = total = 0
        for number in rows:
            total += number
            if not self.cheaper_whole(total):
                break
            whole += 1
        return whole

    def learn_rows(self, spent: float, rows: int) -> None:
        """Take what reading so many rows cost."""
        if rows >= self._ENOUGH:
            self._row += (spent / rows - self._row) / 4

    def learn_sample(self, spent: float) -> None:
        """Take what a sample cost."""
        self._sample += (spent - self._sample) / 4


class Pinned:
    """The tenants that are always shown: of the configuration, and of a file that is read again when it changes."""

    def __init__(self) -> None:
        self._stamp: tuple[str, int, int] | None = None
        self._names: tuple[str, ...] = ()

    def names(self, database: Database) -> tuple[str, ...]:
        """All of them, as labels. A file that cannot be read keeps what it said before."""
        path = database.tenants.pinned_file
        if path is not None:
            try:
                found = Path(path).stat()
                stamp = (path, found.st_mtime_ns, found.st_size)
                if stamp != self._stamp:
                    lines = Path(path).read_text("utf-8").splitlines()
                    self._names = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
                    self._stamp = stamp
            except (OSError, UnicodeError):
                self._stamp = None
        pinned = (*database.tenants.pinned, *(self._names if path is not None else ()))
        return tuple(dict.fromkeys(label(name) for name in pinned))

    def rules(self, database: Database) -> Rules:
        """The bound of this database's queues."""
        tenants = database.tenants
        return Rules(tenants.shown, tenants.histograms, self.names(database), tenants.forget_after)
