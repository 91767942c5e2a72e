"""Matches that name no tenant, in the chains of named tenants: only as far as a later tenant's limit could be meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ..names import TENANT
from .globs import effort, is_glob, matches
from .promql import Matchers

#: Whether it names a tenant, what it matches (one glob a label), its limit.
Arm = tuple[bool, Matchers, float]

#: More than this (see ``effort``) is not worth the shorter chain: then marks stand as they are.
_MOST = 2_500_000
#: A mark that names more tenants than this would be longer to read and to evaluate than one that names none.
_MOST_TENANTS = 50

MARK = -1.0


def marked_chain(arms: Sequence[Arm]) -> Iterator[tuple[Matchers, float]]:
    """The arms, those without a tenant as marks of the tenants that an arm after them names.

    A mark that no later arm overlaps says nothing, and is left out: what it matches has no limit either way.
    """
    tenants = sum(tenant for tenant, _, _ in arms)
    longest = max((len(globs[0]) for _, matchers, _ in arms for globs in matchers.values()), default=0)
    efforts = {True: 0, False: 0}
    for tenant, matchers, _ in arms:
        efforts[tenant] += max(effort(globs[0], longest) for globs in matchers.values())
    narrow = efforts[True] * (len(arms) - tenants) + efforts[False] * tenants <= _MOST
    place = 0
    for tenant, group in groupby(arms, lambda arm: arm[0]):
        run = list(group)
        place += len(run)
        if tenant:
            yield from ((matchers, limit) for _, matchers, limit in run)
        elif narrow:
            yield from _marks([matchers for _, matchers, _ in run], [arm[1] for arm in arms[place:] if arm[0]])
        else:
            yield from ((matchers, MARK) for _, matchers, _ in run)


def _marks(run: Sequence[Matchers], later: Sequence[Matchers]) -> Iterator[tuple[Matchers, float]]:
    """The marks of one run: all of the same tenants, so that neighbours can share an arm."""
    overlapping = [(mark, [arm for arm in later if _overlap(mark, arm)]) for mark in run]
    named = dict.fromkeys(arm[TENANT][0] for _, found in overlapping for arm in found)
    of = {TENANT: tuple(named)} if len(named) <= _MOST_TENANTS and "*" not in named else {}
    yield from (({**mark, **of}, MARK) for mark, found in overlapping if found)


def _overlap(one: Matchers, other: Matchers) -> bool:
    """Whether something could match both, as far as can be told from the globs."""
    return all(_alike(globs[0], other[label][0]) for label, globs in one.items() if label in other)


def _alike(one: str, other: str) -> bool:
    return (is_glob(one) and is_glob(other)) or matches(one, other) or matches(other, one)
