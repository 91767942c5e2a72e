"""The shipped Prometheus configuration, by promtool and in a running Prometheus."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.prometheus import SHIPPED, Prometheus, program
from tests.servers import REPOSITORY

RULES = """\
groups:
  - name: pgqueue.test
    rules:
      - record: pgqueue:test:answer
        expr: count(up{job="prometheus"}) * 42
      - alert: PGQueueTest
        expr: pgqueue:test:answer > 41
        labels: {severity: warning}
"""


@pytest.fixture(params=["2.42", "newest"])
def binaries(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """The programs of the oldest and of the newest Prometheus, by name."""

    def get(name: str) -> Path:
        found = program(name, newest=request.param == "newest")
        if found is None:
            script = "prometheus" if request.param == "newest" else "tools"
            pytest.skip(f"{name} {request.param} is not here: run `.ci/{script}`")
        return found

    return get


@pytest.fixture
def prometheus(binaries: Callable[[str], Path], tmp_path: Path) -> Iterator[Prometheus]:
    """A running one, with one rule file."""
    rules = tmp_path / "test.rules.yml"
    rules.write_text(RULES)
    with Prometheus(binaries("prometheus"), rules=[rules], interval=0.5) as running:
        yield running


def test_promtool_is_content_with_the_configuration(binaries: Callable[[str], Path]) -> None:
    done = subprocess.run(
        [binaries("promtool"), "check", "config", "--lint-fatal", SHIPPED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_a_running_prometheus_scrapes_records_and_alerts(prometheus: Prometheus, tmp_path: Path) -> None:
    prometheus.wait_for(lambda: prometheus.value("pgqueue:test:answer") == 42, "nothing is recorded")
    prometheus.wait_for(
        lambda: prometheus.alerts() == [{"alertname": "PGQueueTest", "severity": "warning"}], "no alert"
    )
    assert [group["name"] for group in prometheus.rule_groups()] == ["pgqueue.test"]
    other = tmp_path / "other.rules.yml"
    other.write_text(RULES.replace("> 41", "> 42").replace("pgqueue.test", "pgqueue.other"))
    prometheus.reload([other])
    assert [group["name"] for group in prometheus.rule_groups()] == ["pgqueue.other"]
    assert prometheus.alerts(None) == []


def test_a_refused_configuration_is_told(prometheus: Prometheus, tmp_path: Path) -> None:
    broken = tmp_path / "broken.rules.yml"
    broken.write_text(RULES.replace("count(up", "count((up"))
    with pytest.raises(AssertionError, match="failed to reload"):
        prometheus.reload([broken])


def shipped() -> dict[str, Any]:
    """The configuration as data."""
    loaded: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    return loaded


def test_scrapes_and_evaluations_come_every_five_seconds() -> None:
    intervals = shipped()["global"]
    assert intervals["scrape_interval"] == intervals["evaluation_interval"] == "5s"
    assert intervals["scrape_timeout"] == "4s"


def test_two_exporters_are_one_job_with_the_name_that_the_rules_look_for() -> None:
    jobs = {job["job_name"]: job for job in shipped()["scrape_configs"]}
    (exporters,) = jobs["pgqueue"]["static_configs"]
    assert len(set(exporters["targets"])) == 2
    assert "prometheus" in jobs, "its own metrics tell that rules fail"


def test_the_rule_files_are_those_of_the_checkout() -> None:
    (pattern,) = shipped()["rule_files"]
    assert (SHIPPED.parent / pattern).resolve().parent == REPOSITORY / "rules"
