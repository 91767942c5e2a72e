"""Cases written by hand hold, in the rules that the generator makes."""

from pathlib import Path

import yaml

from exporter import rulegen
from exporter.config.document import read
from exporter.rulegen import Links
from tests.rules.bench import RUNBOOKS, Bench

HERE = Path(__file__).parent
TESTS = yaml.safe_load((HERE / "golden.test.yml").read_text())


def test_what_was_written_by_hand_holds(tmp_path: Path, each_promtool: Path) -> None:
    """Each case with the groups whose rules it mentions."""
    found = rulegen.thresholds(read(HERE / "golden.thresholds.yml", "version: 1"))
    groups = rulegen.groups(found, Links(RUNBOOKS, "https://grafana.example/"))
    bench = Bench(tmp_path, each_promtool)
    for test in TESTS["tests"]:
        text = yaml.safe_dump(test, width=10000)
        mentioned = [group for group in groups if any(rule.name in text for rule in group.rules)]
        assert mentioned, test["name"]
        bench.add(test["name"], rulegen.prometheus(mentioned), [test], TESTS["evaluation_interval"])
    assert bench.broken() == {}
