"""`rules check` asks a database which overrides match nothing."""

from pathlib import Path

from click.testing import CliRunner

from exporter.cli import main
from tests.pgmq_install import install_pgmq
from tests.servers import Server

FILE = """
version: 1
overrides:
  - match: {queue: mail}
    ready_age: {warning: 1m}
  - match: {queue: "report_*"}
    ready_age: off
  - match: {holder: transaction}
    vacuum_horizon_age: off
labels:
  - match: {database: elsewhere}
    labels: {team: a}
"""


def test_overrides_that_match_no_queue_of_the_database_are_told(postgres18: Server, tmp_path: Path) -> None:
    database = postgres18.create_database()
    install_pgmq(database.dsn)
    database.run("select pgmq.create('mail')")
    file = tmp_path / "thresholds.yml"
    file.write_text(FILE)
    assert CliRunner().invoke(main, ["rules", "build", "--thresholds", str(file)]).exit_code == 0
    told = CliRunner().invoke(main, ["rules", "check", "--thresholds", str(file), "--dsn", database.dsn])
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "overrides[1] (line 6): matches nothing that is known: queue=report_*",
        "labels of database=elsewhere: match nothing that is known",
    ]
