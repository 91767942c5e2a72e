"""The samples that a queue's tenants make of its numbers, whatever its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from .. import names
from ..model import Sample

if TYPE_CHECKING:
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
    yield Sample(names.TENANTS_SHOWN, labels, len(tenancy.membership.shown))
    yield Sample(names.TENANTS_HIDDEN, labels, tenancy.membership.hidden)
    yield Sample(names.TENANTS_FOLDED, labels, tenancy.folded)
