"""What of a file of thresholds has nothing to work on, among what is known: labels of series."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from ..names import DATABASE, DEAD_LETTER, QUEUE, SOURCE, TENANT, WORK
from .globs import is_glob, matches
from .signals import SIGNAL
from .thresholds import NOBODY, Override, Thresholds

Labels = Mapping[str, str]
_QUEUE: Final = (DATABASE, SOURCE, QUEUE)


class Known:
    """Series by the values of their labels, so that thousands of overrides are not each held against each of them."""

    def __init__(self, series: Iterable[Labels]) -> None:
        self._places: dict[str, dict[str, set[int]]] = {}
        for place, labels in enumerate(series):
            for label, text in labels.items():
                self._places.setdefault(label, {}).setdefault(text, set()).add(place)

    @property
    def labels(self) -> Collection[str]:
        """Those that some series has."""
        return self._places

    def some(self, match: Labels, but: Collection[str] = ()) -> bool:
        """Whether some series has all that is named, its tenant being none of those. Names come before globs."""
        left: set[int] | None = None
        for label, glob in sorted(match.items(), key=lambda one: is_glob(one[1])):
            away = but if label == TENANT else ()
            found = self._like(label, glob, away)
            left = found if left is None else left & found
            if not left:
                return False
        return True

    def _like(self, label: str, glob: str, away: Collection[str]) -> set[int]:
        places = self._places.get(label, {})
        if not is_glob(glob):
            return places.get(glob, set()) if glob not in away else set()
        return {
            place for text, having in places.items() if text not in away and matches(glob, text) for place in having
        }


def unmatched(thresholds: Thresholds, known: Iterable[Labels]) -> Iterator[str]:
    """Overrides, labels and promises that match nothing of what is known, or only queues that are not judged by them.

    ``known``: labels of series; those of ``pgqueue_queue_info`` tell what a queue is for.
    """
    everything = [{label: text for label, text in labels.items() if text} for labels in known]
    named = {label for signal in SIGNAL.values() for label in signal.match}
    series = Known(
        dict(labels)
        for labels in dict.fromkeys(tuple((k, v) for k, v in one.items() if k in named) for one in everything)
    )
    queues = [labels for labels in everything if "role" in labels]
    for override in thresholds.overrides:
        where = f"{override.path} (line {override.line})"
        told = _nothing(override, series)
        if told:
            yield f"{where}: {told}"
        else:
            yield from (f"{where}: {text}" for text in _not_judged(override, queues))
    for slo in thresholds.slos:
        if not series.some(slo.match):
            yield f"slo {slo.name}: matches nothing that is known: {shown(slo.match)}"
    for route in thresholds.routes:
        if not series.some({route.label: route.glob}):
            yield f"labels of {route.label}={route.glob}: match nothing that is known"


def by_glob(thresholds: Thresholds) -> str:
    """What to say of limits for tenants by glob, who are judged with their queue while they are in ``_other``."""
    paths = [
        override.path
        for override in thresholds.overrides
        if is_glob(override.match.get(TENANT, ""))
        and any(SIGNAL[name].tenants == "named" for name, _ in override.limits)
    ]
    if not paths:
        return ""
    which = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    return f"{which}: a tenant that an exporter shows in _other only is judged with its queue: name those it must show"


def _nothing(override: Override, series: Known) -> str:
    """What to say of an override that matches nothing; of labels that no series has, only a tenant is missed.

    There is a holder while something is held, and a task or a schedule in pg-boss: none now says nothing.
    """
    match = {label: glob for label, glob in override.match.items() if label in series.labels}
    if match and not series.some(match, but=NOBODY):
        return f"matches nothing that is known: {shown(override.match)}"
    if TENANT in override.match and TENANT not in match:
        return f"matches nothing that is known, where no queue shows tenants: {shown(override.match)}"
    return ""


def _not_judged(override: Override, queues: list[dict[str, str]]) -> Iterator[str]:
    """Signals that are judged for none of the queues that the override matches, since these are for something else."""
    match = {label: glob for label, glob in override.match.items() if label in _QUEUE}
    found = [labels for labels in queues if _all(match, labels)]
    for name in dict.fromkeys(name for name, _ in override.limits):
        if not found or QUEUE not in SIGNAL[name].labels:
            continue
        if name != "dead_letters":
            if not any(labels["role"] == WORK for labels in found):
                yield f"{name} is judged for work queues only, and {_listed(found, QUEUE)} holds dead letters"
        elif not any(labels["role"] == DEAD_LETTER or "dead_letter_queue" not in labels for labels in found):
            yield f"{name} is judged for the dead letter queue, by its own name: {_listed(found, 'dead_letter_queue')}"


def _listed(queues: list[dict[str, str]], label: str) -> str:
    names = sorted({labels[label] for labels in queues})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def shown(labels: Labels) -> str:
    """``queue=mail, tenant=acme``."""
    return ", ".join(f"{label}={value}" for label, value in labels.items())


def _all(match: Labels, labels: Labels) -> bool:
    return all(label in labels and matches(glob, labels[label]) for label, glob in match.items())
