"""The file of thresholds: what is refused, with every fault at once; and the files on disk, which survive faults."""

import math
from pathlib import Path

import pytest

from exporter import rulefiles, rulegen
from exporter.config.document import read
from exporter.errors import ConfigError, ExporterError
from exporter.rulefiles import Options
from exporter.rulegen import Thresholds

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}, *a{n}, *a{n}]\n" for n in range(12))

#: What is refused, and what is said of it.
HOSTILE = {
    "empty": ("", "is empty; expected at least `version: 1`"),
    "a list": ("- a\n", "expected keys such as"),
    "a cycle": ("version: 1\ndefaults: &a [*a]\n", "nested too deeply"),
    "tags": ("version: 1\ndefaults: !!python/object:os.system {}\n", "a tag (!…) is not taken here"),
    "a billion laughs": (LAUGHS, "too many values"),
    "huge": ("x" * 2_000_000, "is larger than 1,000,000 bytes"),
    "deep": ("version: 1\n" + "a: " + "[" * 200 + "]" * 200 + "\n", "nested too deeply"),
    "of another version": ("version: 2\n", "expected 1"),
}


def load(text: str, folder: Path, retention: float = math.inf) -> Thresholds:
    file = folder / "thresholds.yml"
    file.write_text(text, "utf-8")
    return rulegen.thresholds(read(file, "version: 1"), retention)


def faults(text: str, folder: Path, retention: float = math.inf) -> dict[str, str]:
    """Path → message of everything that is wrong."""
    with pytest.raises(ConfigError) as caught:
        load(text, folder, retention)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_every_fault_of_form_is_told_at_once_with_its_path(tmp_path: Path) -> None:
    found = faults(
        """
version: 1
defaults:
  ready_age: {warning: 5 minutes, for: 2x, bogus: 1}
  backlog: {warning: no, floor: 1}
  failure_ratio: {critical: -5}
  nonsense: off
overrides:
  - match: {queue: a, tenant: 42}
    ready_age: {warning: 1m, for: 5m}
  - match: {quue: x}
    run_p95: {warning: 60}
watch: {PGQueueWatchdog: off, PGQueueDataStale: {for: 1}}
slo: [{name: A b, match: {queue: x}, objective: 99.5%}]
""",
        tmp_path,
    )
    assert found == {
        "defaults.ready_age.warning": "expected a duration such as 200ms, 5s or 10m, or off; found '5 minutes'",
        "defaults.ready_age.for": "expected a duration such as 200ms, 5s or 10m; found '2x'",
        "defaults.ready_age.bogus": "unknown key; known here: critical, for, keep_firing_for, warning",
        "defaults.backlog.warning": "expected a number such as 1000, or off; found 'no'",
        "defaults.backlog.floor": "unknown key; did you mean 'for'?",
        "defaults.failure_ratio.critical": "expected a number from 0 to 10^15 such as 5%; found -5",
        "defaults.nonsense": found["defaults.nonsense"],
        "overrides[0].match.tenant": "expected text (put it in quotes); found 42",
        "overrides[0].ready_age.for": "`for` belongs to the signal, not to an override: write it at defaults.ready_age",
        "overrides[1].match.quue": "unknown key; did you mean 'queue'?",
        "overrides[1].run_p95.warning": "expected a duration such as 200ms, 5s or 10m; write 60s, or off; found 60",
        "watch.PGQueueWatchdog": found["watch.PGQueueWatchdog"],
        "watch.PGQueueDataStale.for": "expected a duration such as 200ms, 5s or 10m; write 1s; found 1",
        "slo[0].name": found["slo[0].name"],
        "slo[0].ready_age": "missing; it must be given",
    }
    assert found["defaults.nonsense"].startswith("unknown key; ")
    assert found["watch.PGQueueWatchdog"].startswith("unknown key; ")


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("defaults: {ready_age: {warning: 5m, critical: 5m}}", "defaults.ready_age.critical", "than the warning's 5m"),
        ("defaults: {ready_age: {critical: 1m}}", "defaults.ready_age.critical", "than the warning's 5m; found 1m"),
        ("defaults: {wait_p95: {warning: 6h}}", "defaults.wait_p95.warning", "beyond the last bucket"),
        ("defaults: {failure_ratio: {critical: 100%}}", "defaults.failure_ratio.critical", "never exceeded"),
        (
            "overrides: [{match: {queue: a}, ready_age: {critical: 2m}}]",
            "overrides[0].ready_age.critical",
            "expected more than the warning's 5m (the built-in default, 5m); found 2m",
        ),
        (
            "overrides: [{match: {queue: a*}, ready_age: {warning: 1h}}]",
            "overrides[0].ready_age.warning",
            "expected less than the critical's 30m (the built-in default, 30m); found 1h",
        ),
        (
            "overrides: [{match: {queue: a, tenant: b}, run_p95: {warning: 1m}}]",
            "overrides[0].run_p95",
            "this signal has no tenant to match; it has database, source, queue",
        ),
        ("overrides: [{match: {}, run_p95: {warning: 1m}}]", "overrides[0].match", "belongs to `defaults`"),
        ("overrides: [{match: {queue: a}}]", "overrides[0]", "changes nothing"),
        (
            "overrides: [{match: {tenant: _other}, backlog: off}]",
            "overrides[0].match.tenant",
            "judged with their queue",
        ),
        (
            "overrides: [{match: {queue: a}, backlog: off}, {match: {queue: a}, backlog: {warning: 1}}]",
            "overrides[1].backlog.warning",
            "never used: overrides[0] matches the same and comes first",
        ),
        (
            "slo: [{name: a, match: {queue: a}, objective: 93%, ready_age: 1m}]",
            "slo[0].objective",
            "can never burn 14.4 times too fast",
        ),
        ("slo: [{name: a, match: {tenant: a}, objective: 99%, ready_age: 1m}]", "slo[0].match.tenant", "whole queue"),
        (
            "slo: [&s {name: a, match: {queue: a}, objective: 99%, ready_age: 1m}, *s]",
            "slo[1].name",
            "each name once",
        ),
        (
            "defaults: {ready_age: {keep_firing_for: 210s}}",
            "defaults.ready_age.keep_firing_for",
            "before PGQueueExporterDown tells it (after 5m): expected more than 210s",
        ),
        (
            "watch: {PGQueueExporterDown: {for: 690s}}",
            "watch.PGQueueExporterDown.for",
            "alerts on queues end 690s after the exporters die, before this one tells it",
        ),
        ("labels: [{match: {queue: a, source: b}, labels: {team: x}}]", "labels[0].match", "exactly one of"),
        ("labels: [{match: {queue: a}, labels: {severity: x}}]", "labels[0].labels.severity", "have already"),
        ("labels: [{match: {queue: a}, labels: {a-b: x}}]", "labels[0].labels.a-b", "no name of a label"),
    ],
)
def test_a_contradiction_is_a_fault(text: str, path: str, says: str, tmp_path: Path) -> None:
    assert says in faults(f"version: 1\n{text}\n", tmp_path)[path]


