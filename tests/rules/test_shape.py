"""What the generated rules look like: conventions that a program can tell, and what other parsers say of them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from exporter import names, rulegen
from exporter.rulegen import Links
from exporter.rulegen.catalogue import ANNOTATIONS, RULES_INFO, SEVERITIES, SLO_ALERT, WATCHES
from exporter.rulegen.signals import SIGNALS
from tests.rules.bench import thresholds
from tests.servers import REPOSITORY

EVERYTHING = {
    "defaults": {
        signal.name: {"warning": 0.1, "critical": 0.2}
        if signal.unit != "seconds"
        else {"warning": "1m", "critical": "2m"}
        for signal in SIGNALS
    },
    "overrides": [
        {"match": {"queue": "a", "tenant": "t"}, name: {"critical": limit}}
        for name, limit in (("ready_age", "3m"), ("backlog", 5), ("failure_ratio", "30%"))
    ],
    "labels": [{"match": {"queue": "a*"}, "labels": {"team": "a"}}],
    "slo": [
        {"name": name, "match": {"queue": "a"}, "objective": objective, "ready_age": age}
        for name, objective, age in (("one", "99.9%", "1m"), ("two", "99%", "10s"))
    ],
}
Rule = dict[str, Any]


def _rules(text: str) -> list[tuple[str, Rule]]:
    return [(group["name"], rule) for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = thresholds(EVERYTHING, tmp_path_factory.mktemp("shape"))
    return rulegen.prometheus(rulegen.groups(found, Links("https://r.example/", "https://g.example")))


@pytest.fixture(scope="module")
def rules(text: str) -> list[tuple[str, Rule]]:
    return _rules(text)


@pytest.fixture(scope="module")
def alerts(rules: list[tuple[str, Rule]]) -> list[Rule]:
    return [rule for _, rule in rules if "alert" in rule]


def test_every_alert_and_severity_is_there(alerts: list[Rule]) -> None:
    expected = {(signal.alert, severity) for signal in SIGNALS for severity in SEVERITIES}
    expected |= {(watch.alert, severity) for watch in WATCHES for severity in watch.severities}
    expected |= {(SLO_ALERT, severity) for severity in SEVERITIES}
    assert {(rule["alert"], rule["labels"]["severity"]) for rule in alerts} == expected


def test_names_and_labels_are_those_of_convention(rules: list[tuple[str, Rule]]) -> None:
    seen = set()
    for _, rule in rules:
        name = rule.get("record") or rule["alert"]
        if "record" in rule:
            assert re.fullmatch(r"[a-z_]+:pgqueue_[a-z0-9_]+:[a-z0-9_]+", name) or name == RULES_INFO
            window = re.search(r":(?:rate|increase|ratio)(\d+[mhd])$", name)
            given = () if window is None else (f"[{window[1]}]", f":rate{window[1]}")
            assert window is None or any(text in rule["expr"] for text in given), name
        else:
            assert re.fullmatch(r"PGQueue[A-Z][A-Za-z]+", name)
            assert set(rule["labels"]) <= {"severity", "long", "short"}
        key = (name, tuple(sorted(rule.get("labels", {}).items())))
        assert key not in seen
        seen.add(key)
        assert "{{" not in str(rule.get("labels"))
        assert not re.search(r"\d\.\d{7,}", rule["expr"])
        assert '=~".*"' not in rule["expr"]
        assert "topk" not in rule["expr"]


def test_annotations_are_whole(alerts: list[Rule]) -> None:
    for rule in alerts:
        annotations = rule["annotations"]
        assert list(annotations) == list(ANNOTATIONS)
        assert re.fullmatch(r"[A-Z][^{}]*\.", annotations["summary"])
        assert annotations["description"].endswith((".", "}}"))
        assert annotations["runbook_url"] == f"https://r.example/{rule['alert'].lower()}.md"
        assert annotations["dashboard_url"].startswith("https://g.example/d/pgqueue-")


def test_alerts_wait_and_are_held(alerts: list[Rule]) -> None:
    for rule in alerts:
        assert ("for" in rule) == (rule["alert"] != "PGQueueWatchdog")
        assert rule.get("keep_firing_for") in (None, "12m" if rule["alert"] == "PGQueueStalled" else "10m")


def test_every_selector_of_the_exporters_series_names_the_job_and_what_the_catalogue_has(
    rules: list[tuple[str, Rule]],
) -> None:
    known = {metric.name: metric for metric in names.CATALOGUE}
    found = set()
    for _, rule in rules:
        for name, _, inner in re.findall(r"(?<![:\w])(pgqueue_\w+)(\{([^}]*)\})?(?!\w*:)", rule["expr"]):
            metric = known.get(name) or known[name.removesuffix("_bucket")]
            found.add(metric.name)
            assert 'job="pgqueue"' in inner, (name, rule["expr"])
            labels = set(re.findall(r"(\w+)(?:=|!)", re.sub(r'"[^"]*"', '""', inner)))
            assert labels <= {*metric.labels, "job"}, (name, inner)
            around = re.search(rf"(\w+)\({name}\b[^()]*\[", rule["expr"])
            assert (metric.kind == "gauge") == (around is None or around[1] == "last_over_time"), rule["expr"]
    assert len(found) > 20


def test_every_record_is_read(text: str, rules: list[tuple[str, Rule]]) -> None:
    for _, rule in rules:
        name = rule.get("record")
        if name and name != RULES_INFO:
            assert len(re.findall(rf"(?<![\w:]){name}(?![\w:])", text)) > text.count(f"record: {name}\n"), name


def test_records_stand_before_those_that_read_them_in_one_group(rules: list[tuple[str, Rule]]) -> None:
    home = {rule["record"]: group for group, rule in rules if "record" in rule}
    seen: set[str] = set()
    for group, rule in rules:
        for name in re.findall(r"[a-z_]+:pgqueue_[a-z0-9_]+:[a-z0-9_]+", rule["expr"]):
            assert home[name] == group
            assert name in seen, name
        seen.add(rule.get("record", ""))


def test_no_group_is_slow_by_interval(text: str) -> None:
    intervals = {group["name"]: group.get("interval") for group in yaml.safe_load(text)["groups"]}
    assert {name for name, interval in intervals.items() if interval} == {"pgqueue.wait", "pgqueue.run", "pgqueue.slo"}
    assert all(name.startswith("pgqueue.") for name in intervals)


def test_promtool_finds_nothing_to_say(text: str, tmp_path: Path, each_promtool: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(text, "utf-8")
    subprocess.run(
        [each_promtool, "check", "rules", "--lint=all", "--lint-fatal", file], check=True, capture_output=True
    )


def test_another_parser_of_promql_reads_every_expression(rules: list[tuple[str, Rule]]) -> None:
    promql = pytest.importorskip("promql_parser")
    for _, rule in rules:
        promql.parse(rule["expr"])


def test_a_prometheusrule_holds_the_same_groups(tmp_path: Path) -> None:
    groups = rulegen.groups(thresholds(EVERYTHING, tmp_path))
    plain = yaml.safe_load(rulegen.prometheus(groups))
    wrapped = yaml.safe_load(rulegen.prometheusrule(groups))
    assert (wrapped["apiVersion"], wrapped["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert wrapped["spec"] == plain


def test_what_is_off_altogether_is_not_evaluated(tmp_path: Path) -> None:
    found = thresholds({"defaults": {signal.name: "off" for signal in SIGNALS}}, tmp_path)
    assert [group.name for group in rulegen.groups(found)] == ["pgqueue.watch"]


def test_a_muted_queue_has_a_limit_that_is_seen(tmp_path: Path) -> None:
    found = thresholds({"overrides": [{"match": {"queue": "a"}, "backlog": "off"}]}, tmp_path)
    text = rulegen.prometheus(rulegen.groups(found))
    assert 'group without () (queue:pgqueue_backlog:value{severity="warning",queue="a"}) * Inf' in text


def test_the_schema_takes_the_shipped_file_and_refuses_what_the_reader_refuses() -> None:
    schema = rulegen.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    shipped = yaml.load((REPOSITORY / "rules" / "thresholds.yml").read_text(), yaml.BaseLoader)
    numbers = _numbers(shipped)
    jsonschema.validate(numbers, schema)
    for wrong in ({"version": 1, "x": 1}, {"version": 1, "defaults": {"ready_age": {"warning": 5}}}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def _numbers(value: Any) -> Any:
    """Numbers as YAML 1.2 reads them, `off` as text."""
    if isinstance(value, dict):
        return {key: _numbers(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_numbers(below) for below in value]
    return float(value) if re.fullmatch(r"[0-9.]+", value) else value


def test_the_shipped_file_says_every_default_as_it_is_built_in(tmp_path: Path) -> None:
    shipped = thresholds((REPOSITORY / "rules" / "thresholds.yml").read_text(), tmp_path)
    built_in = thresholds({}, tmp_path)
    for signal in SIGNALS:
        one, other = shipped.signals[signal.name], built_in.signals[signal.name]
        assert (one.limits, one.for_, one.keep_firing_for, one.floor) == (
            other.limits,
            other.for_,
            other.keep_firing_for,
            other.floor,
        )
        assert set(one.paths.values()) == {f"defaults.{signal.name}.{severity}" for severity in SEVERITIES}
