"""What `check` says that a collection costs has the tenants in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter import names
from exporter.collector import check
from exporter.config import load
from tests.pgboss import PgBoss, Version
from tests.servers import Database, flush


def costs(database: Database, directory: Path) -> dict[tuple[str, str], float]:
    """Milliseconds by source and part."""
    file = directory / "pgqueue.yml"
    tenants = {"from": [{"message": "project_id"}]}
    file.write_text(json.dumps({"databases": [{"name": "main", "dsn": database.dsn, "tenants": tenants}]}))
    report = check.examine(load(file, {}).databases[0])
    assert report.ok, report.findings
    return {(cost.source, cost.part): cost.milliseconds for cost in report.costs}


def test_check_tells_what_tenants_cost(pgmq_database: Database, tmp_path: Path) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('mail')")
        connection.execute("""select pgmq.send('mail', jsonb_build_object('project_id', 't' || n % 100))
                                from generate_series(1, 500) n""")
        flush(connection)
    # Nothing is sent meanwhile: tenants that were looked at once would not be looked at again.
    assert costs(pgmq_database, tmp_path)["pgmq", names.TENANTS] > 0


@pytest.mark.parametrize("pgboss_version", ["12"])
def test_check_tells_what_tenants_of_pgboss_cost(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version, tmp_path: Path
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("mail")
    boss.insert("mail", [{"data": {"project_id": f"t{number}"}} for number in range(50)])
    assert costs(database18, tmp_path)["pgboss", names.TENANTS] > 0
