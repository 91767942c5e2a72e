"""Watching counters and histograms by tenant over pages, as Prometheus does."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

from exporter import names
from exporter.names import Metric
from exporter.tenants import OTHER
from tests.exporter import Collected

#: A counter, or the number of observations of a histogram: what is told by tenant of jobs that ended.
WATCHED: Final = (names.FINISHED_JOBS, names.RETRIED, names.RUN, names.WAIT)

#: What is never shown: controls, and characters that turn or hide others.
UNSHOWN: Final = re.compile("^[{[]|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")

Key = tuple[Metric, str, str]


def by_tenant(page: Collected, metric: Metric, **labels: str) -> dict[str, Any]:
    """Values by tenant."""
    place = metric.labels.index("tenant")
    return {found[place]: value for found, value in page.of(metric, **labels).items()}


def some(values: dict[str, Any]) -> dict[str, Any]:
    """Those above 0."""
    return {name: value for name, value in values.items() if value}


def number(value: Any) -> int:
    """A counter's value, or a histogram's number of observations."""
    return int(getattr(value, "observations", value))


def groups(page: Collected) -> Counter[str]:
    """By queue: how many tenants have series of whatever kind."""
    found = set()
    for sample in page.samples:
        if "tenant" in sample.metric.labels:
            named = dict(zip(sample.metric.labels, sample.labels, strict=True))
            found.add((named["queue"], named["tenant"]))
    return Counter(queue for queue, _ in found)


class Rates:
    """The increases that were to be seen of each metric, queue and outcome, summed over tenants.

    Taking a page fails where a series fell, or a tenant's appeared that had counted something unseen: that is lost.
    """

    def __init__(self, page: Collected) -> None:
        self.seen: Counter[Key] = Counter()
        self._shown = self._last = self._series(page)

    @staticmethod
    def _series(page: Collected) -> dict[tuple[Metric, tuple[str, ...]], int]:
        return {(metric, labels): number(value) for metric in WATCHED for labels, value in page.of(metric).items()}

    def take(self, page: Collected) -> None:
        """The next page."""
        now = self._series(page)
        for (metric, labels), value in now.items():
            named = dict(zip(metric.labels, labels, strict=True))
            before = self._last.get((metric, labels), 0)
            assert value >= before, f"{metric.name} {labels} fell from {before} to {value}"
            if (metric, labels) not in self._shown:  # new, or back: it goes on from where it was
                assert value == before or named["tenant"] in ("", OTHER), f"{metric.name} {labels} began at {value}"
            self.seen[metric, named["queue"], named.get("outcome", "")] += value - before
        self._shown, self._last = now, self._last | now

    def of(self, metric: Metric, queue: str) -> dict[str, int]:
        """The increases by outcome, those above 0."""
        return {
            outcome: jobs for (of, name, outcome), jobs in self.seen.items() if jobs and (of, name) == (metric, queue)
        }
