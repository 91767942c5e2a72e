"""Rules and groups as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Record:
    """A recorded series. ``why``: a comment for who reads the file."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert; ``for_`` and ``keep`` in seconds."""

    name: str
    expr: str
    for_: float
    keep: float
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated in order. ``interval`` in seconds; 0: Prometheus' own."""

    name: str
    rules: tuple[Record | Alert, ...]
    interval: float = 0.0
