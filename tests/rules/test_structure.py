"""What the golden cases guard: a change to the rules' structure breaks the case that was written for it."""

import re
from pathlib import Path

import yaml

from exporter import rulegen
from exporter.config.document import read
from exporter.rulegen import Links
from tests.rules.bench import RUNBOOKS, Bench

HERE = Path(__file__).parent
TESTS = yaml.safe_load((HERE / "golden.test.yml").read_text())

BRIDGE = (
    r"max without \(instance, pod\) \((\S+)\)\n( *)or\n +max without \(instance, pod\) \(last_over_time\(\1\[\w+\]\)\)"
)

#: What is changed: the beginning of the case, the group, a pattern, its replacement.
CHANGES = {
    "the bridge takes a dead exporter's value over a living one's": (
        "a spike of one sample",
        "ready_age",
        BRIDGE,
        r"max without (instance, pod) (last_over_time(\1[3m]))",
    ),
    "no bridge": ("two missed scrapes", "ready_age", BRIDGE, r"max without (instance, pod) (\1)"),
    "what counts from an exporter's start is bridged like all else": (
        "what counts from an exporter's own start",
        "stalled",
        r"max without \(instance, pod\) \(last_over_time\((\S+)\[3m\]\)\)",
        r"(max without (instance, pod) (\1) or max without (instance, pod) (last_over_time(\1[3m])))",
    ),
    "what was critical is forgotten": (
        "both exporters restart",
        "stalled",
        r'alertstate="firing",severity="critical"',
        'alertstate="forgotten"',
    ),
    "replicas are merged before tenants": (
        "two exporters that show",
        "backlog",
        r"(pgqueue_jobs\{.*\})",
        r'label_replace(max without (instance, pod) (\1), "instance", "a", "", "")',
    ),
    "dead letter queues are judged as work": (
        "a full dead letter queue",
        "backlog",
        r" +and on \(job, instance, database, source, queue\)\n +pgqueue_queue_info\{job=\"pgqueue\",role=\"work\"\}\n",
        "",
    ),
    "dead letter queues are left out of rates negatively, by what is known now": (
        "a full dead letter queue",
        "failure_ratio",
        r"and (on \(job, instance, database, source, queue\)\n +)last_over_time\((.*?)role=\"work\"\}\[15m\]\)",
        r'unless \1\2role="dead_letter"}',
    ),
    "one base for both severities": (
        "a tenant is judged by its own",
        "ready_age",
        r'(tenant\)\n +queue_tenant:pgqueue_ready_age:threshold)\{severity="warning"\}',
        r'\1{severity="critical"}',
    ),
    "queue-only matches before a tenant's are no marks": (
        "a tenant is judged by its own",
        "ready_age",
        r"(?m)^.*\* -1\n +or\n",
        "",
    ),
    "limits hang on the ratio": (
        "failures of a muted tenant",
        "failure_ratio",
        r"group without \(\) \(queue_tenant:pgqueue_failure_ratio_finished:increase15m",
        "group without () (queue_tenant:pgqueue_failure_ratio:value",
    ),
    "names are quoted by %s": ("names with quotes", "ready_age", r"queue=%q", 'queue="%s"'),
    "a minute of arrivals is a backlog": (
        "a backlog of less than a minute",
        "drain_time",
        r"\n +and\n +queue:pgqueue_drain_time_backlog:sum >= 60 \* \S+",
        "",
    ),
    "absent throughput is none": (
        "a backlog of less than a minute",
        "drain_time",
        r"queue:pgqueue_drain_time_finished:rate5m - ",
        "(queue:pgqueue_drain_time_finished:rate5m or 0 * queue:pgqueue_drain_time_enqueued:rate5m) - ",
    ),
    "no floor of traffic": (
        "an idle queue",
        "run",
        r"\* 300 >= 20",
        "* 300 >= 0",
    ),
    "tables without a queue are not watched": (
        "a table that several queues share",
        "dead_rows_ratio",
        r" +or\n +pgqueue_table_dead_rows\{job=\"pgqueue\",queue=\"\"\}\n",
        "",
    ),
    "queues with a dead letter queue are told by their failures": (
        "a queue without a dead letter queue",
        "dead_letters",
        r',dead_letter_queue=""',
        "",
    ),
}


def test_a_change_of_structure_breaks_the_case_written_for_it(tmp_path: Path, promtool: Path) -> None:
    bench = Bench(tmp_path, promtool)
    found = rulegen.thresholds(read(HERE / "golden.thresholds.yml", "version: 1"))
    groups = {group.name: group for group in rulegen.groups(found, Links(RUNBOOKS, "https://grafana.example/"))}
    for name, (beginning, group, pattern, replacement) in CHANGES.items():
        case = next(test for test in TESTS["tests"] if test["name"].startswith(beginning))
        alerts = {rule.name for rule in groups[f"pgqueue.{group}"].rules}
        kept = [one for one in case.get("alert_rule_test", []) if one["alertname"] in alerts]
        text = rulegen.prometheus([groups[f"pgqueue.{group}"]])
        changed, count = re.subn(pattern, replacement, text)
        assert count, name
        test = {**case, "alert_rule_test": kept}
        bench.add(name, changed, [test], TESTS["evaluation_interval"])
        bench.add(f"without: {name}", text, [test], TESTS["evaluation_interval"])
    broken = bench.broken()
    assert {name: told for name, told in broken.items() if name.startswith("without: ")} == {}
    assert set(broken) == set(CHANGES)
