"""The demo: a Postgres of its own with queues, workers and an incident, and the exporter that shows it."""

from .incident import Schedule
from .show import run

__all__ = ["Schedule", "run"]
