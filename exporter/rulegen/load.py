"""From a document to Thresholds, or to every fault at once."""

from __future__ import annotations

import math
from typing import Any, Final

from pydantic import ValidationError

from ..config.document import Document, Path_
from ..config.faults import told
from ..config.values import duration
from ..errors import ConfigError, ConfigFault
from . import contradictions
from .catalogue import OFF, SEVERITIES, Signal
from .shape import File, Match, parse
from .shape import Override as Shape
from .signals import SIGNAL, SIGNALS
from .sound import Sound
from .thresholds import DEFAULT_WATCH, Override, Route, Settings, Slo, Thresholds, Watching

#: What belongs to a signal, and why it cannot stand in an override.
_OF_SIGNAL: Final = ("for", "keep_firing_for", "floor")


def thresholds(document: Document, retention: float = math.inf) -> Thresholds:
    """What a document means. ``retention``: seconds that Prometheus keeps. Raises ConfigError with every fault."""
    faults = list(document.faults)
    content, misplaced = _prepared(document)
    faults += misplaced
    already = {fault.path for fault in faults}
    try:
        file = File.model_validate(content)
    except ValidationError as error:
        faults += told(document, error, (), already, File)
        faults += _beside(document, content, [detail["loc"] for detail in error.errors(include_url=False)], retention)
        raise _refusal(document, faults) from None
    found = _meant(document, file)
    faults += contradictions.faults(document, found, retention)
    faults += contradictions.routing(document, file)
    if faults:
        raise _refusal(document, faults)
    return found


def _beside(document: Document, content: dict[str, Any], places: list[Path_], retention: float) -> list[ConfigFault]:
    """Faults of meaning in a file that has some of form, at these places."""
    sound = Sound(content, places)
    try:
        file = File.model_validate(sound.content)
    except ValidationError:  # what is left does not stand by itself: next time
        return []
    found = contradictions.faults(document, _meant(document, file), retention)
    return sound.told([*found, *contradictions.routing(document, file)])


def _refusal(document: Document, faults: list[ConfigFault]) -> ConfigError:
    unique = dict.fromkeys(faults)
    return ConfigError(document.where, sorted(unique, key=lambda fault: fault.line or 0))


def _prepared(document: Document) -> tuple[dict[str, Any], list[ConfigFault]]:
    """The content with ``off`` written out, and without what belongs to signals but stands in overrides."""
    content = dict(document.value)
    faults: list[ConfigFault] = []
    if isinstance(content.get("defaults"), dict):
        content["defaults"] = {name: _block(name, block) for name, block in content["defaults"].items()}
    if isinstance(content.get("watch"), dict):
        known = _watchable()
        content["watch"] = {
            alert: block for alert, block in content["watch"].items() if block != OFF or alert not in known
        }
    if isinstance(content.get("overrides"), list):
        content["overrides"] = [
            _entry(document, place, entry, faults) if isinstance(entry, dict) else entry
            for place, entry in enumerate(content["overrides"])
        ]
    return content, faults


def _block(name: str, block: Any) -> Any:  # noqa: ANN401  # whatever stood in the file
    return dict.fromkeys(SEVERITIES, OFF) if name in SIGNAL and block == OFF else block


def _entry(document: Document, place: int, entry: dict[str, Any], faults: list[ConfigFault]) -> dict[str, Any]:
    prepared: dict[str, Any] = {}
    for name, block in entry.items():
        prepared[name] = _block(name, block)
        if name not in SIGNAL or not isinstance(block, dict):
            continue
        for key in _OF_SIGNAL:
            if key in block:
                message = f"`{key}` belongs to the signal, not to an override: write it at defaults.{name}"
                faults.append(document.fault(("overrides", place, name, key), message))
        prepared[name] = {key: value for key, value in block.items() if key not in _OF_SIGNAL}
    return prepared


def _watchable() -> list[str]:
    annotation = File.model_fields["watch"].annotation
    model = next(part for part in getattr(annotation, "__args__", ()) if part is not type(None))
    return list(model.model_fields)


def _meant(document: Document, file: File) -> Thresholds:
    watch: dict[str, Watching | None] = {}
    stated: Any = file.watch
    for alert in _watchable():
        block = getattr(stated, alert, None)
        if block is not None:
            usual = DEFAULT_WATCH[alert]
            watch[alert] = Watching(
                usual.for_ if block.for_ is None else block.for_,
                usual.keep_firing_for if block.keep_firing_for is None else block.keep_firing_for,
            )
        elif isinstance(document.value.get("watch"), dict) and document.value["watch"].get(alert) == OFF:
            watch[alert] = None
    return Thresholds(
        job=file.job,
        signals={signal.name: _settings(document, file, signal) for signal in SIGNALS},
        overrides=tuple(_override(document, place, entry) for place, entry in enumerate(file.overrides)),
        routes=tuple(
            Route(label, glob, route.labels)
            for route in file.labels
            for label, glob in list(route.match.labels.items())[:1]
        ),
        slos=tuple(Slo(slo.name, slo.match.labels, slo.objective, slo.ready_age, slo.window) for slo in file.slo),
        watch=watch,
    )


def _settings(document: Document, file: File, signal: Signal) -> Settings:
    defaults: Any = file.defaults
    block = getattr(defaults, signal.name, None)

    def stated(key: str, default: str, parsed: float) -> tuple[float, str]:
        value = getattr(block, key, None)
        if value is None:
            return parsed, f"the built-in default, {default}"
        return value, f"defaults.{signal.name}.{key}"

    limits = {}
    paths = {}
    for severity in SEVERITIES:
        default = getattr(signal, severity)
        limits[severity], paths[severity] = stated(severity, default, parse(signal.unit, _plain(signal.unit, default)))
    floor = 0.0
    if signal.floor is not None:
        floor, _ = stated("floor", signal.floor, parse(signal.floor_unit, _plain(signal.floor_unit, signal.floor)))
    for_, _ = stated("for_", signal.for_, duration(signal.for_))
    keep, _ = stated("keep_firing_for", signal.keep, duration(signal.keep))
    lines = {key: document.fault(("defaults", signal.name, key), "").line for key in SEVERITIES}
    written = {key: None if paths[key].startswith("the ") else line for key, line in lines.items()}
    return Settings(limits, for_, keep, floor, paths, written)


def _plain(unit: str, text: str) -> str | float:
    """A default of the catalogue as the file's reader would give it."""
    return float(text) if unit in {"jobs", "times"} and text != OFF else text


def _override(document: Document, place: int, entry: Shape) -> Override:  # type: ignore[valid-type]  # made at run time
    match: Match = entry.match  # type: ignore[attr-defined]  # as above
    limits = {
        (signal.name, severity): value
        for signal in SIGNALS
        if (block := getattr(entry, signal.name)) is not None
        for severity in SEVERITIES
        if (value := getattr(block, severity)) is not None
    }
    return Override(f"overrides[{place}]", document.lines.get(("overrides", place)), match.labels, limits)
