"""The least-privileged role in a database of the tests: what `sql role` prints, run there."""

import psycopg
from psycopg import conninfo

from exporter.config import Database
from exporter.sources.role_sql import role_lines

ROLE = "pgqueue_test_role"


def set_up_role(dsn: str, configured: Database, role: str = ROLE) -> str:
    """Makes the role and the functions for this configuration; gives how the role connects.

    Does so as the user of ``dsn``; where that is no superuser, or on a standby, nothing is
    done. The role may connect oftener than
    printed, for tests share their servers.
    """
    with psycopg.connect(dsn) as connection:
        primary = connection.execute("select not pg_is_in_recovery()").fetchone() == (True,)
        if connection.info.parameter_status("is_superuser") != "on" or not primary:
            return dsn
    run_script(dsn, role_lines(configured, role))
    run_script(dsn, f'alter role "{role}" connection limit -1')
    return conninfo.make_conninfo(dsn, user=role)


def run_script(dsn: str, script: str) -> list[str]:
    """Runs what was printed, as psql would; gives the warnings."""
    warnings: list[str] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.add_notice_handler(
            lambda notice: warnings.append(notice.message_primary or "") if notice.severity == "WARNING" else None
        )
        connection.execute(script.encode())
    return warnings
