"""Tests for promtool that prove each limit: what the chain gives must be what the file says, read by plain Python."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from ..names import DATABASE, QUEUE, QUEUE_INFO, SOURCE, TENANT, WORK
from .catalogue import SEVERITIES, SEVERITY, Signal
from .globs import is_glob
from .promql import quoted
from .signals import SIGNALS
from .thresholds import Thresholds

Labels = Mapping[str, str]

#: What stands for a label that a match does not name.
_ELSE: Final = "anything"
#: Signals whose limits are proved: of each kind, from series as simple as they may be.
_SERIES: Final[Mapping[str, tuple[tuple[str, Labels, str], ...]]] = {
    "ready_age": (("pgqueue_oldest_ready_age_seconds", {}, "1x10"),),
    "backlog": (("pgqueue_jobs", {"state": "ready"}, "1x10"),),
    "failure_ratio": (("pgqueue_jobs_finished_total", {"outcome": "completed"}, "0+1x10"),),
    "job_age": (("pgqueue_oldest_job_age_seconds", {}, "1x10"),),
    "in_flight_age": (("pgqueue_oldest_in_flight_age_seconds", {}, "1x10"),),
    "stalled": (("pgqueue_stalled_seconds", {}, "1x10"),),
    "redelivered": (("pgqueue_redelivered_jobs", {}, "1x10"),),
    "unready_head": (("pgqueue_unready_head_jobs", {}, "1x10"),),
    "schedule_overdue": (("pgqueue_schedule_overdue_seconds", {}, "1x10"),),
    "workers_gone": (("pgqueue_workers_gone_seconds", {}, "1x10"),),
    "vacuum_horizon_age": (("pgqueue_vacuum_horizon_age_seconds", {}, "1x10"),),
    "maintenance_age": (("pgqueue_source_maintenance_timestamp_seconds", {}, "1x10"),),
    "drain_time": (("pgqueue_jobs", {"state": "ready"}, "1x10"),),
    "retry_ratio": (("pgqueue_jobs_finished_total", {"outcome": "completed"}, "0+1x10"),),
    "run_p95": (("pgqueue_job_run_seconds_bucket", {"le": "+Inf"}, "0+1x10"),),
    "run_degraded": (("pgqueue_job_run_seconds_bucket", {"le": "+Inf"}, "0+1x10"),),
    "wait_p95": (("pgqueue_job_wait_seconds_bucket", {"le": "+Inf"}, "0+1x10"),),
    "dead_letters": (("pgqueue_jobs", {"state": "ready"}, "1x10"),),
    "tenant_share": (
        ("pgqueue_jobs", {"state": "ready"}, "100000000x10"),
        ("pgqueue_jobs", {"state": "ready", TENANT: "_other"}, "100000000x10"),
    ),
    "tenant_wait_ratio": (
        ("pgqueue_oldest_ready_age_seconds", {}, "1000000000x10"),
        ("pgqueue_oldest_ready_age_seconds", {TENANT: "first other"}, "1x10"),
        ("pgqueue_oldest_ready_age_seconds", {TENANT: "second other"}, "1x10"),
    ),
    "dead_rows_ratio": (
        ("pgqueue_table_dead_rows", {}, "1000000000000x10"),
        ("pgqueue_table_live_rows", {}, "1x10"),
    ),
}


def proof(thresholds: Thresholds, rules: str, more: Iterable[Labels] = (), only: str | None = None) -> tuple[str, int]:
    """A promtool test file for a rules file, and how many limits it proves.

    Of each signal: something that the default is for, something for each override, and ``more``; or ``only`` those of
    one group.
    """
    groups = []
    count = 0
    for signal in SIGNALS:
        if thresholds.judged(signal) and only in (None, f"pgqueue.{signal.group or signal.name}"):
            subjects = [labels for labels in _subjects(thresholds, signal, more) if all(labels.values())]
            found = {tuple(sorted(labels.items())): labels for labels in subjects}
            series, tests = _group(thresholds, signal, list(found.values()))
            count += len(tests)
            groups.append(
                {
                    "name": f"limits of {signal.name} are those of the file",
                    "interval": "1m",
                    "input_series": series,
                    "promql_expr_test": tests,
                }
            )
    document = {"rule_files": [rules], "evaluation_interval": "1m", "tests": groups}
    # JSON is YAML; and it survives every name.
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return re.sub(r'^( *"value": )Infinity$', r"\1.inf", text, flags=re.MULTILINE), count


def _subjects(thresholds: Thresholds, signal: Signal, more: Iterable[Labels]) -> Iterable[Labels]:
    plain = dict.fromkeys(signal.match if signal.tenants == "each" else signal.labels, _ELSE)
    if signal.tenants != "each":
        yield plain
    if signal.tenants != "no":
        yield {**plain, TENANT: _ELSE}
    tenant = ""  # of the next override that names one: what does not must come before it
    for override in reversed(thresholds.overrides):
        if any(name == signal.name for name, _ in override.limits):
            stands = {label: glob.replace("*", "x").replace("?", "y") for label, glob in override.match.items()}
            yield {**plain, **stands}
            if is_glob("".join(override.match.values())):
                yield {**plain, **{label: glob.replace("*", "") for label, glob in override.match.items()}}
            if TENANT in stands:
                tenant = stands[TENANT]
            elif tenant:
                yield {**plain, **stands, TENANT: tenant}
    for labels in more:
        yield {**plain, **{label: value for label, value in labels.items() if label in signal.match}}


def _group(thresholds: Thresholds, signal: Signal, subjects: list[Labels]) -> tuple[list[object], list[object]]:
    role = "dead_letter" if signal.name == "dead_letters" else WORK
    series: dict[str, str] = {}
    tests: list[object] = []
    for labels in subjects:
        if QUEUE in labels:
            info = {label: labels[label] for label in (DATABASE, SOURCE, QUEUE)}
            series[_written(QUEUE_INFO.name, {**_target(thresholds), **info, "role": role})] = "1x10"
        for name, own, values in _SERIES[signal.name]:
            series[_written(name, {**_target(thresholds), **labels, **own})] = values
        tests += [_expected(thresholds, signal, severity, labels) for severity in SEVERITIES]
    return [{"series": text, "values": values} for text, values in series.items()], tests


def _target(thresholds: Thresholds) -> Labels:
    return {"job": thresholds.job, "instance": "a:9718"}


def _written(name: str, labels: Labels) -> str:
    return f"{name}{{{','.join(f'{label}={quoted(value)}' for label, value in labels.items())}}}"


def _expected(thresholds: Thresholds, signal: Signal, severity: str, labels: Labels) -> object:
    limit = thresholds.limit(signal.name, severity, labels)
    apart = TENANT in labels and signal.tenants == "named"
    name = signal.record("threshold", tenant=apart or signal.tenants == "each")
    shown = {"job": thresholds.job, **labels, SEVERITY: severity}
    samples = []
    if not apart or limit.apart:
        samples = [{"labels": _written(name, shown), "value": limit.value}]
    return {"expr": _written(name, shown), "eval_time": "6m", "exp_samples": samples}
