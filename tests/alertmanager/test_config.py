"""The shipped configuration, as files: amtool takes it, routes lead where routes.yml says, nothing secret is in it."""

import copy
import datetime as dt
import itertools
import re
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerting import CONFIG, FOLDER, SECRETS, Program, channels, routes, shipped

ROUTES = yaml.safe_load((Path(__file__).parent / "routes.yml").read_text())
CHANNELS = ("slack_configs", "email_configs", "pagerduty_configs", "webhook_configs")
UTC = dt.UTC


def test_amtool_takes_the_configuration(program: Program) -> None:
    status, said = program.check(CONFIG)
    assert status == 0, said
    assert "1 templates" in said


def test_a_newer_amtool_takes_it_in_strict_utf8_mode(program: Program) -> None:
    strict = tuple(map(int, program.version.split("."))) >= (0, 27)
    status, said = program.check(CONFIG, *(["--enable-feature=utf8-strict-mode"] if strict else []))
    assert status == 0, said
    assert "incompatible" not in said


@pytest.mark.parametrize("row", ROUTES, ids=[row["it"] for row in ROUTES])
def test_the_alert_goes_to_its_receivers(program: Program, row: dict[str, Any]) -> None:
    labels = [f"{name}={value}" for name, value in row["labels"].items()]
    receivers = f"--verify.receivers={','.join(row['receivers'])}"
    status, said = program.tool("config", "routes", "test", f"--config.file={CONFIG}", receivers, *map(quoted, labels))
    assert status == 0, said


def quoted(pair: str) -> str:
    """A label as amtool reads it: its value in quotes where it holds what would end it."""
    name, _, value = pair.partition("=")
    plain = re.fullmatch(r"[\w.:-]*", value, re.ASCII)
    return pair if plain else f'{name}="{value.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"'


def test_every_receiver_is_in_some_row_and_in_some_route() -> None:
    config = shipped()
    named = {receiver["name"] for receiver in config["receivers"]}
    assert named == {receiver for row in ROUTES for receiver in row["receivers"]}
    assert named == {route["receiver"] for route in routes(config["route"]) if "receiver" in route}


def test_only_deprecated_nothing_and_matchers_of_one_form() -> None:
    config = shipped()
    assert "mute_time_intervals" not in config
    parts = [*routes(config["route"]), *config["inhibit_rules"]]
    deprecated = {"match", "match_re", "source_match", "source_match_re", "target_match", "target_match_re"}
    assert not [part for part in parts if deprecated & part.keys()]
    matchers = [m for part in parts for key, value in part.items() if key.endswith("matchers") for m in value]
    assert matchers
    for matcher in matchers:
        assert re.fullmatch(r'[a-z]+(=|=~|!~)"[^"]+"', matcher), matcher
        assert f"'{matcher}'" in CONFIG.read_text()


def test_the_root_route_takes_everything_at_any_time() -> None:
    root = shipped()["route"]
    assert root["receiver"] == "tickets"
    assert not {"matchers", "mute_time_intervals", "active_time_intervals"} & root.keys()
    assert root["group_by"]
    assert all("..." not in route.get("group_by", ()) for route in routes(root))


def test_repetition_is_a_multiple_of_the_group_interval() -> None:
    def seconds(text: str) -> int:
        return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]

    waits = [route for route in routes(shipped()["route"]) if "repeat_interval" in route]
    assert len(waits) == 4
    for route in waits:
        assert seconds(route["repeat_interval"]) % seconds(route["group_interval"]) == 0


def test_shared_channels_are_not_grouped_by_tenant() -> None:
    for route in routes(shipped()["route"]):
        assert ("tenant" in route.get("group_by", ())) == (route.get("receiver") == "tenant-acme")


def test_every_secret_is_a_file() -> None:
    files: set[str] = set()

    def look(part: Any) -> None:
        if isinstance(part, list):
            for below in part:
                look(below)
        elif isinstance(part, dict):
            for key, value in part.items():
                if key.endswith("_file"):
                    assert value.startswith(SECRETS)
                    files.add(value)
                else:
                    assert not re.search(r"secret|password|token|credentials|api_key|api_url|_key$", key), key
                    look(value)

    look(shipped())
    assert len(files) >= 8
    documented = (FOLDER / "README.md").read_text()
    assert not [file for file in files if file.removeprefix(SECRETS) not in documented]
    for _, _, block in channels(shipped()):
        # An address alone: nothing in it lets anybody in.
        assert re.fullmatch(r"https://[a-z-]+\.invalid/pgqueue", block.get("url", "https://a.invalid/pgqueue"))


