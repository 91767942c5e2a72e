"""What sources hand to the collector and the collector to the page: plain values, no behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .errors import Reason
    from .names import Metric


class Distribution(NamedTuple):
    """A histogram's state: ``cumulative[i]`` observations at or below ``names.BUCKETS[i]`` seconds.

    ``observations`` is the number of all observations (the ``+Inf`` bucket), ``total`` their sum in seconds.
    """

    cumulative: tuple[int, ...]
    observations: int
    total: float


class Sample(NamedTuple):
    """One series of the page: label values in the order of ``metric.labels``."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Distribution


class Fault(NamedTuple):
    """Something that one queue (or, with ``queue`` empty, a whole part) could not be asked, and why.

    ``detail`` is one sentence for the log, without secrets.
    """

    queue: str
    reason: Reason
    detail: str
