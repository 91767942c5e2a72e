"""Limits: the compiled chains say what the file says; and every limit and every arm matters to some test."""

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exporter import rulegen
from exporter.errors import ConfigError
from exporter.rulegen.catalogue import SEVERITIES
from exporter.rulegen.proofs import proof
from exporter.rulegen.signals import SIGNAL, SIGNALS
from exporter.rulegen.thresholds import Thresholds
from tests.rules.bench import Bench, groups, thresholds
from tests.rules.cases import CASES
from tests.rules.test_alerts import claims, rules

GOLDEN = (Path(__file__).parent / "golden.thresholds.yml").read_text()

#: Names that share beginnings, mean something in regular expressions, in PromQL, in YAML or in templates, or to us.
NAMES = (
    *("a", "ab", "a.b", "a*", "report_x", "_x", "$1", "{{ . }}", "[a-z]+$", "\u2028"),
    'odd"na\\me {%}',
    "é|(ü)",
    "x: y #z",
)
TENANTS = (*NAMES, "_other", "_none", "__x", "t-1", "t-2")
GLOBS = ("a*", "*", "?", "*x", "report_?", "t-*", "*|*", "_*", "a.*")


def _matches(draw: st.DrawFn, signal: str) -> dict[str, str]:
    labels = [label for label in ("queue", "tenant", "source") if label in SIGNAL[signal].match]
    chosen = draw(st.lists(st.sampled_from(labels), min_size=1, unique=True))
    names = st.sampled_from(NAMES) | st.sampled_from(GLOBS)
    tenants = st.sampled_from([name for name in TENANTS if name not in {"_other", "_none"}]) | st.sampled_from(GLOBS)
    return {label: draw(tenants if label == "tenant" else names) for label in chosen}


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """A file of thresholds about three signals that know tenants in three ways."""
    overrides = []
    for _ in range(draw(st.integers(0, 25))):
        signal = draw(st.sampled_from(["ready_age", "failure_ratio", "stalled"]))
        warning, critical = ("1m", "1h") if signal != "failure_ratio" else ("2%", "40%")
        limits = {
            "warning": st.sampled_from(["off", warning, "10s" if signal != "failure_ratio" else "1%"]),
            "critical": st.sampled_from(["off", critical]),
        }
        stated = draw(st.lists(st.sampled_from(SEVERITIES), min_size=1, unique=True))
        overrides.append({"match": _matches(draw, signal), signal: {one: draw(limits[one]) for one in stated}})
    others = {signal.name: "off" for signal in SIGNALS if signal.name not in {"ready_age", "failure_ratio", "stalled"}}
    return {"defaults": others, "overrides": overrides}


def accepted(content: dict[str, Any], folder: Path) -> Thresholds:
    """What the file means without the limits that are faults: never used, as others come first."""
    try:
        return thresholds(content, folder)
    except ConfigError as error:
        for fault in error.faults:
            place, signal, severity = re.fullmatch(r"overrides\[(\d+)\]\.(\w+)\.(\w+)", fault.path).groups()  # type: ignore[union-attr]  # ours
            assert fault.message.startswith("never used: "), fault
            del content["overrides"][int(place)][signal][severity]
        kept = [one for one in content["overrides"] if all(one.values())]
        return thresholds({**content, "overrides": kept}, folder)


subjects = st.lists(
    st.fixed_dictionaries({"queue": st.sampled_from(NAMES)}, optional={"tenant": st.sampled_from(TENANTS)}),
    max_size=12,
)


def test_chains_give_the_limits_of_a_plain_reading_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, promtool: Path
) -> None:
    """Fifty random files with random queues and tenants, proved in one promtool process."""
    bench = Bench(tmp_path_factory.mktemp("random"), promtool)
    said: dict[str, Any] = {}

    @settings(
        max_examples=50,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(content=files(), more=subjects)
    def collect(content: dict[str, Any], more: list[dict[str, str]]) -> None:
        found = accepted(content, bench.folder)
        made = [group for group in groups(found) if group.name != "pgqueue.watch"]
        text, count = proof(found, "rules.yml", more)
        assert count
        name = str(len(bench.files))
        said[name] = (content, more)
        bench.raw(name, rulegen.prometheus(made), text)

    collect()
    for name, told in bench.run().items():
        assert told == "", yaml.safe_dump(said[name])


def test_every_limit_matters_doubled_or_halved(tmp_path_factory: pytest.TempPathFactory, promtool: Path) -> None:
    """A limit twice as large lets what should fire be silent; one half as large lets fire what should be silent."""
    bench = Bench(tmp_path_factory.mktemp("mutants"), promtool)
    for case in CASES:
        for severity in SEVERITIES:
            made = rules(case, severity, bench.folder)
            for times in (2.0, 0.5):
                mutant, count = re.subn(r"(?m)(\) \* )([0-9.]+)$", partial(_times, times), made)
                assert count == 1, case.signal
                tests = list(claims(case, severity))
                bench.add(f"{case.signal} {severity} * {times}", mutant, tests, f"{case.step}m")
    survivors = [name for name, told in bench.run().items() if told == ""]
    assert survivors == []


def _times(times: float, found: re.Match[str]) -> str:
    return f"{found[1]}{float(found[2]) * times:g}"


def test_every_arm_matters(tmp_path_factory: pytest.TempPathFactory, promtool: Path) -> None:
    """Each arm of each chain taken out breaks the proof of the file's limits."""
    bench = Bench(tmp_path_factory.mktemp("arms"), promtool)
    found = thresholds(GOLDEN, bench.folder)
    count = 0
    for group in groups(found):
        made = rulegen.prometheus([group])
        arms = re.findall(r"^.*group without \(\) \(.*\) \* .*$", made, re.MULTILINE)
        for place in range(len(arms)):
            seen = iter(range(len(arms)))
            mutant = re.sub(
                r"^(.*)group without \(\) \(.*\) \* .*$",
                lambda match: f"{match[1]}(absent(up) == 2)" if next(seen) == place else match[0],  # noqa: B023  # used at once
                made,
                flags=re.MULTILINE,
            )
            count += 1
            text, _ = proof(found, "rules.yml", only=group.name)
            bench.raw(f"{group.name} {place} {arms[place].strip()}", mutant, text)
    assert count > 40
    survivors = [name for name, told in bench.run().items() if told == ""]
    assert survivors == []


def test_the_proof_holds_where_nothing_was_changed(tmp_path: Path, each_promtool: Path) -> None:
    bench = Bench(tmp_path, each_promtool)
    found = thresholds(GOLDEN, tmp_path)
    text, count = proof(found, "rules.yml")
    bench.raw("golden", rulegen.prometheus(groups(found)), text)
    assert bench.run() == {"golden": ""}
    assert count > 60


def test_first_match_wins_by_severity(tmp_path: Path) -> None:
    found = thresholds(GOLDEN, tmp_path)

    def limit(severity: str, **labels: str) -> tuple[float, bool]:
        one = found.limit("ready_age", severity, {"database": "d", "source": "pgmq", **labels})
        return one.value, one.apart

    assert limit("warning", queue="mail") == (300, False)
    assert limit("critical", queue="mail", tenant="vip-1") == (600, True)
    assert limit("warning", queue="mail", tenant="vip-1") == (300, False)
    assert limit("warning", queue="report_x", tenant="t-1") == (math.inf, False)
    assert limit("warning", queue="mail", tenant="t-1") == (120, True)
    assert limit("warning", queue="workflow_jobs", tenant="batch") == (math.inf, True)
    assert limit("warning", queue="workflow_jobs", tenant="_other") == (300, False)