def test_an_alert_that_outlives_the_exporters_until_that_is_told_is_no_fault(tmp_path: Path) -> None:
    """A signal that is off has no alert to end; and where that alert is off, nothing is told anyway."""
    times = "defaults: {ready_age: {keep_firing_for: 211s}, job_age: {keep_firing_for: 0s}}"
    held = load(f"version: 1\n{times}\n", tmp_path)
    assert [held.signals[name].keep_firing_for for name in ("ready_age", "job_age")] == [211, 0]
    told = load("version: 1\nwatch: {PGQueueExporterDown: {for: 689s}}\n", tmp_path).watching("PGQueueExporterDown")
    assert told is not None
    assert told.for_ == 689
    off = "defaults: {ready_age: {keep_firing_for: 0s}}\nwatch: {PGQueueExporterDown: off}"
    assert load(f"version: 1\n{off}\n", tmp_path).signals["ready_age"].keep_firing_for == 0


def test_a_severity_stated_later_for_the_same_counts_against_it(tmp_path: Path) -> None:
    """The critical limit of two minutes stands above the warning of one that holds for the same queues."""
    text = (
        "version: 1\noverrides:\n- {match: {queue: a*}, ready_age: {critical: 2m}}\n"
        "- {match: {queue: a*}, ready_age: {warning: 1m}}\n"
    )
    assert load(text, tmp_path).limit("ready_age", "critical", {"queue": "ab"}).value == 120


@pytest.mark.parametrize("queue", ["report_a", "report_*", '"*"', '"*_a"'])
@pytest.mark.parametrize("source", ["", "source: pgmq, ", 'source: "*", '])
def test_whichever_way_an_earlier_override_says_it_it_counts(queue: str, source: str, tmp_path: Path) -> None:
    """By the same name, by a glob, by any: the first that covers all that the later one matches is in force."""
    text = (
        "version: 1\ndefaults: {ready_age: {critical: 2h}}\noverrides:\n"
        "- {match: {queue: other}, ready_age: {warning: 1m}}\n"
        f"- {{match: {{{source}queue: {queue}}}, ready_age: {{warning: 1h}}}}\n"
        '- {match: {source: "p*", queue: report_a}, ready_age: {warning: 2m}}\n'
        "- {match: {source: pgmq, queue: report_a}, ready_age: {critical: 40m}}\n"
    )
    told = faults(text, tmp_path)["overrides[3].ready_age.critical"]
    assert told == "expected more than the warning's 1h (overrides[1]); found 40m"


def test_a_promise_longer_than_what_is_kept_is_a_fault(tmp_path: Path) -> None:
    text = "version: 1\nslo: [{name: a, match: {queue: a}, objective: 99%, ready_age: 1m, window: 30d}]\n"
    assert "longer than what Prometheus keeps (15d)" in faults(text, tmp_path, 15 * 86400)["slo[0].window"]
    assert load(text, tmp_path, 30 * 86400).slos[0].window == 30 * 86400


