"""The watcher's own alerts: what fires them, what does not, and what they say."""

import subprocess
from pathlib import Path

from exporter import rulegen
from exporter.rulegen import Links
from exporter.rulegen.catalogue import WATCHES
from exporter.rulegen.rules import Alert
from tests.rules.bench import Bench, groups, thresholds
from tests.rules.claims import fired, firing, group, on
from tests.rules.watching import ABSENT, DATABASE, EXPORTERS, JOB, A
from tests.rules.watching_parts import PARTS

GROUPS = [*EXPORTERS, *PARTS]


def test_the_watcher_tells_what_it_should_and_only_that(tmp_path: Path, each_promtool: Path) -> None:
    bench = Bench(tmp_path, each_promtool)
    own = rulegen.prometheus(groups(thresholds({}, tmp_path), "watch"))
    for one in GROUPS:
        bench.add(one["name"], own, [one])
    assert bench.broken() == {}


def test_every_alert_of_the_watcher_fires_in_some_test() -> None:
    assert fired(GROUPS) == {(watch.alert, severity) for watch in WATCHES for severity in watch.severities}


def test_an_alert_that_is_switched_off_is_not_there(tmp_path: Path) -> None:
    off = {watch.alert: "off" for watch in WATCHES if watch.alert != "PGQueueWatchdog"}
    rules = groups(thresholds({"watch": off}, tmp_path), "watch")[0].rules
    assert [rule.name for rule in rules] == ["pgqueue:rules:info", "PGQueueWatchdog"]


def test_another_time_is_taken(tmp_path: Path) -> None:
    found = thresholds({"watch": {"PGQueueExporterDown": {"for": "10s"}}}, tmp_path)
    text = rulegen.prometheus(groups(found, "watch"))
    assert text.count("for: 10s") == 2


def test_each_time_is_changed_by_itself(tmp_path: Path) -> None:
    """The file may state either time of an alert; what it does not state is built in."""
    stated = {
        "PGQueueDatabaseDown": {"keep_firing_for": "3m"},
        "PGQueueExporterDown": {"keep_firing_for": "4m"},
        "PGQueueDataStale": {"for": "7m", "keep_firing_for": "0s"},
    }
    rules = groups(thresholds({"watch": stated}, tmp_path), "watch")[0].rules
    found = {rule.name: [rule.for_, rule.keep] for rule in rules if isinstance(rule, Alert)}
    changed = {"PGQueueDatabaseDown": [120, 180], "PGQueueExporterDown": [300, 240], "PGQueueDataStale": [420, 0]}
    assert found == {**found, **changed, "PGQueueRowsHidden": [300, 600]}


def test_an_alert_is_held_for_as_long_as_the_file_says(tmp_path: Path, promtool: Path) -> None:
    """The database is back after ten minutes; the alert stays for three more, and no more when that is zero."""
    bench = Bench(tmp_path, promtool)
    told = firing(DATABASE, {**JOB, "database": "main"}, "Database main cannot be read by any exporter.", "critical")
    series = on(A, ("up", {}, "1x60"), ("pgqueue_up", {"database": "main"}, "0x9 1x50"))
    for keep, checks in {"3m": [(12, [told]), (13, [])], "0s": [(9, [told]), (10, [])]}.items():
        found = thresholds({"watch": {DATABASE: {"keep_firing_for": keep}}}, tmp_path)
        cases = [(DATABASE, minute, alerts) for minute, alerts in checks]
        bench.add(keep, rulegen.prometheus(groups(found, "watch")), [group(keep, series, *cases)])
    assert bench.broken() == {}


def test_braces_of_a_job_or_an_address_are_text(tmp_path: Path, each_promtool: Path) -> None:
    """They begin a template's action where an annotation holds them: one that fails stops all rules from loading."""
    job, odd = "x {{ nosuch }}", "https://o.example/{{ nosuch }}"
    made = rulegen.groups(thresholds({"job": job}, tmp_path), Links(odd + "/{alert}", odd))
    watch = rulegen.prometheus([one for one in made if one.name == "pgqueue.watch"])
    told = {
        "exp_labels": {"job": job, "severity": "critical"},
        "exp_annotations": {
            "summary": "Prometheus knows no exporter.",
            "description": f"Prometheus has no target with job={job}: the queues are not watched.",
            "runbook_url": f"{odd}/{ABSENT.lower()}",
            "dashboard_url": f"{odd}/d/pgqueue-exporter",
        },
    }
    bench = Bench(tmp_path, each_promtool)
    bench.add("braces", watch, [group("braces", on({"job": "other"}, ("up", {}, "1x60")), (ABSENT, 10, [told]))])
    assert bench.broken() == {}
    file = tmp_path / "all.rules.yml"
    file.write_text(rulegen.prometheus(made), "utf-8")
    subprocess.run([each_promtool, "check", "rules", file], check=True, capture_output=True)
