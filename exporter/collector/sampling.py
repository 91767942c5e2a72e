"""One collection, for a terminal or a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import names
from ..errors import SourceError
from ..logs import printable
from ..model import Distribution, Sample
from ..sources.findings import ERROR
from .check import findings_of
from .exposition import render
from .loop import Collection

if TYPE_CHECKING:
    from ..config import Database

_STATES = (names.READY, names.SCHEDULED, names.IN_FLIGHT, names.BLOCKED, names.FAILED)
_NUMBERS = (names.OLDEST_READY_AGE, names.OLDEST_JOB_AGE, names.REDELIVERED, names.UNREADY_HEAD)
_HEADINGS = (*_STATES, "ready age", "job age", "redelivered", "unready head")


def collect(database: Database) -> tuple[tuple[Sample, ...], list[str]]:
    """One collection, and in a sentence each what could not be asked. Raises ExporterError when nothing could."""
    collection = Collection(database)
    try:
        collection.session.connect()
        samples = collection.cycle()
        if not collection.up:
            raise SourceError("connection", "the connection was lost")
        _, findings = findings_of(collection)
    finally:
        collection.close()
    return samples, [f"{finding.about}: {finding.message}" for finding in findings if finding.level == ERROR]


def as_text(samples: list[Sample]) -> str:
    """The samples as Prometheus text."""
    return b"".join(part for block in render(samples) for part in (block.text_header, *block.pieces)).decode()


def as_json(samples: list[Sample]) -> list[dict[str, Any]]:
    """The samples as objects: metric, labels, value (of a histogram: buckets, count, sum)."""
    return [
        {
            "metric": sample.metric.name,
            "labels": dict(zip(sample.metric.labels, sample.labels, strict=True)),
            **_value(sample),
        }
        for sample in samples
    ]


def _value(sample: Sample) -> dict[str, Any]:
    if isinstance(sample.value, Distribution):
        buckets = {
            str(float(bound)): count for bound, count in zip(names.BUCKETS, sample.value.cumulative, strict=True)
        }
        return {"buckets": buckets, "count": sample.value.observations, "sum": sample.value.total}
    return {"value": sample.value}


def as_table(samples: list[Sample]) -> str:
    """A line a queue; `~` marks estimates, `-` what is not known. Columns that no queue has are left out."""
    rows: dict[tuple[str, ...], dict[str, str]] = {
        sample.labels[:3]: {} for sample in samples if sample.metric is names.QUEUE_INFO
    }
    for metric, labels, value in samples:
        row = rows.get(labels[:3]) if metric.labels[:3] == names.JOBS.labels[:3] else None
        if row is None or isinstance(value, Distribution):
            continue
        if metric is names.JOBS:
            row[labels[4]] = str(int(value))
        elif metric in (names.OLDEST_READY_AGE, names.OLDEST_JOB_AGE):
            row[metric.name] = age(value)
        else:
            row[metric.name] = str(value)
    keys = (*_STATES, *(metric.name for metric in _NUMBERS))
    shown = [place for place, key in enumerate(keys) if any(key in row for row in rows.values())]
    table = [["DATABASE", "SOURCE", "QUEUE", *(_HEADINGS[place].replace("_", " ").upper() for place in shown)]]
    for key, row in sorted(rows.items()):
        mark = "~" if row.get(names.JOBS_ESTIMATED.name) == "1" else ""
        cells = [
            (mark if keys[place] in _STATES else "") + row[keys[place]] if keys[place] in row else "-"
            for place in shown
        ]
        table.append([*(printable(name) for name in key), *cells])
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    left = 3
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def age(seconds: float) -> str:
    """Seconds as people say them: ``0s``, ``4.2s``, ``3m12s``, ``5h03m``, ``2d04h``."""
    if seconds < 10:
        return f"{seconds:.1f}s" if seconds else "0s"
    whole = int(seconds)
    for unit, size, below, below_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // below_size:02d}{below}"
    return f"{whole}s"
