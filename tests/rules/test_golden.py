"""Cases written by hand hold, in the rules that the generator makes."""

from pathlib import Path

import pytest
import yaml

from exporter import rulegen
from exporter.config.document import read
from exporter.rulegen import Links
from tests.rules.bench import RUNBOOKS, Bench

HERE = Path(__file__).parent
TESTS = yaml.safe_load((HERE / "golden.test.yml").read_text())


def rules() -> str:
    found = rulegen.thresholds(read(HERE / "golden.thresholds.yml", "version: 1"))
    return rulegen.prometheus(rulegen.groups(found, Links(RUNBOOKS, "https://grafana.example/")))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, each_promtool: Path) -> dict[str, str]:
    bench = Bench(tmp_path_factory.mktemp("golden"), each_promtool)
    for test in TESTS["tests"]:
        bench.add(test["name"], rules(), [test], TESTS["evaluation_interval"])
    return bench.run()


@pytest.mark.parametrize("name", [test["name"] for test in TESTS["tests"]])
def test_what_was_written_by_hand_holds(name: str, told: dict[str, str]) -> None:
    assert told[name] == ""
