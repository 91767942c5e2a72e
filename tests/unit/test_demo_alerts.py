"""What the demo shows of its alert: the parts that need neither Prometheus nor Alertmanager."""

import http.client
import io
import json
import os
import smtplib
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from exporter.demo import Schedule, bundle, channels, play, programs
from exporter.demo.channels import Channels, Inbox, Message
from exporter.demo.screen import Screen
from tests.alerting import channels as blocks
from tests.alerting import routes

ALERT = Message("slack", "urgent", title="[CRITICAL] " + "jobs " * 20, text="First.\n\nRunbook file:///" + "x" * 90)


def posted(port: int, path: str, body: Any) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, json.dumps(body))
    return connection.getresponse().status


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels need no time."""
    monkeypatch.setattr(channels, "_TOGETHER", 0)


@pytest.mark.usefixtures("at_once")
def test_every_channel_arrives_and_slacks_markup_is_read() -> None:
    inbox = Inbox()
    slack = {
        "color": "good",
        "title": "a &amp; b",
        "text": "<https://x/?a=1|Silence> · <file:///r.md|Runbook> &lt;c&gt;",
    }
    with Channels(inbox) as open_channels:
        assert posted(open_channels.web, "/slack/urgent", {"attachments": [slack]}) == 200
        assert posted(open_channels.web, "/pagerduty/urgent", {}) == 202
        assert posted(open_channels.web, "/webhook/urgent", {}) == 200
        assert posted(open_channels.web, "/slack/urgent", {}) == 400
        with smtplib.SMTP("127.0.0.1", open_channels.mail, timeout=10) as mail:
            mail.sendmail("from@example", ["on@example", "call@example"], "Subject: x\r\n\r\n.\r\nbody")
    assert inbox.take() == [
        Message("slack", "urgent", resolved=True, title="a & b", text="Silence · Runbook file:///r.md <c>"),
        Message("pagerduty", "urgent"),
        Message("webhook", "urgent"),
        Message("email", "on@example"),
        Message("email", "call@example"),
    ]
    assert inbox.take() == []


@pytest.mark.usefixtures("at_once")
def test_the_watchdog_is_heard_and_not_shown() -> None:
    inbox = Inbox()
    heard = [inbox.heartbeat]
    inbox.keep(Message("webhook", channels.HEARTBEAT))
    assert [*heard, inbox.heartbeat] == [False, True]
    assert inbox.take() == []


def test_the_channels_of_a_notification_are_shown_together(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    inbox = Inbox()
    inbox.keep(ALERT)
    assert inbox.take() == []
    now += 0.5
    inbox.keep(Message("pagerduty", "urgent"))
    now += 0.5
    assert inbox.take() == [ALERT, Message("pagerduty", "urgent")]


@pytest.mark.parametrize(("columns", "widest"), [("80", 80), ("60", 60), ("300", 80)])
def test_a_message_fits_and_addresses_stay_whole(monkeypatch: pytest.MonkeyPatch, columns: str, widest: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = io.StringIO()
    Screen(out).messages([ALERT, Message("email", "on@example"), Message("pagerduty", "urgent")])
    lines = out.getvalue().splitlines()
    assert "file:///" + "x" * 90 in out.getvalue()
    assert max(len(line) for line in lines if "file:///" not in line) <= widest
    assert max(len(line) for line in lines if "file:///" not in line) > widest - 20
    assert "also sent: on@example by e-mail, PagerDuty" in " ".join(out.getvalue().split())


def test_a_stream_without_unicode_is_spoken_to_in_ascii() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as out:
        screen = Screen(out)
        screen.messages([ALERT, Message("slack", "tickets", resolved=True, title="é", text="·")])
        screen.messages([Message("webhook", "urgent")])
        out.flush()
        said = raw.getvalue().decode("ascii")
    assert "ALERT  Alertmanager sent this" in said
    assert "RESOLVED  Alertmanager sent this" in said
    assert "Alertmanager told a web hook" in said


def test_the_plan_is_in_the_order_of_time_and_says_nothing_of_alerts_where_there_are_none() -> None:
    out = io.StringIO()
    play.what_comes(Screen(out), Schedule(20, 40, 180), alerts=True)
    assert [line.split("  ")[1] for line in out.getvalue().splitlines() if line.startswith("  in")] == [
        "in 20 s",
        "in 40 s",
        "in 60 s",
        "in 72 s",
    ]
    out = io.StringIO()
    play.what_comes(Screen(out), Schedule(20, 40, 180), alerts=False)
    assert play.ALERT not in out.getvalue()


def test_nothing_of_the_demos_alertmanager_leaves_the_machine_or_waits_for_the_morning() -> None:
    config = yaml.safe_load(bundle.alertmanager(cast("Channels", SimpleNamespace(web=1, mail=2))))
    assert config["global"]["smtp_smarthost"] == "127.0.0.1:2"
    assert "_file" not in json.dumps({**config, "templates": []})
    addresses = [
        str(block.get("url", block.get("api_url"))) for kind, _, block in blocks(config) if kind != "email_configs"
    ]
    assert len(addresses) > 5
    assert {address.rpartition(":1/")[0] for address in addresses} == {"http://127.0.0.1"}
    assert all("mute_time_intervals" not in route for route in routes(config["route"]))


def test_the_demos_rules_are_the_repositorys_with_ten_seconds() -> None:
    groups = yaml.safe_load(bundle.rules())["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if rule.get("alert") == play.ALERT]
    assert [(rule["labels"], rule["for"]) for rule in alerts] == [({"severity": "critical"}, "10s")]
    assert alerts[0]["annotations"]["runbook_url"].startswith("file://")
    assert Path(alerts[0]["annotations"]["runbook_url"].removeprefix("file://")).is_file()


def test_prometheus_watches_what_the_demo_started() -> None:
    targets = {"pgqueue": "127.0.0.1:1", "prometheus": "127.0.0.1:2", "alertmanager": "127.0.0.1:3"}
    config = yaml.safe_load(bundle.prometheus(targets, Path("/r.yml")))
    assert {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]} == {
        name: [address] for name, address in targets.items()
    }
    assert config["rule_files"] == ["/r.yml"]


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], Path]:
    """Puts a program on PATH, which has nothing else, that says a version."""
    monkeypatch.setattr(programs, "UNPACKED", ())
    monkeypatch.setattr(os, "get_exec_path", lambda: [str(tmp_path)])

    def put(name: str, version: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{name}, version {version} (branch: HEAD)'\n")
        path.chmod(0o755)
        return path

    return put


def test_programs_on_the_path_are_found_by_both_names(on_path: Callable[[str, str], Path]) -> None:
    prometheus = on_path("prometheus", "3.16.0")
    alertmanager = on_path("prometheus-alertmanager", "0.25.0+ds")
    assert programs.find() == programs.Programs(
        programs.Program("Prometheus 3.16", prometheus, Path("/")),
        programs.Program("Alertmanager 0.25", alertmanager, Path("/")),
    )
    newer = on_path("alertmanager", "0.34.2")
    found = programs.find()
    assert isinstance(found, programs.Programs)
    assert found.alertmanager.path == newer


def test_a_program_that_is_too_old_or_broken_is_missing(on_path: Callable[[str, str], Path]) -> None:
    on_path("prometheus", "2.41.0")
    on_path("alertmanager", "0.25.0").write_text("#!/bin/sh\nexit 1\n")
    assert programs.find() == (
        "no alert will fire, as there is no Prometheus 2.42 or newer and no Alertmanager 0.25 or newer here: put it on "
        "PATH (Debian, Ubuntu: apt install prometheus prometheus-alertmanager)"
    )
    on_path("prometheus", "2.42.0")
    assert "Prometheus 2" not in str(programs.find())
