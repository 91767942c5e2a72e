"""The page's text: Prometheus 0.0.4 and OpenMetrics 1.0.0, whose samples are the same bytes.

Lines of our own, because prometheus-client's generator takes ten times as long and holds the interpreter lock
meanwhile; its parsers hold these lines to account in the tests.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ..model import Distribution
from ..names import BUCKETS, CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..model import Sample
    from ..names import Metric

#: After so many lines, about, the renderer lets other threads run.
_CHUNK = 500

_BOUNDS = (*(f"{float(bound)}" for bound in BUCKETS), "+Inf")

#: Lines of one histogram: its buckets, its sum and its count.
_HISTOGRAM_LINES = len(_BOUNDS) + 2

#: From here on Python writes a whole float with an exponent.
_EXPONENT = 1e16


class Block(NamedTuple):
    """One metric's family: its header in both formats, and its samples in pieces that serve both."""

    text_header: bytes
    openmetrics_header: bytes
    pieces: tuple[bytes, ...]


def series(samples: Iterable[Sample]) -> int:
    """How many series the samples make: a histogram is one for each of its lines."""
    return sum([_HISTOGRAM_LINES if sample.metric.kind == "histogram" else 1 for sample in samples])


def render(samples: Iterable[Sample], pause: Callable[[], None] = lambda: None) -> Iterator[Block]:
    """The samples as blocks, in the catalogue's order. ``pause`` is called every few hundred lines."""
    grouped: dict[str, list[Sample]] = {}
    for sample in samples:
        grouped.setdefault(sample.metric.name, []).append(sample)
    for metric in CATALOGUE:
        group = grouped.pop(metric.name, None)
        if group:
            yield _block(metric, group, pause)


def _block(metric: Metric, group: list[Sample], pause: Callable[[], None]) -> Block:
    lines, each = (_histograms, _HISTOGRAM_LINES) if metric.kind == "histogram" else (_numbers, 1)
    step = _CHUNK // each
    pieces = []
    for start in range(0, len(group), step):
        # A lone surrogate, which UTF-8 does not have, must not cost the whole page.
        pieces.append(lines(metric, group[start : start + step]).encode(errors="replace"))
        pause()
    return Block(_header(metric, openmetrics=False), _header(metric, openmetrics=True), tuple(pieces))


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


def _numbers(metric: Metric, group: list[Sample]) -> str:
    line = f"{metric.name}{_labels(metric)} %s\n"
    # `+ 0` makes a number of a flag.
    fast = "".join([line % (*labels, value + 0) for _, labels, value in group])  # type: ignore[operator]  # no histogram comes here
    # NaN and infinities go through a sum; what had to be escaped shows in what was written: checking a chunk is
    # cheaper than checking every value.
    plain = abs(sum([sample.value for sample in group])) < _EXPONENT  # type: ignore[misc]  # as above
    if plain and _is_escaped(fast, len(group), len(metric.labels)):
        return fast
    return "".join(
        [line % (*map(_escaped, labels), _number(value)) for _, labels, value in group]  # type: ignore[arg-type]  # as above
    )


def _histograms(metric: Metric, group: list[Sample]) -> str:
    name, template = metric.name, _labels(metric)
    written = []
    for _, values, state in group:
        assert isinstance(state, Distribution)  # noqa: S101  # a histogram's samples are
        labels = template % tuple(map(_escaped, values))
        inner = labels[:-1]
        written += [
            f'{name}_bucket{inner},le="{bound}"}} {count}\n'
            for bound, count in zip(_BOUNDS, (*state.cumulative, state.observations), strict=True)
        ]
        written.append(f"{name}_sum{labels} {_number(state.total)}\n{name}_count{labels} {state.observations}\n")
    return "".join(written)


def _labels(metric: Metric) -> str:
    return "{" + ",".join(f'{label}="%s"' for label in metric.labels) + "}" if metric.labels else ""


def _is_escaped(written: str, lines: int, labels: int) -> bool:
    return "\\" not in written and written.count('"') == 2 * labels * lines and written.count("\n") == lines


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
