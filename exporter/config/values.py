"""How values are written in the file: durations, shares, secrets."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def duration(value: Any) -> float:  # noqa: ANN401  # whatever stood in the file
    """Seconds from ``200ms``, ``5s``, ``1m30s``, ``1h``, ``1d``. Raises ValueError."""
    if isinstance(value, str) and value and not _DURATION.sub("", value.strip()):
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(value))
    hint = f"; write {value}s" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    raise ValueError(f"expected a duration such as 200ms, 5s or 10m{hint}")


def share(value: Any) -> float:  # noqa: ANN401  # whatever stood in the file
    """A share from ``1%`` or ``0.01``. Raises ValueError."""
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        return float(match[1]) / 100
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError("expected a share such as 1% or 0.01")


_duration_schema = {"type": "string", "pattern": r"^((\d+(\.\d+)?)(ms|s|m|h|d))+$|\$\{"}
_share_schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$|\$\{"}]}

Duration = Annotated[float, BeforeValidator(duration), WithJsonSchema(_duration_schema)]
Share = Annotated[float, BeforeValidator(share), WithJsonSchema(_share_schema)]


def between(least: float, most: float, unit: str = "s") -> Any:  # noqa: ANN401  # pydantic's metadata
    """Bounds, both included, in seconds (or the plain number when ``unit`` is empty)."""
    return Field(ge=least, le=most, json_schema_extra={"description": f"from {least:g}{unit} to {most:g}{unit}"})
