"""The tenants of one queue, whatever its source: where they stand in SQL, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from ..folding import BEGINNINGS, CHARACTERS, DIGITS, FOLDED, LONGEST
from ..names import READY
from ..tenants import NONE, OTHER, Look, Rules, Shares, Standing, label
from .outcomes import Outcomes
from .postgres import filled, identifier, joined, literal, raw, statement, values

if TYPE_CHECKING:
    from ..config import TenantOf
    from .postgres import Query

#: A database without an encoding may hold any bytes, which need not be text: there, only ASCII is shown.
_BYTES: Final = "getdatabaseencoding() = 'SQL_ASCII'"
_ENCODING: Final = f"case when {_BYTES} then 'SQL_ASCII' else 'UTF8' end"

_BEGINS: Final = " or ".join(f"v ^@ '{beginning}'" for beginning in BEGINNINGS)

#: A tenant's value, shortened where it could not stand in a label, as ``fold`` does.
FOLD: Final = (
    f"case when char_length(v) > {LONGEST} or {_BEGINS} or v ~ '[{CHARACTERS}]'"
    f" or ({_BYTES} and v ~ '[^\\x01-\\x7f]')"
    f" then '{FOLDED}' || left(encode(sha256(convert_to(v, {_ENCODING})), 'hex'), {DIGITS}) else v end"
)


#: A sample's rows are expected to be so much of its cap.
_BELOW_CAP: Final = 0.8


#: How ``tenants.sql`` adds up jobs in states that not every source has, and how where it has not.
STATES: Final = {"blocked": raw("sum(x.blocked)::bigint"), "failed": raw("sum(x.failed)::bigint")}
NO_STATES: Final = dict.fromkeys(STATES, raw("0::bigint"))


def by_state(rows: Query, *, many: bool) -> Query:
    """Jobs by tenant and state, of the rows ``j`` of one queue, or by queue too, of ``many``."""
    return statement("tenants_by_state", by=raw("j.queue, j.v" if many else "j.v"), rows=rows)


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


def place(rule: TenantOf, payload: str) -> str | None:
    """The column that the tenant stands in; None where it is in the queue's name."""
    if rule.message is not None:
        return payload
    return "headers" if rule.headers is not None else rule.column


def value(rule: TenantOf, columns: Collection[str], payload: str) -> Query:
    """SQL for the tenant of a job in the table ``t``, as text; NULL where this version has no such place."""
    column = place(rule, payload)
    if column is None or column not in columns:
        return raw("null::text")
    key = rule.message if rule.message is not None else rule.headers
    inside = raw("::text") if key is None else joined("", [raw(" ->> "), literal(key)])
    return joined("", [raw("t."), identifier(column), inside])


def kept(names: Iterable[str]) -> Query:
    """The tenants that a look must name, as an array of values."""
    return values(kept_values(names))


def odd(names: Iterable[str]) -> Query:
    """For ``tenants.sql``: the values that folded names among the kept stand for. Dear to plan, so not without such."""
    found = [name for name in kept_values(names) if name.startswith(FOLDED)]
    return odd_of(values(found)) if found else raw("")


def odd_of(kept: Query) -> Query:
    """The same of an array of values."""
    return filled("\n   union all\n  select v from g where {fold} = any ({kept})", fold=raw(FOLD), kept=kept)


def kept_values(names: Iterable[str]) -> list[str]:
    """The values whose labels these are."""
    return [name.removeprefix("_") for name in names if name not in (NONE, OTHER)]


@dataclass(slots=True, kw_only=True)
class Tenancy(Outcomes):
    """What is remembered of one queue's tenants, where its source looks at the jobs that are there."""

    rule: TenantOf
    shares: Shares = field(default_factory=Shares)
    signature: object = None
    looked_at: float | None = None

    @classmethod
    def of(cls, rule: TenantOf | None, known: Tenancy | None) -> Tenancy | None:
        """The memory under a rule: the known one, a new one where the rule is another; None without a rule."""
        if rule is None or (known is not None and known.rule == rule):
            return known if rule is not None else None
        return cls(rule=rule)

    def take(self, look: Look, rules: Rules, now: float) -> None:
        """Take a look, and choose anew who is shown. ``now`` is the monotonic clock."""
        self.shares.take(look)
        self.looked_at = now
        self._choose(look, rules, now)

    def unchanged(self, rules: Rules, now: float) -> None:
        """Take that the last look still holds. Work, time or the pinned may change who is shown all the same."""
        self.looked_at = now
        if self.shares.looks and self.membership.due(rules, now):
            self._choose(self.shares.looks[-1], rules, now)

    def _choose(self, look: Look, rules: Rules, now: float) -> None:
        self.membership.choose(look, rules, now)
        self.follow()

    def jobs(self, state: str, total: int) -> dict[str, int]:
        """The newest count of a state by label; they add up to it."""
        return self.shares.counts(state, total, self.membership.shown)

    def ages(self, oldest_ready: float | None, now: float, ready: int) -> dict[str, float]:
        """The ready age by label, in seconds; their largest is the queue's. Times are the server's."""
        age = 0.0 if oldest_ready is None else max(0.0, now - oldest_ready)
        return self.shares.ages(age, now, self.jobs(READY, ready), self.membership.shown)


def look_of(rows: Iterable[TenantRow], at: float, *, exact: bool, oldest: Iterable[TenantRow] = ()) -> Look:
    """A look from its rows. ``oldest`` are rows of a second one, over the longest-ready jobs, for their times."""
    times: dict[str, float | None] = {}
    for row in oldest:
        if row.named:
            times[label(row.tenant)] = _earliest(times.get(label(row.tenant)), row.oldest_ready)
    named: dict[str, Standing] = {}
    rest: dict[str, float] = {}
    unnamed, rest_oldest = 0, None
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
            since = row.oldest_ready if exact else times.get(name)
            if (same := named.get(name)) is not None:  # shortened to the same
                jobs = {state: count + same.jobs[state] for state, count in jobs.items()}
                since = _earliest(since, same.oldest_ready)
            named[name] = Standing(jobs, since)
        else:
            rest, unnamed, rest_oldest = jobs, row.tenants, row.oldest_ready if exact else None
    for name, since in times.items():
        if name not in named:
            named[name] = Standing({}, since)
    return Look(exact, at, named, rest, unnamed, rest_oldest)


def _earliest(one: float | None, other: float | None) -> float | None:
    return min((time for time in (one, other) if time is not None), default=None)


def share_of_pages(pages: int, wanted: int, rows: int, cap: int) -> float:
    """The share of a table's pages to sample, in percent: so many, and fewer where these held more rows than the cap.

    At the cap a sample ends, with the pages that come last in the table left out.
    """
    return min(100.0, 100.0 * wanted / pages, 100.0 * _BELOW_CAP * cap / max(1, rows))


def share_of_rows(pages: int, wanted: int, rows: int, cap: int) -> tuple[float, float]:
    """The share of a table's pages to sample, in percent, and of each one's rows, so that the cap is not reached.

    Of as many pages as wanted, however many rows they hold: jobs of a page are often one tenant's.
    """
    percent = min(100.0, 100.0 * wanted / pages)
    return percent, min(1.0, _BELOW_CAP * cap / max(1.0, rows * percent / 100.0))


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