@pytest.mark.parametrize(("window", "least"), [("30d", 14.4), ("7d", 3.36), ("90d", 43.2)])
def test_a_promise_may_be_as_weak_as_its_fastest_burn_rate_allows(window: str, least: float, tmp_path: Path) -> None:
    """At an objective of 1 - 1/factor, even all slices missed are not more than the factor times the budget."""

    def text(objective: float) -> str:
        promise = f"{{name: a, match: {{queue: a}}, objective: {objective:.6f}%, ready_age: 1m, window: {window}}}"
        return f"version: 1\nslo: [{promise}]\n"

    bound = 100 * (1 - 1 / least)
    assert "could never fire" in faults(text(bound - 0.001), tmp_path)["slo[0].objective"]
    assert load(text(bound + 0.001), tmp_path).slos[0].name == "a"


@pytest.mark.parametrize(("text", "says"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_with_a_reason(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path)
    assert says in str(caught.value)


CONTRADICTION = "version: 1\nslo: [{name: a, match: {queue: a}, objective: 93%, ready_age: 1m}]\n"


@pytest.mark.parametrize(
    "text", [*(text for text, _ in HOSTILE.values()), CONTRADICTION], ids=[*HOSTILE, "a promise that cannot burn"]
)
def test_the_rules_on_disk_stay_as_they_were_on_a_hostile_file(text: str, tmp_path: Path) -> None:
    file = _file(tmp_path, "version: 1\noverrides: [{match: {tenant: t}, backlog: off}]\n")
    rulefiles.build(file, tmp_path, Options())
    _file(tmp_path, text)
    before = {path.name: (path.read_bytes(), path.stat().st_ino) for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError):
        rulefiles.build(file, tmp_path, Options())
    assert {path.name: (path.read_bytes(), path.stat().st_ino) for path in tmp_path.iterdir()} == before
    assert set(before) == {"thresholds.yml", "pgqueue.rules.yml", "pinned.tenants"}


def test_the_rules_on_disk_stay_as_they_were_on_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "thresholds.yml"
    file.write_text("version: 1\n")
    rulefiles.build(file, tmp_path, Options())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    file.write_text("version: 1\ndefaults: {backlog: {warning: many}}\n")
    with pytest.raises(ConfigError):
        rulefiles.build(file, tmp_path, Options())
    file.write_text("version: 1\n")
    (tmp_path / "pinned.tenants").unlink()
    (tmp_path / "pinned.tenants").mkdir()  # cannot be replaced by a file
    (tmp_path / "pinned.tenants" / "x").touch()
    file.write_text("version: 1\ndefaults: {backlog: {warning: 5}}\n")
    with pytest.raises(ExporterError):
        rulefiles.build(file, tmp_path, Options())
    assert (tmp_path / "pgqueue.rules.yml").read_bytes() == before["pgqueue.rules.yml"]
    assert {path.name for path in tmp_path.iterdir()} == set(before)


@pytest.mark.parametrize("name", ["pgqueue.rules.yml", "pinned.tenants"])
def test_a_first_build_that_fails_leaves_nothing_behind_and_names_the_file(name: str, tmp_path: Path) -> None:
    file = _file(tmp_path, "version: 1\n")
    (tmp_path / name).mkdir()  # cannot be replaced by a file
    with pytest.raises(ExporterError, match=f"cannot write {tmp_path / name}: Is a directory"):
        rulefiles.build(file, tmp_path, Options())
    assert {path.name for path in tmp_path.iterdir()} == {"thresholds.yml", name}


def _file(folder: Path, text: str) -> Path:
    file = folder / "thresholds.yml"
    file.write_text(text, "utf-8")
    return file


def test_tenants_are_pinned_by_their_values_not_their_labels(tmp_path: Path) -> None:
    overrides = "".join(
        f"- {{match: {{tenant: {name}}}, backlog: off}}\n" for name in ('"__x"', "b", '"a*"', '"#c"', '" d"', '"e f"')
    )
    found = rulefiles.generated(_file(tmp_path, f"version: 1\noverrides:\n{overrides}"), Options())
    assert found["pinned.tenants"].splitlines()[1:] == ["_x", "b", "e f"]


def test_what_is_made_is_the_same_every_time_and_says_so(tmp_path: Path) -> None:
    file = _file(tmp_path, "version: 1\n")
    rulefiles.build(file, tmp_path, Options())
    assert list(rulefiles.differences(file, tmp_path, Options())) == []
    rules = tmp_path / "pgqueue.rules.yml"
    rules.write_text(rules.read_text().replace("* 300", "* 301", 1))
    told = list(rulefiles.differences(file, tmp_path, Options()))
    assert any(line.startswith("-") and "* 301" in line for line in told)
    assert any(line.startswith("+") and "* 300" in line for line in told)
