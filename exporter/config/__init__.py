"""The configuration: one YAML file, or a connection string, becomes one frozen value."""

from .jobtables import JobTable
from .load import find, from_dsn, load
from .model import Config, Database, Pgmq
from .queues import DeadLetterQueues, Queues
from .schema import json_schema
from .tenants import TenantOf, Tenants
from .web import WebConfig
from .webfile import Web, load_web

__all__ = [
    "Config",
    "Database",
    "DeadLetterQueues",
    "JobTable",
    "Pgmq",
    "Queues",
    "TenantOf",
    "Tenants",
    "Web",
    "WebConfig",
    "find",
    "from_dsn",
    "json_schema",
    "load",
    "load_web",
]
