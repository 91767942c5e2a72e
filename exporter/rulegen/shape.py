"""The shape of ``thresholds.yml``: pydantic models whose field names are the keys of the file, and its JSON Schema."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
    create_model,
)
from pydantic import field_validator as validates

from ..config.values import Duration, Plain, duration, plain, share
from .catalogue import OFF, SEVERITIES, WATCHES, Signal, Unit
from .signals import SIGNALS

LARGEST: Final = 1e15


class Shape(BaseModel):
    """Keys that are not known are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @validates("*", mode="before")
    @classmethod
    def _stated(cls, value: Any, about: ValidationInfo) -> Any:  # noqa: ANN401  # whatever stood in the file
        """A key with nothing after it says nothing: not that the default is meant, nor that it is not."""
        if value is None:
            off = ", off," if about.field_name in SEVERITIES else ""
            raise ValueError(f"expected a value{off} or no such key")
        return value


def _number(value: Any) -> float:  # noqa: ANN401  # whatever stood in the file
    value = plain(value) if isinstance(value, Plain) else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError("expected a number such as 1000")


_PARSE: Final = {"seconds": duration, "share": share, "jobs": _number, "times": _number}
_EXAMPLE: Final = {"seconds": "5m", "share": "5%", "jobs": "1000", "times": "3"}
_WRITTEN: Final[dict[str, dict[str, Any]]] = {
    "seconds": {"type": "string", "pattern": r"^((\d+(\.\d+)?)(ms|s|m|h|d))+$"},
    "share": {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}]},
    "jobs": {"type": "number", "minimum": 0},
    "times": {"type": "number", "minimum": 0},
}
_IS_OFF: Final = {"const": OFF}


def tidy(value: float) -> float:
    """A number without digits that nobody wrote: six significant ones, all of a whole number."""
    return value if math.isinf(value) else float(round(value)) if value >= 1e5 else float(f"{value:.6g}")


def parse(unit: Unit, value: Any, *, off: bool = True) -> float:  # noqa: ANN401  # whatever stood in the file
    """A limit from the file; ``off`` is infinite. Raises ValueError."""
    if off and value == OFF:
        return math.inf
    try:
        found = _PARSE[unit](value)
    except ValueError as error:
        raise ValueError(f"{error}, or off" if off else str(error)) from None
    if not 0 <= found <= LARGEST:
        raise ValueError(f"expected a number from 0 to 10^15 such as {_EXAMPLE[unit]}")
    return tidy(found)


def _typed(unit: Unit, *, off: bool) -> Any:  # noqa: ANN401  # a type
    schema = {"anyOf": [_WRITTEN[unit], _IS_OFF]} if off else _WRITTEN[unit]
    return Annotated[float, BeforeValidator(lambda value: parse(unit, value, off=off)), WithJsonSchema(schema)]


class Match(Shape):
    """Labels that must match, each a glob (`*`: any text, `?`: any one character); all of them."""

    database: StrictStr | None = Field(None, min_length=1, max_length=500)
    source: StrictStr | None = Field(None, min_length=1, max_length=500)
    queue: StrictStr | None = Field(None, min_length=1, max_length=500)
    tenant: StrictStr | None = Field(None, min_length=1, max_length=500, description="As the label `tenant` shows it.")
    schedule: StrictStr | None = Field(None, min_length=1, max_length=500)
    task: StrictStr | None = Field(None, min_length=1, max_length=500)
    holder: StrictStr | None = Field(None, min_length=1, max_length=500)
    table: StrictStr | None = Field(None, min_length=1, max_length=500)

    @validates("*")
    @classmethod
    def _text(cls, value: str | None) -> str | None:
        if value is not None and any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError("expected text; it holds half a character")
        return value

    @property
    def labels(self) -> dict[str, str]:
        """What must match, in the order of the model."""
        return {key: value for key, value in self if value is not None}


