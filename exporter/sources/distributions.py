"""Histograms that grow by what was read of finished jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model import Distribution
from ..names import BUCKETS
from .postgres import raw

if TYPE_CHECKING:
    from .postgres import Query


def empty() -> Distribution:
    """A histogram without observations."""
    return Distribution((0,) * len(BUCKETS), 0, 0.0)


def add(so_far: Distribution, buckets: list[int], observations: int, total: float) -> Distribution:
    """The histogram with further observations: cumulative ``buckets``, their number, and their sum in seconds."""
    cumulative = tuple(a + b for a, b in zip(so_far.cumulative, buckets, strict=True))
    return Distribution(cumulative, so_far.observations + observations, so_far.total + total)


def cumulative(within: int, observations: int) -> list[int]:
    """Buckets of observations that do not exceed as many of the bounds as ``within``."""
    return [0] * (len(BUCKETS) - within) + [observations] * within


def within(column: str) -> Query:
    """SQL for how many of the bounds a column of seconds does not exceed."""
    # A bucket of Postgres's begins with its bound, one of Prometheus's ends with it: so both are turned round.
    bounds = ", ".join(str(-bound) for bound in reversed(BUCKETS))
    return raw(f"width_bucket(-{column}, array[{bounds}]::float8[])")


def buckets(column: str, condition: str = "true") -> Query:
    """SQL that counts a column of seconds into the cumulative buckets, of the rows for which a condition holds."""
    when = "" if condition == "true" else f"{condition} and "
    return raw("array[" + ", ".join(f"count(*) filter (where {when}{column} <= {bound})" for bound in BUCKETS) + "]")


def sums(column: str) -> Query:
    """SQL that adds up a column of cumulative buckets."""
    return raw("array[" + ", ".join(f"sum({column}[{place}])::bigint" for place in range(1, len(BUCKETS) + 1)) + "]")


def zeros() -> Query:
    """SQL for buckets without an observation."""
    return raw(f"array_fill(0::bigint, array[{len(BUCKETS)}])")
