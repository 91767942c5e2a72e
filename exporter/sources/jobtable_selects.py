"""The SELECTs of a job table, made of the operator's expressions, and the rows that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .. import names
from .distributions import buckets, sums
from .functions import digest
from .postgres import filled, identifier, joined, literal, raw, statement, union, values, written
from .tenancy import FOLD
from .tenancy import kept as as_values
from .tenancy import kept_values as as_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import JobTable
    from .postgres import Query

#: Values of ``outcome`` that say that an attempt ended and another is planned, not that the job finished.
RETRIED: Final = "retried"

#: Values of ``outcome`` that say that a job finished.
FINISHED: Final = (names.COMPLETED, names.FAILED, names.CANCELLED, names.DEAD_LETTERED, names.ARCHIVED)

#: All that ``outcome`` may say.
OUTCOMES: Final = (*FINISHED, RETRIED)

#: Those whose wait and run are timed.
TIMED: Final = tuple(outcome for outcome in FINISHED if outcome != names.CANCELLED)

#: The most queues of a job table that are remembered, and so the most groups that are read.
MOST_QUEUES: Final = 1000
MOST_GROUPS: Final = MOST_QUEUES * (len(OUTCOMES) + 1)

#: The most groups that are read by tenant; where there are more, they are read without.
MOST_BY_TENANT: Final = 20_000

#: Types as ``pg_typeof`` writes them.
TIME: Final = "timestamp with time zone"
LOCAL_TIME: Final = "timestamp without time zone"

#: So many rows are looked at to learn which queues there are, of so many seconds.
_SEEN_ROWS: Final = 1000
_SEEN_SECONDS: Final = 86400.0

#: Postgres cuts longer names, and a plan's is longer than that of what it is of.
_LONGEST: Final = 58


class FinishedRow(NamedTuple):
    """A row of ``jobtable_finished*.sql``: jobs of one queue that ended in one way, in cumulative buckets.

    ``named``: those of one tenant (None: of none); else of all others of the queue.
    """

    queue: str
    outcome: str
    jobs: int
    retries: int
    runs: int
    run_seconds: float
    run_buckets: list[int]
    waits: int
    wait_seconds: float
    wait_buckets: list[int]
    tenant: str | None
    named: bool


class Kept(NamedTuple):
    """Which tenants of a queue come by name: these, and so many of those whose jobs ended the most."""

    queue: str
    names: tuple[str, ...]
    most: int


class EnqueuedRow(NamedTuple):
    """A row of ``jobtable_enqueued.sql``."""

    queue: str
    jobs: int


class Window(NamedTuple):
    """Times after the first and up to the second, both of the server's clock, in epoch seconds."""

    after: float
    until: float


class Bounds(NamedTuple):
    """The same as SQL."""

    after: Query
    until: Query


def expressions(table: JobTable) -> dict[str, Query]:
    """The table's expressions by their keys in the configuration, each in parentheses."""
    several = len(table.finished) > 1
    found = {"queue": table.queue, "outcome": table.outcome}
    found |= {f"finished[{place}]" if several else "finished": text for place, text in enumerate(table.finished)}
    for key in ("enqueued", "started", "attempt"):
        text = getattr(table, key)
        if text is not None:
            found[key] = text
    return {key: written(text) for key, text in found.items()}


def tenant(table: JobTable) -> Query:
    """The tenant's expression: over the job's row, or looked up in what it is joined with (one row of it at most)."""
    looked_up = table.joined
    if looked_up is None:
        return written(str(table.tenant))
    return filled(
        "(select {tenant} from {relation} {alias} where {condition} limit 1)",
        tenant=written(str(table.tenant)),
        relation=identifier(*looked_up.relation),
        alias=identifier(looked_up.alias),
        condition=written(looked_up.condition),
    )


def function_of(table: JobTable, what: str) -> str:
    """The name of one of its functions. A long name of a table is cut, and told from others like it."""
    name = f"jobtable_{table.name}_{what}"
    return name if len(name) <= _LONGEST else f"jobtable_{table.name[:20]}_{digest(table.name)}_{what}"


def type_select(table: JobTable, key: str, value: Query) -> Query:
    """The type of one expression."""
    return statement(
        "jobtable_type", function_of(table, "type"), key=key, value=value, table=identifier(*table.relation)
    )


def keys_of_times(table: JobTable) -> list[str]:
    """The keys of the configuration whose expressions are times."""
    return [key for key in expressions(table) if key.startswith(("finished", "enqueued", "started"))]


