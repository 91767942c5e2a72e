"""The samples that a queue's tenants make of its numbers, whatever its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from .. import names
from ..model import Sample

if TYPE_CHECKING:
    from ..membership import Membership
    from .outcomes import Outcomes
    from .tenancy import Tenancy

_NO_TENANT: Final = ""


def states_by_tenant(
    tenancy: Tenancy | None, labels: tuple[str, str, str], states: Mapping[str, int]
) -> Iterator[Sample]:
    """Jobs by state; by tenant too, where the queue has tenants."""
    for state, jobs in states.items():
        if tenancy is None:
            yield Sample(names.JOBS, (*labels, _NO_TENANT, state), jobs)
            continue
        for name, share in tenancy.jobs(state, jobs).items():
            yield Sample(names.JOBS, (*labels, name, state), share)


def ages_by_tenant(
    tenancy: Tenancy | None, labels: tuple[str, str, str], oldest_ready: float | None, now: float, ready: int
) -> Iterator[Sample]:
    """The ready age, by tenant too where the queue has tenants, and how many of these are shown, hidden, folded.

    Times are epoch seconds of the server, ``ready`` the newest count of ready jobs.
    """
    if tenancy is None:
        age = 0.0 if oldest_ready is None else max(0.0, now - oldest_ready)
        yield Sample(names.OLDEST_READY_AGE, (*labels, _NO_TENANT), age)
        return
    for name, age in tenancy.ages(oldest_ready, now, ready).items():
        yield Sample(names.OLDEST_READY_AGE, (*labels, name), age)
    yield from members(tenancy.membership, labels)


def members(membership: Membership, labels: tuple[str, str, str]) -> Iterator[Sample]:
    """How many tenants of a queue are shown, and hidden, and how many odd values were folded."""
    yield Sample(names.TENANTS_SHOWN, labels, len(membership.shown))
    yield Sample(names.TENANTS_HIDDEN, labels, membership.hidden)
    yield Sample(names.TENANTS_FOLDED, labels, membership.folded)


def finished_by_tenant(
    outcomes: Outcomes,
    labels: tuple[str, str, str],
    *,
    finished: Iterable[str],
    runs: Iterable[str],
    retried: bool,
    waits: bool,
) -> Iterator[Sample]:
    """What became of jobs, by tenant: of these outcomes, with the runs of those."""
    outcomes.follow()
    for outcome in finished:
        for name, jobs in outcomes.finished(outcome).draft().items():
            yield Sample(names.FINISHED_JOBS, (*labels, name, outcome), jobs)
    if retried:
        for name, jobs in outcomes.retried.draft().items():
            yield Sample(names.RETRIED, (*labels, name), jobs)
    for outcome in runs:
        for name, run in outcomes.run(outcome).draft().items():
            yield Sample(names.RUN, (*labels, name, outcome), run)
    if waits:
        for name, wait in outcomes.wait.draft().items():
            yield Sample(names.WAIT, (*labels, name), wait)
