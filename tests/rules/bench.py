"""Runs test files in as few promtool processes as can be."""

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from exporter import rulegen
from exporter.config.document import read
from exporter.rulegen import Links, Thresholds
from exporter.rulegen.rules import Group
from exporter.rulegen.signals import SIGNAL

RUNBOOKS = "https://runbooks.example/{alert}"
TARGETS = ({"job": "pgqueue", "instance": "a:9718", "pod": "a"}, {"job": "pgqueue", "instance": "b:9718", "pod": "b"})


def thresholds(content: dict[str, Any] | str, folder: Path) -> Thresholds:
    """What a file with this content means."""
    file = folder / "thresholds.yml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump({"version": 1, **content}))
    return rulegen.thresholds(read(file, "version: 1"))


def groups(found: Thresholds, only: str | None = None) -> list[Group]:
    """All groups, or that of one signal."""
    made = rulegen.groups(found, Links(RUNBOOKS))
    group = f"pgqueue.{SIGNAL[only].group or only}" if only in SIGNAL else f"pgqueue.{only}"
    return [one for one in made if only is None or one.name == group]


def written(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items())


def replicated(series: Iterable[tuple[str, dict[str, str], str]]) -> list[dict[str, str]]:
    """The same series as two exporters show them."""
    return [
        {"series": f"{name}{{{written({**target, **labels})}}}", "values": values}
        for name, labels, values in series
        for target in TARGETS
    ]


@dataclass
class Bench:
    """Files of tests, each with rules of its own, and which of them promtool finds to hold."""

    folder: Path
    promtool: Path
    files: dict[str, Path] = field(default_factory=dict)

    def add(self, name: str, rules: str, tests: Sequence[dict[str, Any]], interval: str = "1m") -> None:
        """A test file under a name."""
        stem = f"{len(self.files):04}"
        (self.folder / f"{stem}.rules.yml").write_text(rules, "utf-8")
        file = self.folder / f"{stem}.test.yml"
        document = {"rule_files": [f"{stem}.rules.yml"], "evaluation_interval": interval, "tests": list(tests)}
        text = json.dumps(document, ensure_ascii=False)
        file.write_text(re.sub(r'"value": Infinity', '"value": .inf', text), "utf-8")
        self.files[name] = file

    def raw(self, name: str, rules: str, test: str) -> None:
        """A test file as it stands, whose rules are called rules.yml."""
        folder = self.folder / f"{len(self.files):04}"
        folder.mkdir()
        (folder / "rules.yml").write_text(rules, "utf-8")
        (folder / "test.yml").write_text(test, "utf-8")
        self.files[name] = folder / "test.yml"

    def broken(self) -> dict[str, str]:
        """What promtool says of the files that do not hold."""
        return {name: told for name, told in self.run().items() if told}

    def run(self) -> dict[str, str]:
        """What promtool says of each file: nothing where it holds."""
        done = subprocess.run(
            [self.promtool, "test", "rules", *self.files.values()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # what failed is told there: in its place
            text=True,
            check=False,
            timeout=300,
        )
        told = dict(re.findall(r"^\S[^\n]*: +(\S+)\n(.*?)(?=^\S|\Z)", done.stdout, re.DOTALL | re.MULTILINE))
        assert len(told) == len(self.files), done.stdout
        return {name: "" if "SUCCESS" in told[str(file)] else told[str(file)] for name, file in self.files.items()}
