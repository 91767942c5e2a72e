"""What a file says of things that are not there, or are judged otherwise, is told; what comes and goes is not."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exporter import rulescli
from exporter.cli import main
from exporter.rulegen.known import unmatched
from exporter.rulegen.signals import SIGNALS
from tests.rules.bench import thresholds

MAIN = {"database": "main", "source": "pgmq"}
MAIL = {**MAIN, "queue": "mail"}
#: An installation without tenants, tasks, schedules or anything that holds VACUUM back.
KNOWN: list[dict[str, str]] = [
    {**MAIL, "state": "ready", "tenant": ""},
    {**MAIL, "table": "queue"},
    {**MAIL, "role": "work", "dead_letter_queue": "mail_dlq", "dead_letter_for": ""},
    {**MAIN, "queue": "mail_dlq", "role": "dead_letter", "dead_letter_queue": "", "dead_letter_for": "mail"},
    {**MAIN, "queue": "plain", "role": "work", "dead_letter_queue": "", "dead_letter_for": ""},
]
AGE, DEAD = {"ready_age": {"warning": "1m"}}, {"dead_letters": {"warning": 5}}
LATE = {"schedule_overdue": {"warning": "1h"}}


def told(folder: Path, match: dict[str, str], limits: dict[str, Any], *more: dict[str, str]) -> list[str]:
    found = thresholds({"overrides": [{"match": match, **limits}]}, folder)
    return [line.partition("): ")[2] for line in unmatched(found, [*KNOWN, *more])]


def test_every_label_that_an_override_may_match_is_asked_for() -> None:
    asked = {label for metric in rulescli._TELLING for label in metric.labels}
    assert {label for signal in SIGNALS for label in signal.match} <= asked


@pytest.mark.parametrize(
    ("match", "limits"),
    [
        ({"queue": "mial", "tenant": "acme"}, AGE),
        ({"queue": "mial", "schedule": "x"}, LATE),
        ({"queue": "mial", "table": "archve"}, {"dead_rows_ratio": "off"}),
        ({"queue": "mail", "table": "archve"}, {"dead_rows_ratio": "off"}),
        ({"database": "mian", "holder": "slot"}, {"vacuum_horizon_age": "off"}),
    ],
)
def test_labels_that_are_known_are_judged_beside_those_that_are_not(
    match: dict[str, str], limits: dict[str, Any], tmp_path: Path
) -> None:
    shown = ", ".join(f"{label}={glob}" for label, glob in sorted(match.items()))
    (line,) = told(tmp_path, match, limits)
    words, _, found = line.rpartition(": ")
    assert words == "matches nothing that is known"
    assert ", ".join(sorted(found.split(", "))) == shown


def test_tenants_where_none_are_known_are_told(tmp_path: Path) -> None:
    assert told(tmp_path, {"tenant": "acme"}, AGE) == [
        "matches nothing that is known, where no queue shows tenants: tenant=acme"
    ]
    assert told(tmp_path, {"tenant": "acme"}, AGE, {**MAIL, "tenant": "acme"}) == []
    assert told(tmp_path, {"tenant": "acme"}, AGE, {**MAIL, "tenant": "other"}) == [
        "matches nothing that is known: tenant=acme"
    ]


def test_what_comes_and_goes_is_not_missed(tmp_path: Path) -> None:
    """The shipped overrides of pg-boss's tasks do no harm where there is none; a holder is there while it holds."""
    assert told(tmp_path, {"task": "monitor"}, {"maintenance_age": {"warning": "15m"}}) == []
    assert told(tmp_path, {"holder": "slot"}, {"vacuum_horizon_age": "off"}) == []
    assert told(tmp_path, {"queue": "mail", "schedule": "x"}, LATE) == []


def test_a_signal_that_a_queues_role_leaves_out_is_told(tmp_path: Path) -> None:
    work = "is judged for work queues only, and mail_dlq holds dead letters"
    assert told(tmp_path, {"queue": "mail_dlq"}, {**AGE, "backlog": "off"}) == [f"ready_age {work}", f"backlog {work}"]
    assert told(tmp_path, {"queue": "mail"}, DEAD) == [
        "dead_letters is judged for the dead letter queue, by its own name: mail_dlq"
    ]


@pytest.mark.parametrize(
    ("match", "limits"),
    [
        ({"queue": "mail_dlq"}, DEAD),
        ({"queue": "plain"}, DEAD),
        ({"queue": "mail*"}, {**DEAD, **AGE}),
        ({"database": "main"}, {"vacuum_horizon_age": "off", **AGE}),
    ],
)
def test_a_signal_that_is_judged_for_some_of_the_queues_is_not_told(
    match: dict[str, str], limits: dict[str, Any], tmp_path: Path
) -> None:
    assert told(tmp_path, match, limits) == []


def test_build_names_limits_of_tenants_by_glob(tmp_path: Path) -> None:
    """Such a tenant is not pinned: while it is in _other, its queue's limits hold for it."""
    file = tmp_path / "thresholds.yml"
    command = ["rules", "build", "--runbook-url", "https://wiki", "--thresholds", str(file)]
    file.write_text(
        "version: 1\noverrides:\n  - {match: {tenant: named}, backlog: off}\n"
        '  - {match: {tenant: "batch-*"}, tenant_share: off}\n'
        '  - {match: {tenant: "batch-*"}, backlog: off}\n'
    )
    told = CliRunner().invoke(main, command).stderr
    assert told.startswith(
        "pgqueue-exporter: overrides[2]: a tenant that an exporter shows in _other only is judged with"
    )
    file.write_text(file.read_text().replace('"batch-*"}, backlog', "batch-1}, backlog"))
    assert CliRunner().invoke(main, command).stderr == ""
