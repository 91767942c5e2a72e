"""Promises: a slice of time is good or bad; alerts when the budget of bad ones burns too fast."""

from __future__ import annotations

from ..config.values import duration as seconds
from .bases import Base
from .catalogue import BURNS, LONG, SEVERITY, SHORT, SLO, SLO_ALERT, SLO_SUMMARY
from .contradictions import factor
from .flows import promised
from .promql import binary, number, quoted, selector
from .routing import routed
from .rules import Alert, Group, Record
from .words import Links

_LABELS = ("database", "source", "queue")
_NAME = "queue:pgqueue_slo_ready_age"
#: How long a slice is: the group's interval, in seconds.
_SLICE = 60
_WHY_ERRORS = "Bad slices among all of the window's minutes: what is not known, of a new queue or in a gap, is not bad."


def group(base: Base, links: Links) -> Group | None:
    """The group of all SLOs; None when there is none."""
    slos = base.thresholds.slos
    if not slos:
        return None
    rules: list[Record | Alert] = [
        *promised(base, [{label: (glob,) for label, glob in slo.match.items()} for slo in slos])
    ]
    for place, slo in enumerate(slos):
        matched = selector(f"{_NAME}:max", matchers={label: (glob,) for label, glob in slo.match.items()})
        good = f"{matched} <= bool {number(slo.ready_age)}"
        why = "" if place else "A slice is good (1) or bad (0); no data is no slice."
        rules.append(Record(f"{_NAME}:good", good, {SLO: slo.name}, why=why))
    for slo in slos:
        budget = float(f"{1 - slo.objective:.6g}")
        good = f"{_NAME}:good{{{SLO}={quoted(slo.name)}}}"
        rules.append(Record(f"{_NAME}:budget", f"group without () ({good}) * {number(budget)}", {SLO: slo.name}))
    windows = dict.fromkeys(window for burn in BURNS for window in (burn.short, burn.long))
    rules += [
        Record(f"{_NAME}_errors:ratio{window}", _errors(window), why="" if place else _WHY_ERRORS)
        for place, window in enumerate(windows)
    ]
    for burn in BURNS:
        times = number(factor(burn, slos[0].window))
        long, short = (
            f"({_NAME}_errors:ratio{window} > {times} * {_NAME}:budget)" for window in (burn.long, burn.short)
        )
        text = (
            "Queue {{ $labels.queue }} ({{ $labels.source }}, database {{ $labels.database }}): the promise "
            f"{{{{ $labels.slo }}}} was missed in {{{{ $value | humanizePercentage }}}} of the last {burn.long}, "
            f"more than {times} times what its budget allows."
        )
        rules.append(
            Alert(
                SLO_ALERT,
                routed(base.thresholds, binary(long, "and", short), _LABELS),
                seconds(burn.for_),
                0,
                {SEVERITY: burn.severity, LONG: burn.long, SHORT: burn.short},
                {"summary": SLO_SUMMARY, "description": text, **links.of(SLO_ALERT, _LABELS)},
            )
        )
    return Group("pgqueue.slo", tuple(rules), _SLICE)


def _errors(window: str) -> str:
    """Bad slices among all that a window has: of a queue that is new, most are not known yet."""
    good = f"{_NAME}:good[{window}]"
    bad = f"count_over_time({good}) - sum_over_time({good})"
    return f"clamp_max(({bad}) / {seconds(window) / _SLICE:.0f}, 1)"  # older versions count both ends of a window
