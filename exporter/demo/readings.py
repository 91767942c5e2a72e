"""What the exporter's page says of the demo's queues, read as a scraper would read it."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from typing import Final

from .. import names
from ..names import Metric
from .schema import DEAD_LETTER_QUEUE, JOB_TABLE, QUEUE

_SAMPLE: Final = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TIMEOUT: Final = 3.0

Series = dict[str, list[tuple[dict[str, str], float]]]


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of one moment: ages in seconds, totals that only grow, and when those were collected."""

    ready: int
    scheduled: int
    in_flight: int
    ready_age: float
    stalled: float
    finished: float
    retried: float
    dead_letters: int
    collected: float

    def finished_since(self, earlier: Reading | None) -> float | None:
        """Jobs finished per second since an earlier reading; None when nothing was counted in between."""
        if earlier is None or self.collected <= earlier.collected:
            return None
        return max(0.0, self.finished - earlier.finished) / (self.collected - earlier.collected)


def read(host: str, port: int) -> Reading | None:
    """The page's numbers; None while the exporter does not answer, or has none yet."""
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        page = answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return understand(page) if answer.status == http.client.OK else None


def understand(page: str) -> Reading | None:
    """The numbers on a page; None when one of them is not there."""
    series = _series(page)

    def values(metric: Metric, **labels: str) -> list[float]:
        found = [value for have, value in series.get(metric.name, ()) if labels.items() <= have.items()]
        if not found:
            raise LookupError(metric.name)
        return found

    def jobs(queue: str, state: str) -> int:
        return int(sum(values(names.JOBS, queue=queue, state=state)))

    try:
        return Reading(
            ready=jobs(QUEUE, names.READY),
            scheduled=jobs(QUEUE, names.SCHEDULED),
            in_flight=jobs(QUEUE, names.IN_FLIGHT),
            ready_age=max(values(names.OLDEST_READY_AGE, queue=QUEUE)),
            stalled=max(values(names.STALLED, queue=QUEUE)),
            finished=sum(values(names.FINISHED_JOBS, queue=QUEUE)),
            retried=sum(values(names.RETRIED, queue=QUEUE)),
            dead_letters=int(sum(values(names.JOBS, queue=DEAD_LETTER_QUEUE))),
            collected=max(values(names.COLLECTION_TIMESTAMP, source=JOB_TABLE, part=names.FINISHED)),
        )
    except LookupError:
        return None


def _series(page: str) -> Series:
    found: Series = {}
    for line in page.splitlines():
        match = _SAMPLE.match(line)
        if match is not None:
            labels = dict(_LABEL.findall(match["labels"] or ""))
            found.setdefault(match["name"], []).append((labels, float(match["value"])))
    return found
