"""The configuration: one YAML file, or a connection string, becomes one frozen value."""

from .jobtables import JobTable
from .load import find, from_dsn, load
from .model import Config, Database, Pgmq
from .queues import DeadLetterQueues, Queues
from .schema import json_schema

__all__ = [
    "Config",
    "Database",
    "DeadLetterQueues",
    "JobTable",
    "Pgmq",
    "Queues",
    "find",
    "from_dsn",
    "json_schema",
    "load",
]
