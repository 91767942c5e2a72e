"""What mutes what, asked of a running Alertmanager: the cases stand in inhibition.yml."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerting import Alerting, Config, Program, alert, shipped

Labels = dict[str, str]
CASES = yaml.safe_load((Path(__file__).parent / "inhibition.yml").read_text())
#: What Prometheus knows without a target has no job.
JOBLESS = {"PGQueueWatchdog", "PGQueueRulesFailing"}


def labels_of(case: dict[str, Any], kind: str) -> list[Labels]:
    """A case's alerts, with a job that no other case has."""
    job = {"job": f"case {CASES.index(case)}"}
    return [one if one["alertname"] in JOBLESS else {**one, **job} for one in case.get(kind, ())]


MUTED = [one for case in CASES for one in labels_of(case, "muted")]
HEARD = [one for case in CASES for one in labels_of(case, "heard")]


def all_are_muted(alerting: Alerting) -> bool:
    """Whether all that is to be muted is."""
    found = alerting.muted()
    return all(one in found for one in MUTED)


@pytest.fixture(scope="module")
def muting(program: Program) -> Iterator[Alerting]:
    """An Alertmanager that holds the alerts of all cases, and had the time to look at them."""
    with Alerting(program, group_wait="1h") as alerting:
        alerting.post(*map(alert, [*HEARD, *MUTED]))
        with contextlib.suppress(AssertionError):  # which case it is, the tests say
            alerting.until(lambda: all_are_muted(alerting), patience=5)
        yield alerting


@pytest.mark.parametrize("case", CASES, ids=[case["it"] for case in CASES])
def test_it_mutes_that_and_no_more(muting: Alerting, case: dict[str, Any]) -> None:
    found = muting.muted()
    assert [one for one in labels_of(case, "muted") if one not in found] == []
    assert [one for one in labels_of(case, "heard") if one in found] == []


@pytest.mark.parametrize("index", range(len(shipped()["inhibit_rules"])))
def test_without_that_rule_something_muted_is_heard(muting: Alerting, index: int) -> None:
    def without(config: Config) -> None:
        del config["inhibit_rules"][index]

    muting.reload()
    muting.until(lambda: all_are_muted(muting))
    muting.reload(without)
    # Right after a reload nothing is muted: what the other rules mute must be, before this one is missed.
    muting.until(lambda: len(muting.muted()) > len(MUTED) / 2)
    time.sleep(0.5)
    assert not all_are_muted(muting)
