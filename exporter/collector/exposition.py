"""The page's text: Prometheus 0.0.4 and OpenMetrics 1.0.0, whose samples are the same bytes.

Lines of our own, because prometheus-client's generator takes ten times as long and holds the interpreter lock
meanwhile (``docs/decisions.md``); its parsers hold these lines to account in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..model import Distribution, Sample
from ..names import BUCKETS, CATALOGUE, Metric

#: After so many samples the renderer lets other threads run.
_CHUNK = 500

_BOUNDS = (*(f"{float(bound)}" for bound in BUCKETS), "+Inf")


class Block(NamedTuple):
    """One metric's family: its header in both formats, and its samples in pieces that serve both."""

    text_header: bytes
    openmetrics_header: bytes
    pieces: tuple[bytes, ...]
    series: int


def render(samples: Iterable[Sample], pause: Callable[[], None] = lambda: None) -> Iterator[Block]:
    """The samples as blocks, in the catalogue's order. ``pause`` is called every few hundred samples."""
    grouped: dict[str, list[Sample]] = {}
    for sample in samples:
        grouped.setdefault(sample.metric.name, []).append(sample)
    for metric in CATALOGUE:
        group = grouped.pop(metric.name, None)
        if group:
            yield _block(metric, group, pause)


def _block(metric: Metric, group: list[Sample], pause: Callable[[], None]) -> Block:
    pieces = []
    lines = _histogram_lines if metric.kind == "histogram" else _lines
    for start in range(0, len(group), _CHUNK):
        pieces.append("".join(lines(metric, group[start : start + _CHUNK])).encode())
        pause()
    series = len(group) * (len(_BOUNDS) + 2 if metric.kind == "histogram" else 1)
    return Block(_header(metric, openmetrics=False), _header(metric, openmetrics=True), tuple(pieces), series)


def _header(metric: Metric, *, openmetrics: bool) -> bytes:
    family = metric.name
    help_ = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    if not openmetrics:
        return f"# HELP {family} {help_}\n# TYPE {family} {metric.kind}\n".encode()
    if metric.kind == "counter":
        family = family.removesuffix("_total")
    help_ = help_.replace('"', '\\"')
    unit = f"# UNIT {family} {metric.unit}\n" if metric.unit and family.endswith(f"_{metric.unit}") else ""
    return f"# HELP {family} {help_}\n# TYPE {family} {metric.kind}\n{unit}".encode()


def _lines(metric: Metric, group: list[Sample]) -> Iterator[str]:
    name = metric.name
    for _, labels, value in group:
        yield f"{name}{_labels(metric, labels)} {_number(value)}\n"  # type: ignore[arg-type]  # no histogram


def _histogram_lines(metric: Metric, group: list[Sample]) -> Iterator[str]:
    name = metric.name
    for _, labels, value in group:
        assert isinstance(value, Distribution)  # noqa: S101  # a histogram's samples are
        written = _labels(metric, labels)
        inner = written[:-1]
        for bound, count in zip(_BOUNDS, (*value.cumulative, value.count), strict=True):
            yield f'{name}_bucket{inner},le="{bound}"}} {count}\n'
        yield f"{name}_sum{written} {_number(value.total)}\n{name}_count{written} {value.count}\n"


def _labels(metric: Metric, values: tuple[str, ...]) -> str:
    if not values:
        return ""
    pairs = ",".join([f'{label}="{_escaped(value)}"' for label, value in zip(metric.labels, values, strict=True)])
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if value != value:  # noqa: PLR0124  # only NaN differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))


