"""How values are written in the file: plain ones, durations, shares."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, StrictBool, StrictInt, WithJsonSchema

_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%", re.ASCII)

_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_WHOLE: Final = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})", re.ASCII)
_DECIMAL: Final = re.compile(r"[-+]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


class Plain(str):
    """Text that stood without quotes: where a number or a truth value is expected, it may be one."""

    __slots__ = ()


def plain(text: str) -> Any:  # noqa: ANN401  # YAML holds anything
    """What unquoted text means, as in YAML 1.2: ``no`` is text, and ``0777``, ``3:20``, ``1_000`` are no numbers."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else Plain(text)


def _resolved(value: Any) -> Any:  # noqa: ANN401  # whatever stood in the file
    """The value of a variable that stood alone and unquoted is what it would be in the file."""
    return plain(value) if isinstance(value, Plain) else value


def duration(value: Any) -> float:  # noqa: ANN401  # whatever stood in the file
    """Seconds from ``200ms``, ``5s``, ``1m30s``, ``1h``, ``1d``. Raises ValueError."""
    if is_duration(value):
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(value))
    hint = f"; write {value}s" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    raise ValueError(f"expected a duration such as 200ms, 5s or 10m{hint}")


def is_duration(value: Any) -> bool:  # noqa: ANN401  # whatever stood in the file
    """Whether a value is written as a duration."""
    return isinstance(value, str) and bool(value) and not _DURATION.sub("", value.strip())


def written(seconds: float) -> str:
    """A duration as one would write it: ``200ms``, ``5s``, ``10m``."""
    for unit, size in _UNITS.items():
        if seconds >= size and round(seconds / size, 6).is_integer():
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


def share(value: Any) -> float:  # noqa: ANN401  # whatever stood in the file
    """A share from ``1%`` or ``0.01``. Raises ValueError."""
    value = _resolved(value)
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        return float(match[1]) / 100
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError("expected a share such as 1% or 0.01")


_duration_schema = {"type": "string", "pattern": r"^((\d+(\.\d+)?)(ms|s|m|h|d))+$|\$\{"}
_share_schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$|\$\{"}]}

Duration = Annotated[float, BeforeValidator(duration), WithJsonSchema(_duration_schema)]
Share = Annotated[float, BeforeValidator(share), WithJsonSchema(_share_schema)]
Whole = Annotated[StrictInt, BeforeValidator(_resolved)]
Flag = Annotated[StrictBool, BeforeValidator(_resolved)]
Resolved: Final = BeforeValidator(_resolved)