def _settings(signal: Signal) -> type[Shape]:
    """What the file may say of one signal."""
    limit = _typed(signal.unit, off=True)
    fields: dict[str, Any] = {
        severity: (limit | None, Field(None, description=f"Fires above it as {severity}.")) for severity in SEVERITIES
    }
    fields["for_"] = (
        Duration | None,
        Field(None, alias="for", le=86400, description="Fires only after so long."),
    )
    fields["keep_firing_for"] = (Duration | None, Field(None, le=86400, description="Stays for so long afterwards."))
    if signal.floor is not None:
        about = (
            f"Silent below so many {signal.floor_is}."
            if signal.floor_unit == "jobs"
            else f"Silent below: {signal.floor_is}."
        )
        fields["floor"] = (_typed(signal.floor_unit, off=False) | None, Field(None, description=about))
    return cast("type[Shape]", create_model(_title(signal.name), __base__=Shape, __doc__=signal.summary, **fields))


def _limits(signal: Signal) -> type[Shape]:
    """What an override may say of one signal."""
    limit = _typed(signal.unit, off=True)
    fields: dict[str, Any] = dict.fromkeys(SEVERITIES, (limit | None, None))
    return cast("type[Shape]", create_model(f"{_title(signal.name)}Limits", __base__=Shape, **fields))


def _title(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


_defaults: dict[str, Any] = {signal.name: (_settings(signal) | None, None) for signal in SIGNALS}
_overridden: dict[str, Any] = {signal.name: (_limits(signal) | None, None) for signal in SIGNALS}
Defaults = cast("type[Shape]", create_model("Defaults", __base__=Shape, **_defaults))
Override = cast("type[Shape]", create_model("Override", __base__=Shape, match=(Match, ...), **_overridden))


class Route(Shape):
    """Labels for the alerts of what matches, for routing; for each label, the first entry that matches counts."""

    match: Match
    labels: dict[str, StrictStr] = Field(min_length=1)


class Slo(Shape):
    """A promise on a queue's ready age, kept in a share of all evaluations."""

    name: StrictStr = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    match: Match
    objective: Annotated[float, BeforeValidator(share), WithJsonSchema(_WRITTEN["share"])] = Field(gt=0, lt=1)
    ready_age: Duration = Field(gt=0, description="The promise: no job is ready for longer.")
    window: Duration = Field(30 * 86400.0, ge=7 * 86400, le=90 * 86400, description="What the objective is about.")


class Watched(Shape):
    """How long an alert of the watcher's own must hold before it fires, and how long it stays afterwards."""

    for_: Duration | None = Field(None, alias="for", le=86400, description="Fires only after so long.")
    keep_firing_for: Duration | None = Field(None, le=86400, description="Stays for so long afterwards.")


_watched: dict[str, Any] = {watch.alert: (Watched | None, None) for watch in WATCHES if watch.for_ != "0s"}
WatchSettings = cast("type[Shape]", create_model("Watch", __base__=Shape, **_watched))


class File(Shape):
    """The whole file."""

    version: Literal[1]
    job: StrictStr = Field("pgqueue", min_length=1, max_length=200, description="The exporters' job in Prometheus.")
    defaults: Defaults | None = Field(None, description="What holds unless an override says otherwise.")  # type: ignore[valid-type]  # made above
    overrides: tuple[Override, ...] = Field((), description="The first match wins, per signal and severity.")  # type: ignore[valid-type]  # made above
    labels: tuple[Route, ...] = Field((), description="Labels for routing.")
    slo: tuple[Slo, ...] = ()
    watch: WatchSettings | None = Field(None, description="The watcher's own alerts.")  # type: ignore[valid-type]  # made above


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``thresholds.yml``."""
    schema = File.model_json_schema(by_alias=True)
    for name in ("Defaults", "Override", "Watch"):
        for key, field in schema["$defs"][name]["properties"].items():
            if key != "match":
                field["anyOf"] = [part for part in field["anyOf"] if part != {"type": "null"}] + [_IS_OFF]
    for block in (schema, *schema["$defs"].values()):
        for field in block.get("properties", {}).values():
            field.pop("default", None) if field.get("default", "") is None else None
            field.pop("title", None)
            kinds = [part for part in field.get("anyOf", []) if part != {"type": "null"}]
            if len(kinds) == 1:
                field.pop("anyOf")
                field.update(kinds[0])
            elif kinds:
                field["anyOf"] = kinds
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgqueue-exporter thresholds",
        **{key: value for key, value in schema.items() if key != "title"},
    }
