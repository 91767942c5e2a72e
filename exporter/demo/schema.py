"""What the demo's database holds: pgmq, and the tables of a multi-tenant workflow product in MeshHook's shape."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from .. import config
from ..collector import roles
from .postgres import locate

QUEUE: Final = "workflow_jobs"
DEAD_LETTER_QUEUE: Final = "workflow_jobs_dlq"

#: Under which source the exporter shows its collections of job_tracking, as named in pgqueue.yml.
JOB_TABLE: Final = "jobtable:job_tracking"

#: The exporter's configuration, and the variable that it takes its connection string from.
CONFIG: Final = Path(__file__).with_name("pgqueue.yml")
DSN_VARIABLE: Final = "PGQUEUE_DEMO_DSN"

#: The role that the exporter connects as.
EXPORTER_ROLE: Final = roles.ROLE

#: Tenants and their shares of the jobs: a few large ones and a tail, as products have them.
TENANTS: Final = {
    "acme": 38,
    "globex": 21,
    "initech": 13,
    "umbrella": 9,
    "hooli": 7,
    "stark": 5,
    "wayne": 4,
    "tyrell": 2,
    "cyberdyne": 1,
}


def text(name: str) -> str:
    """The SQL in a file of this package."""
    return resources.files(__package__ or "exporter.demo").joinpath("sql", f"{name}.sql").read_text()


def statement(name: str) -> sql.SQL:
    """The SQL in a file of this package, to be run with parameters."""
    return sql.SQL(text(name))


def install(connection: psycopg.Connection[Any]) -> None:
    """Install pgmq where it is missing, roles, tables, tenants and queues. A superuser's autocommit connection."""
    install_pgmq(connection)
    for name in ("roles", "schema"):
        connection.execute(text(name).encode())
    add = statement("add_project")
    for tenant in TENANTS:
        connection.execute(add, {"name": tenant})


def install_pgmq(connection: psycopg.Connection[Any]) -> None:
    """Install the SQL of the package `pgmq` where there is no pgmq. Raises ExporterError without that package."""
    found = connection.execute("select to_regclass('pgmq.meta') is not null").fetchone()
    if found != (True,):
        connection.execute((locate("pgmq") / "sql" / "pgmq.sql").read_bytes())


def add_exporter_role(connection: psycopg.Connection[Any], password: str) -> None:
    """Make the role that the exporter connects as, as `sql role` prints it: it may count, and read no table.

    Run it after ``install``, as the owner of the tables.
    """
    connection.execute(role_script().encode())
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(EXPORTER_ROLE), sql.Literal(password))
    )


def role_script() -> str:
    """What `pgqueue-exporter sql role --config pgqueue.yml` prints for the demo's configuration."""
    return roles.sql_of(config.load(CONFIG, {DSN_VARIABLE: "host=demo"}), None, EXPORTER_ROLE, (), drop=False)
