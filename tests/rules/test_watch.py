"""The watcher's own alerts: what fires them, what does not, and what they say."""

from pathlib import Path

from exporter import rulegen
from exporter.rulegen.catalogue import WATCHES
from tests.rules.bench import Bench, groups, thresholds
from tests.rules.claims import fired
from tests.rules.watching import EXPORTERS
from tests.rules.watching_parts import PARTS

GROUPS = [*EXPORTERS, *PARTS]


def test_the_watcher_tells_what_it_should_and_only_that(tmp_path: Path, each_promtool: Path) -> None:
    bench = Bench(tmp_path, each_promtool)
    own = rulegen.prometheus(groups(thresholds({}, tmp_path), "watch"))
    for one in GROUPS:
        bench.add(one["name"], own, [one])
    assert bench.broken() == {}


def test_every_alert_of_the_watcher_fires_in_some_test() -> None:
    assert fired(GROUPS) == {(watch.alert, severity) for watch in WATCHES for severity in watch.severities}


def test_an_alert_that_is_switched_off_is_not_there(tmp_path: Path) -> None:
    off = {watch.alert: "off" for watch in WATCHES if watch.alert != "PGQueueWatchdog"}
    rules = groups(thresholds({"watch": off}, tmp_path), "watch")[0].rules
    assert [rule.name for rule in rules] == ["pgqueue:rules:info", "PGQueueWatchdog"]


def test_another_time_is_taken(tmp_path: Path) -> None:
    found = thresholds({"watch": {"PGQueueExporterDown": {"for": "10s"}}}, tmp_path)
    text = rulegen.prometheus(groups(found, "watch"))
    assert text.count("for: 10s") == 2
