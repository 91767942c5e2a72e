"""A file of thresholds with faults of many kinds: all are told at once, and none that only follows from another."""

import math
from pathlib import Path

import pytest

from exporter import rulegen
from exporter.config.document import read
from exporter.errors import ConfigError

# Contradicts the warning's built-in default of five minutes.
LATE = "{match: {queue: a}, ready_age: {critical: 1m}}"
PROMISE = "match: {queue: a}, objective: 99%, ready_age: 1m"


def faults(text: str, folder: Path) -> dict[str, str]:
    """Path → message of everything that is wrong."""
    file = folder / "thresholds.yml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        rulegen.thresholds(read(file), math.inf)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_faults_of_form_and_of_meaning_are_told_at_once(tmp_path: Path) -> None:
    found = faults(
        """
version: 1
nonsense: 1
defaults:
  redelivered: {warning: "3"}
  wait_p95: {warning: 6h}
  failure_ratio: {critical: 150%}
overrides:
  - {match: {queue: 1}, backlog: {warning: 5}}
  - {match: {}, stalled: {warning: 1m}}
  - {match: {queue: a}}
labels:
  - {match: {queue: a}, labels: {team: 1}}
  - {match: {queue: a}, labels: {severity: x}}
slo:
  - {name: A b, match: {queue: x}, objective: 99.5%, ready_age: 1m}
  - {name: b, match: {queue: x}, objective: 93%, ready_age: 1m}
watch: {PGQueueDataStale: {for: 1}}
""",
        tmp_path,
    )
    assert list(found) == [
        "nonsense",
        "defaults.redelivered.warning",
        "defaults.wait_p95.warning",
        "defaults.failure_ratio.critical",
        "overrides[0].match.queue",
        "overrides[1].match",
        "overrides[2]",
        "labels[0].labels.team",
        "labels[1].labels.severity",
        "slo[0].name",
        "slo[1].objective",
        "watch.PGQueueDataStale.for",
    ]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (
            f"defaults: {{ready_age: {{warning: x, critical: 2m}}}}\noverrides: [{LATE}]",
            "defaults.ready_age.warning",
        ),
        (
            "overrides: [{match: {queue: a}, ready_age: {warning: x, critical: 1m}}]",
            "overrides[0].ready_age.warning",
        ),
        (
            f"overrides: [{{match: {{queue: 1}}, ready_age: {{warning: 30s}}}}, {LATE}]",
            "overrides[0].match.queue",
        ),
        (
            f"defaults: {{ready_agee: {{warning: 30s}}}}\noverrides: [{LATE}]",
            "defaults.ready_agee",
        ),
        (
            f"slo: [{{name: a, {PROMISE}, window: 1}}, {{name: b, {PROMISE}, window: 8d}}]",
            "slo[0].window",
        ),
        ("overrides: 1", "overrides"),
        ("overrides: [1]", "overrides[0]"),
        ("labels: {}", "labels"),
        ("defaults: []", "defaults"),
        ("watch: 1", "watch"),
        ("job: 1", "job"),
    ],
)
def test_what_a_fault_leaves_open_is_no_second_fault(text: str, path: str, tmp_path: Path) -> None:
    assert list(faults(f"version: 1\n{text}\n", tmp_path)) == [path]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("defaults: {ready_age: {warning: }}", "defaults.ready_age.warning"),
        ("defaults: {ready_age: {for: null}}", "defaults.ready_age.for"),
        ("defaults: {failure_ratio: {floor: ~}}", "defaults.failure_ratio.floor"),
        ("defaults: {ready_age: }", "defaults.ready_age"),
        ("defaults:", "defaults"),
        ("overrides: [{match: {queue: a}, ready_age: {critical: , warning: 1m}}]", "overrides[0].ready_age.critical"),
        ("overrides: [{match: {queue: , tenant: a}, ready_age: {critical: 31m}}]", "overrides[0].match.queue"),
        ("watch: {PGQueueDataStale: {for: }}", "watch.PGQueueDataStale.for"),
    ],
)
def test_a_key_with_nothing_after_it_is_a_fault(text: str, path: str, tmp_path: Path) -> None:
    found = faults(f"version: 1\n{text}\n", tmp_path)
    assert list(found) == [path]
    assert found[path].endswith("or no such key; found nothing")
    assert (", off," in found[path]) == path.endswith(("warning", "critical"))