@pytest.mark.parametrize(
    "kept",
    [some for count in range(len(CHANNELS)) for some in itertools.combinations(CHANNELS, count)],
    ids=lambda kept: "+".join(kept).replace("_configs", "") or "none",
)
def test_what_is_left_is_whole_when_channels_are_deleted(
    program: Program, kept: tuple[str, ...], tmp_path: Path
) -> None:
    config = shipped()
    config["templates"] = [str(FOLDER / "templates" / "*.tmpl")]
    for kind, receiver, _ in list(channels(config)):
        if kind not in kept:
            receiver.pop(kind, None)
    if "email_configs" not in kept:
        del config["global"]
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    status, said = program.check(file)
    assert status == 0, said


def test_critical_alerts_reach_people_by_two_channels_and_more() -> None:
    by_name = {receiver["name"]: receiver.keys() - {"name"} for receiver in shipped()["receivers"]}
    assert by_name["urgent"] == set(CHANNELS)
    assert all(len(by_name[name]) >= 2 for name in ("tickets", "payments-urgent", "payments-tickets"))


def test_all_end_in_a_sentence_when_they_resolve_but_the_watchdog() -> None:
    for kind, receiver, block in channels(shipped()):
        defaults = {"pagerduty_configs": True}
        assert block.get("send_resolved", defaults.get(kind)) is (receiver["name"] != "dead-mans-switch")


@pytest.mark.parametrize(
    ("when", "quiet"),
    [
        ("2026-11-23 07:59", True),  # a Monday
        ("2026-11-23 08:00", False),
        ("2026-11-25 12:00", False),
        ("2026-11-27 18:59", False),
        ("2026-11-27 19:00", True),
        ("2026-11-27 23:59", True),
        ("2026-11-28 00:00", True),  # a Saturday
        ("2026-11-28 12:00", True),
        ("2026-11-29 12:00", True),
        ("2026-11-30 03:00", True),
    ],
)
def test_quiet_hours_are_nights_and_weekends(when: str, quiet: bool) -> None:
    (interval,) = shipped()["time_intervals"]
    moment = dt.datetime.strptime(when, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert any(contains(part, moment) for part in interval["time_intervals"]) is quiet


def contains(interval: dict[str, Any], moment: dt.datetime) -> bool:
    """Whether a time interval holds that moment, by Alertmanager's documentation."""
    local = moment.astimezone(zoneinfo.ZoneInfo(interval["location"]))
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    ranges = [(day.split(":")[0], day.split(":")[-1]) for day in interval["weekdays"]]
    on_day = any(days.index(first) <= local.weekday() <= days.index(last) for first, last in ranges)
    times = interval.get("times", [{"start_time": "00:00", "end_time": "24:00"}])
    return on_day and any(time["start_time"] <= local.strftime("%H:%M") < time["end_time"] for time in times)


def test_quiet_hours_mute_warnings_and_nothing_else() -> None:
    for route in routes(shipped()["route"]):
        matchers = route.get("matchers", [])
        warning = matchers == ['severity="warning"']
        assert route.get("mute_time_intervals", []) == (["quiet-hours"] if warning else [])


ALL_NAMES = ("source_matchers", "target_matchers")


@pytest.mark.parametrize("rule", shipped()["inhibit_rules"], ids=lambda rule: rule["source_matchers"][0])
def test_no_alert_is_both_source_and_target_of_a_rule(rule: dict[str, Any]) -> None:
    labels = [
        {"alertname": name, "severity": severity}
        for name in alert_names()
        for severity in ("warning", "critical", "none")
    ]
    sources = [one for one in labels if matches(rule["source_matchers"], one)]
    targets = [one for one in labels if matches(rule["target_matchers"], one)]
    assert sources
    assert targets
    assert not [one for one in sources if one in targets]


def alert_names() -> set[str]:
    """Names that the rules mention, and one they do not."""
    rules = copy.deepcopy(shipped()["inhibit_rules"])
    text = " ".join(matcher for rule in rules for key in ALL_NAMES for matcher in rule[key])
    return {*re.findall(r"PGQueue[A-Z]\w+", text), "PGQueueReadyAgeHigh"}


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Whether labels match all of these."""
    tests: dict[str, Callable[[str, str], bool]] = {
        "=": lambda pattern, value: pattern == value,
        "=~": lambda pattern, value: re.fullmatch(pattern, value) is not None,
        "!~": lambda pattern, value: re.fullmatch(pattern, value) is None,
    }
    parsed = [re.fullmatch(r'(\w+)(=~|!~|=)"(.*)"', matcher) for matcher in matchers]
    return all(m is not None and tests[m[2]](m[3], labels.get(m[1], "")) for m in parsed)
