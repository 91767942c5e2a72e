"""From thresholds to rules: pure. It opens nothing, reads no clock and knows no path."""

from .generate import groups
from .load import thresholds
from .render import prometheus, prometheusrule
from .shape import json_schema
from .thresholds import Thresholds
from .words import Links

__all__ = ["Links", "Thresholds", "groups", "json_schema", "prometheus", "prometheusrule", "thresholds"]