def arm_select(
    table: JobTable,
    types: dict[str, str],
    place: int,
    window: Window | Bounds,
    *,
    sample: bool = False,
    whose: bool = False,
) -> Query:
    """The rows that finished in a window by one of the times; ``sample``: some of them; ``whose``: with the tenant."""
    have = expressions(table)
    keys = [key for key in have if key.startswith("finished")]
    key = keys[place]
    # A row with several of the times counts at the earliest; where they are the same, by the one named first.
    own = _moment(have[key], types[key])
    first = raw("true")
    for other, name in enumerate(keys):
        if other != place:
            theirs = _moment(have[name], types[name])
            order = raw("<" if other < place else "<=")
            before = "{first} and ({theirs} is null or {own} {order} {theirs})"
            first = filled(before, first=first, theirs=theirs, own=own, order=order)
    return statement(
        "jobtable_arm",
        function_of(table, f"arm{place}_whose" if whose else f"arm{place}"),
        start=window.after,
        end=window.until,
        queue=have["queue"],
        outcome=have["outcome"],
        finished=own,
        started=_moment(have["started"], types["started"]) if "started" in have else raw("null::timestamptz"),
        enqueued=_moment(have["enqueued"], types["enqueued"]) if "enqueued" in have else raw("null::timestamptz"),
        attempt=have.get("attempt", raw("null::integer")),
        tenant=filled("{tenant}::text", tenant=tenant(table)) if whose else raw("null::text"),
        table=identifier(*table.relation),
        column=have[key],
        after=_bound(window.after, types[key]),
        until=_bound(window.until, types[key]),
        first=first,
        limit=raw(f"limit {_SEEN_ROWS}" if sample else ""),
    )


def finished_select(table: JobTable, types: dict[str, str], window: Window | Bounds, *, sample: bool = False) -> Query:
    """The jobs that finished in a window, by queue and outcome."""
    arms = [arm_select(table, types, place, window, sample=sample) for place in range(len(table.finished))]
    return statement(
        "jobtable_finished",
        function_of(table, "seen" if sample else "finished"),
        start=window.after,
        end=window.until,
        **_aggregates(table),
        arms=union(arms),
        most=MOST_GROUPS,
    )


def finished_by_tenant_select(
    table: JobTable, types: dict[str, str], window: Window, kept: Sequence[Kept], most: int
) -> Query:
    """The same by tenant. ``most``: tenants that come by name of a queue that is not among ``kept``."""
    rows = [
        filled(
            "({queue}::text, {names}, {most})",
            queue=literal(entry.queue),
            names=as_values(entry.names),
            most=literal(entry.most),
        )
        for entry in kept
    ]
    nobody = raw("(select null::text, null::text[], null::int where false) k(queue, kept, most)")
    names = [(entry.queue, name) for entry in kept for name in as_labels(entry.names)]
    return by_tenant_select(
        table,
        types,
        window,
        kept=filled("(values {rows}) k(queue, kept, most)", rows=joined(", ", rows)) if rows else nobody,
        most=literal(most),
        # The same as arguments.
        queues=values([entry.queue for entry in kept]),
        mosts=joined("", [literal([entry.most for entry in kept]), raw("::bigint[]")]),
        kept_queues=values([queue for queue, _ in names]),
        kept_names=values([name for _, name in names]),
    )


def by_tenant_select(
    table: JobTable, types: dict[str, str], window: Window | Bounds, kept: Query, most: Query, **arguments: Query
) -> Query:
    """The same, given as SQL what is kept by name of which queue."""
    arms = [arm_select(table, types, place, window, whose=True) for place in range(len(table.finished))]
    return statement(
        "jobtable_finished_tenants",
        function_of(table, "finished_tenants"),
        start=window.after,
        end=window.until,
        **arguments,
        **_aggregates(table),
        arms=union(arms),
        fold=raw(FOLD),
        run_sums=sums("run_buckets"),
        wait_sums=sums("wait_buckets"),
        kept=kept,
        most=most,
        limit=MOST_BY_TENANT,
    )


def _aggregates(table: JobTable) -> dict[str, object]:
    by_attempt = "coalesce(sum(greatest(attempt - 1, 0)), 0)::bigint"
    by_outcome = f"count(*) filter (where outcome = '{RETRIED}')"
    return {
        "retries": raw(by_attempt if table.retries == "attempt" else by_outcome),
        "run_buckets": buckets("run"),
        "wait_buckets": buckets("wait"),
        "timed": list(TIMED),
    }


def seen_select(table: JobTable, types: dict[str, str], now: float) -> Query:
    """Some of the jobs of the last day, to learn which queues there are, and whether rows can be read at all."""
    return finished_select(table, types, Window(now - _SEEN_SECONDS, now), sample=True)


def enqueued_select(table: JobTable, types: dict[str, str], window: Window | Bounds) -> Query:
    """The jobs enqueued in a window, by queue."""
    have = expressions(table)
    return statement(
        "jobtable_enqueued",
        function_of(table, "enqueued"),
        start=window.after,
        end=window.until,
        queue=have["queue"],
        table=identifier(*table.relation),
        column=have["enqueued"],
        after=_bound(window.after, types["enqueued"]),
        until=_bound(window.until, types["enqueued"]),
        most=MOST_QUEUES,
    )


def _moment(value: Query, type_: str) -> Query:
    return filled("({value} at time zone 'UTC')", value=value) if type_ == LOCAL_TIME else value


def _bound(at: float | Query, type_: str) -> Query:
    """A bound of a window, of the column's own type, so that the column's index serves."""
    moment = statement("time", at=at)
    return filled("({moment} at time zone 'UTC')", moment=moment) if type_ == LOCAL_TIME else moment
