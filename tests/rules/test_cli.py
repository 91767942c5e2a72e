"""The commands under `rules`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner, Result

from exporter.cli import main
from tests.servers import REPOSITORY

FILE = """
version: 1
overrides:
  - match: {queue: mail, tenant: acme}
    ready_age: {warning: 1m}
  - match: {queue: "report_*"}
    ready_age: off
  - match: {task: cron}
    maintenance_age: {warning: 15m}
slo:
  - {name: start, match: {queue: mail}, objective: 99.5%, ready_age: 1m}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "thresholds.yml"
    file.write_text(FILE)
    return file


def run(command: str, file: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["rules", command, "--thresholds", str(file), *map(str, arguments)])


def test_build_writes_and_check_compares(file: Path) -> None:
    built = run("build", file)
    assert built.exit_code == 0
    assert "give --runbook-url" in built.stderr
    assert {path.name for path in file.parent.iterdir()} == {"thresholds.yml", "pgqueue.rules.yml", "pinned.tenants"}
    assert run("check", file).exit_code == 0
    file.write_text(FILE.replace("1m}", "2m}", 1))
    checked = run("check", file)
    assert checked.exit_code == 1
    assert "* 120" in checked.stdout


def test_init_writes_a_file_to_begin_with_and_overwrites_none(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    missing = run("build", folder / "thresholds.yml")
    assert missing.exit_code == 2
    assert "`pgqueue-exporter rules init` writes one" in missing.stderr
    assert not folder.exists()

    made = CliRunner().invoke(main, ["rules", "init", str(folder)])
    assert made.exit_code == 0
    file, schema = folder / "thresholds.yml", folder / "thresholds.schema.json"
    assert made.stdout == f"wrote {file}\nwrote {schema}\n"
    assert "$schema=thresholds.schema.json\n" in file.read_text()
    assert schema.read_text() == CliRunner().invoke(main, ["rules", "schema"]).stdout
    shipped = REPOSITORY / "rules" / "thresholds.yml"
    assert run("diff", file, shipped).stdout == "ok: both say the same\n"

    file.write_text("mine")
    again = CliRunner().invoke(main, ["rules", "init", str(folder)])
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    assert file.read_text() == "mine"

    below = CliRunner().invoke(main, ["rules", "init", str(file)])
    assert below.exit_code == 1
    assert below.stderr == f"pgqueue-exporter: cannot write thresholds in {file}: File exists\n"


def test_links_are_those_that_were_given(file: Path) -> None:
    links = ("--runbook-url", "https://wiki/{alert}", "--dashboard-url", "https://grafana")
    assert run("build", file, *links).stderr == ""
    text = (file.parent / "pgqueue.rules.yml").read_text()
    assert "runbook_url: https://wiki/pgqueuereadyagehigh\n" in text
    assert "https://grafana/d/pgqueue-queue?var-database={{ $labels.database | urlquery }}" in text
    assert run("check", file, *links).exit_code == 0


def test_check_says_when_only_links_differ_and_what_to_give(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("build", file, "--runbook-url", "https://wiki/{alert}")
    told = run("check", file)
    assert told.exit_code == 1
    assert [line.split(":")[0].strip("-+ ") for line in told.stdout.splitlines()] == [
        str(file.parent / "pgqueue.rules.yml"),
        "as the thresholds make it",
        "runbook_url",
        "runbook_url",
        "Only links to runbooks and dashboards differ",
    ]
    monkeypatch.setenv("PGQUEUE_RUNBOOK_URL", "https://wiki/{alert}")
    assert run("check", file).exit_code == 0
    assert "Only links" in run("check", file, "--dashboard-url", "https://grafana").stdout
    file.write_text(FILE.replace("1m}", "2m}", 1))
    told = run("check", file, "--dashboard-url", "https://grafana")
    assert "Only links" not in told.stdout
    assert "* 120" in told.stdout


def test_the_other_format_is_another_file(file: Path) -> None:
    assert run("build", file, "--format", "prometheusrule", "--directory", file.parent / "k8s").exit_code == 0
    assert "kind: PrometheusRule" in (file.parent / "k8s" / "pgqueue.prometheusrule.yml").read_text()


def test_faults_are_told_with_exit_code_2(file: Path) -> None:
    file.write_text("version: 1\ndefaults: {backlog: {warning: x}, stalled: {warning: y}}\n")
    for command in ("build", "check", "test"):
        told = run(command, file)
        assert told.exit_code == 2
        assert "2 faults" in told.stderr
    assert [path.name for path in file.parent.iterdir()] == ["thresholds.yml"]


def test_a_promise_longer_than_retention_is_a_fault(file: Path) -> None:
    told = run("build", file, "--retention", "15d")
    assert told.exit_code == 2
    assert "slo[0].window" in told.stderr
    assert run("build", file, "--retention", "soon").exit_code == 2


def test_explain_says_which_limit_applies_and_where_it_stands(file: Path) -> None:
    rows = [" ".join(row.split()) for row in run("explain", file, "mail", "--tenant", "acme").stdout.splitlines()]
    assert rows[0] == "ready_age warning 1m overrides[0] (line 4): judged apart from its queue"
    assert rows[1] == "ready_age critical 30m the built-in default, 30m: the queue's, judged with it"
    assert rows[-1] == "PGQueueSLOBurn start: ready within 1m in 99.5% of 30d"
    other = run("explain", file, "report_x").stdout.splitlines()
    assert " ".join(other[0].split()) == "ready_age warning off overrides[1] (line 6)"
    file.write_text("version: 1\ndefaults:\n  stalled: {warning: 1m}\n")
    told = " ".join(run("explain", file, "mail").stdout.split())
    assert "stalled warning 1m defaults.stalled.warning (line 3)" in told


def test_explain_lists_limits_of_some_tasks_tables_and_the_like(file: Path) -> None:
    """A queue's name does not tell them: they come before the one that is in force for the others."""
    file.write_text(
        "version: 1\noverrides:\n"
        "  - {match: {task: cron}, maintenance_age: {warning: 15m}}\n"
        "  - {match: {queue: mail, table: archive}, dead_rows_ratio: {warning: off}}\n"
        "  - {match: {queue: other, table: archive}, dead_rows_ratio: {warning: off}}\n"
        '  - {match: {queue: "m*"}, dead_rows_ratio: {warning: 200%}}\n'
        '  - {match: {table: "*"}, dead_rows_ratio: {warning: 300%}}\n'
        "  - {match: {holder: slot}, vacuum_horizon_age: {warning: 1h}}\n"
        "  - {match: {schedule: nightly}, schedule_overdue: {warning: 1h}}\n"
        "  - {match: {tenant: acme}, tenant_share: {warning: off}, ready_age: {warning: 1m}}\n"
    )
    rows = [" ".join(row.split()) for row in run("explain", file, "mail").stdout.splitlines()]
    assert [row for row in rows if "overrides" in row] == [
        "tenant_share warning off overrides[7] (line 10), where tenant=acme",
        "schedule_overdue warning 1h overrides[6] (line 9), where schedule=nightly",
        "maintenance_age warning 15m overrides[0] (line 3), where task=cron",
        "vacuum_horizon_age warning 1h overrides[5] (line 8), where holder=slot",
        "dead_rows_ratio warning off overrides[1] (line 4), where table=archive",
        "dead_rows_ratio warning 200% overrides[3] (line 6)",
    ]
    assert "maintenance_age warning 2d the built-in default, 2d" in rows


def test_diff_says_what_another_file_changes(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    watch = "watch: {PGQueueDataStale: {keep_firing_for: 2m}, PGQueueRowsHidden: off}\n"
    other.write_text(FILE.replace("{warning: 1m}", "{warning: 2m}") + watch)
    told = run("diff", file, other)
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "- queue=mail, tenant=acme: ready_age warning: 1m",
        "+ queue=mail, tenant=acme: ready_age warning: 2m",
        "- PGQueueDataStale keep_firing_for: 10m",
        "+ PGQueueDataStale keep_firing_for: 2m",
        "- PGQueueRowsHidden for: 5m",
        "- PGQueueRowsHidden keep_firing_for: 10m",
        "+ PGQueueRowsHidden: off",
    ]
    assert run("diff", file, file).exit_code == 0


def test_test_proves_the_limits(file: Path, promtool: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMTOOL", str(promtool))
    told = run("test", file)
    assert told.exit_code == 0, told.output
    assert "limits as the file says" in told.stdout
    own = tmp_path / "own.test.yml"
    own.write_text("rule_files: []\ntests: [{promql_expr_test: [{expr: 'vector(1)', exp_samples: []}]}]\n")
    failed = run("test", file, own)
    assert failed.exit_code == 1
    assert "promtool test rules failed" in failed.stderr


@pytest.mark.parametrize("option", [("--directory", "x"), ("--format", "prometheusrule")])
def test_test_has_no_options_for_files_that_it_does_not_read(file: Path, option: tuple[str, str]) -> None:
    told = run("test", file, *option)
    assert told.exit_code == 2
    assert "No such option" in told.stderr


def test_the_shipped_thresholds_are_proved(promtool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMTOOL", str(promtool))
    told = run("test", REPOSITORY / "rules" / "thresholds.yml")
    assert told.exit_code == 0, told.output


def test_without_promtool_test_says_what_is_missing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMTOOL", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    told = run("test", file)
    assert told.exit_code == 1
    assert "promtool is not here" in told.stderr


def test_the_schema_is_printed() -> None:
    told = CliRunner().invoke(main, ["rules", "schema"])
    assert json.loads(told.stdout)["title"] == "pgqueue-exporter thresholds"


class _Prometheus(BaseHTTPRequestHandler):
    """Answers what it was told to, by the first word that the query holds."""

    answers: ClassVar[dict[str, list[dict[str, str]]]] = {}

    def do_POST(self) -> None:  # the base class's name
        query = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["query"][0]
        series = next((found for word, found in self.answers.items() if word in query), [])
        result = [{"metric": labels, "value": [0, "1"]} for labels in series]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def prometheus(answers: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    handler = type("Handler", (_Prometheus,), {"answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_check_asks_prometheus_what_is_loaded_and_what_matches_nothing(file: Path) -> None:
    run("build", file)
    text = (file.parent / "pgqueue.rules.yml").read_text()
    sha = text.split("sha: '")[-1][:12] if "sha: '" in text else text.split("sha: ")[-1][:12]
    queue = {"database": "main", "source": "pgmq", "queue": "mail"}
    answers = {
        "pgqueue:rules:info": [{"sha": sha}],
        "pgqueue_jobs": [queue, {**queue, "tenant": "acme"}],
        "maintenance": [{"database": "main", "source": "pgboss", "task": "monitor"}],
    }
    with prometheus(answers) as url:
        told = run("check", file, "--prometheus", url)
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "overrides[1] (line 6): matches nothing that is known: queue=report_*",
        "overrides[2] (line 8): matches nothing that is known: task=cron",
    ]
    answers["pgqueue_jobs"].append({**queue, "queue": "report_a"})
    answers["maintenance"][0]["task"] = "cron"
    answers["pgqueue_table_dead_rows"] = [{**queue, "table": "queue"}]
    answers["pgqueue_queue_info"] = [{**queue, "role": "work", "dead_letter_queue": "mail_dlq"}]
    with prometheus(answers) as url:
        assert run("check", file, "--prometheus", url).exit_code == 0
        answers["pgqueue_queue_info"][0]["role"] = "dead_letter"
        assert run("check", file, "--prometheus", url).stdout.splitlines() == [
            "overrides[0] (line 4): ready_age is judged for work queues only, and mail holds dead letters"
        ]
        answers["pgqueue:rules:info"] = [{"sha": "0"}]
        assert "has other rules loaded" in run("check", file, "--prometheus", url).stdout


def test_a_prometheus_that_does_not_answer_is_said_to_be_so(file: Path) -> None:
    run("build", file)
    told = run("check", file, "--prometheus", "http://127.0.0.1:9")
    assert told.exit_code == 1
    assert "does not answer" in told.stderr
    assert "expected http" in run("check", file, "--prometheus", "file:///etc/passwd").stderr
