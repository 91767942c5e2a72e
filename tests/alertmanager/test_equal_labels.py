"""Inhibition compares labels: those that it names are on the alerts that fire, as promtool sees them fire."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter import rulegen
from exporter.rulegen.catalogue import SEVERITIES
from exporter.rulegen.rules import Alert
from exporter.rulegen.signals import SIGNAL
from exporter.rulegen.thresholds import DEFAULT_WATCH
from tests.alerting import shipped
from tests.alertmanager.test_config import matches
from tests.rules.bench import thresholds
from tests.rules.cases import CASES
from tests.rules.test_promises import PROMISES
from tests.rules.test_shape import EVERYTHING
from tests.rules.watching import EXPORTERS
from tests.rules.watching_parts import PARTS

Labels = dict[str, str]
#: The first compares all that can tell two alerts of one name apart, the others what cause and symptom share.
CRITICAL_OVER_WARNING, *CAUSES = shipped()["inhibit_rules"]
#: Labels that Prometheus servers add, or not: `pod` goes with `instance`.
ADDED = {"cluster", "pod"}
#: In what warning and critical of one thing differ: an SLO's windows too.
DIFFERS = {"severity", "long", "short"}
#: Source, target and label: pairs that matchers join, and that a label on one side alone keeps apart, on purpose.
KEPT_APART = {
    # A configuration is an exporter's, whatever becomes of a database.
    ("PGQueueDatabaseDown", "PGQueueConfigReloadFailing", "database"),
    # A queue that is stale by itself is more than its part's failure says.
    ("PGQueueCollectionFailing", "PGQueueDataStale", "part"),
}


def fired() -> Iterator[Labels]:
    """The labels of every alert and severity that promtool is shown to fire; a tenant's own besides."""
    for case in CASES:
        signal = SIGNAL[case.signal]
        for severity in SEVERITIES:
            labels = {"alertname": signal.alert, "job": "pgqueue", "severity": severity, **case.labels}
            yield labels
            if signal.tenants == "named":
                yield {**labels, "tenant": "t"}
    for test in (*EXPORTERS, *PARTS, *PROMISES):
        for check in test["alert_rule_test"]:
            for alert in check["exp_alerts"]:
                yield {"alertname": check["alertname"], **alert["exp_labels"]}


FIRED = list(fired())


def chosen(rule: dict[str, Any], side: str) -> list[Labels]:
    """The alerts that are source, or target, of a rule."""
    return [labels for labels in FIRED if matches(rule[f"{side}_matchers"], labels)]


def test_every_alert_of_the_generated_rules_is_among_them(tmp_path: Path) -> None:
    rules = [rule for group in rulegen.groups(thresholds(EVERYTHING, tmp_path)) for rule in group.rules]
    made = {(rule.name, rule.labels["severity"]) for rule in rules if isinstance(rule, Alert)}
    assert {(labels["alertname"], labels["severity"]) for labels in FIRED} == made


def test_warning_and_critical_of_one_thing_are_compared_by_all_their_labels() -> None:
    """Without a label that tells two things apart, one of them, critical, would mute the warning of the other."""
    critical = {labels["alertname"] for labels in FIRED if labels["severity"] == "critical"}
    for labels in (labels for labels in FIRED if labels["alertname"] in critical):
        assert labels.keys() - DIFFERS - ADDED <= set(CRITICAL_OVER_WARNING["equal"]), labels["alertname"]
    known = {label for labels in FIRED for label in labels}
    assert set(CRITICAL_OVER_WARNING["equal"]) - ADDED <= known, "a label that no alert has"


def test_warning_and_critical_of_one_alert_have_the_same_labels() -> None:
    sets: dict[tuple[str, str], set[frozenset[str]]] = {}
    for labels in FIRED:
        sets.setdefault((labels["alertname"], labels["severity"]), set()).add(frozenset(labels))
    pairs = [(name, severity) for name, severity in sets if severity == "critical" and (name, "warning") in sets]
    assert len(pairs) > 20
    for name, severity in pairs:
        assert sets[name, severity] == sets[name, "warning"], name


@pytest.mark.parametrize("rule", CAUSES, ids=lambda rule: rule["source_matchers"][0])
def test_a_cause_has_every_label_by_which_it_is_compared(rule: dict[str, Any]) -> None:
    sources = chosen(rule, "source")
    assert sources
    for labels in sources:
        assert set(rule["equal"]) - ADDED <= labels.keys(), labels["alertname"]


def test_so_have_its_symptoms_but_where_they_are_kept_apart_on_purpose() -> None:
    apart = {
        (source["alertname"], target["alertname"], label)
        for rule in CAUSES
        for source in chosen(rule, "source")
        for target in chosen(rule, "target")
        for label in rule["equal"]
        if (label in source) != (label in target)
    }
    assert apart == KEPT_APART


def test_what_mutes_everything_is_over_at_once() -> None:
    """Held for ten minutes more, it would mute what comes right after it: the backlog that an outage leaves."""
    sources = {
        labels["alertname"]
        for rule in CAUSES
        if any("PGQueue.+" in matcher for matcher in rule["target_matchers"])
        for labels in chosen(rule, "source")
    }
    assert sources == {"PGQueueExporterDown", "PGQueueExporterAbsent", "PGQueueDatabaseDown"}
    assert {alert: DEFAULT_WATCH[alert].keep_firing_for for alert in sources} == dict.fromkeys(sources, 0)
