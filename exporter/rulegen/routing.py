"""Labels for routing, put on alerts by what they are about."""

from __future__ import annotations

from .globs import regex
from .promql import indent, quoted
from .thresholds import Thresholds


def routed(thresholds: Thresholds, expression: str, labels: tuple[str, ...]) -> str:
    """The expression with the labels of its queue, tenant, source or database: for each label, the first match."""
    alike: list[tuple[str, dict[str, str], list[str]]] = []
    for route in thresholds.routes:
        if route.label not in labels:
            continue
        if alike and alike[-1][:2] == (route.label, route.labels):
            alike[-1][2].append(_present(route.glob))
        else:
            alike.append((route.label, dict(route.labels), [_present(route.glob)]))
    for about, given_labels, globs in reversed(alike):
        for label, value in sorted(given_labels.items()):
            texts = (label, value.replace("$", "$$"), about, "|".join(globs))
            given = ", ".join(quoted(text) for text in texts)
            expression = f"label_replace(\n{indent(expression)},\n  {given}\n)"
    return expression


def _present(glob: str) -> str:
    """What matches a label that is there: to ``label_replace`` a label that is not is an empty one."""
    return regex(glob) if glob.strip("*") else ".+"
