"""Who gets which message from a running Alertmanager, how often, and when."""

import datetime as dt
import time
from typing import Any

from tests.alerting import Alerting, Config, Program, alert, routes
from tests.sinks import Message

BASE = {"job": "pgqueue", "database": "app", "source": "pgmq", "queue": "mail"}
AGE = {"alertname": "PGQueueReadyAgeHigh", "severity": "critical", **BASE}
TICKET = {**AGE, "alertname": "PGQueueBacklogHigh", "severity": "warning"}
ONCALL, TICKETS = "oncall@example.invalid", "queues@example.invalid"
ALL_URGENT = {"pagerduty_key", "slack_url_urgent", ONCALL, "urgent"}
ALWAYS = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]
#: Two more rounds of a group, in seconds: what was to come more than once would have.
ROUNDS = 1.3
NEVER = [{"years": ["1999"]}]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def states(messages: list[Message]) -> list[str]:
    """Of web hooks: whether each fires or is over."""
    return [message.body["status"] for message in messages]


def queues(messages: list[Message]) -> list[list[str]]:
    """Of web hooks: the queues that each names."""
    return [sorted(one["labels"].get("queue", "") for one in message.body["alerts"]) for message in messages]


def test_an_urgent_alert_reaches_every_channel_once_and_its_end_once(program: Program) -> None:
    with Alerting(program) as alerting:
        began = now()
        alerting.post(alert(AGE, started=began))
        for whom in ALL_URGENT:
            alerting.arrived(whom)
        time.sleep(ROUNDS)
        assert {message.to for message in alerting.messages} == ALL_URGENT
        assert len(alerting.messages) == 4
        alerting.post(alert(AGE, started=began, ended=now()))
        for whom in ALL_URGENT:
            alerting.arrived(whom, 2)
        time.sleep(ROUNDS)
        assert len(alerting.messages) == 8
        assert states(alerting.to("urgent")) == ["firing", "resolved"]
        assert [m.body["event_action"] for m in alerting.to("pagerduty_key")] == ["trigger", "resolve"]
        assert len({m.body["dedup_key"] for m in alerting.to("pagerduty_key")}) == 1
        assert [m.body["attachments"][0]["color"] for m in alerting.to("slack_url_urgent")] == ["danger", "good"]
        assert [m.mail["Subject"].split("]")[0] for m in alerting.to(ONCALL)] == ["[CRITICAL", "[RESOLVED"]
        assert {m.credentials for m in alerting.to("urgent")} == {"Bearer webhook_token"}


def test_a_second_queue_does_not_wait_for_the_first_ones_group_interval(program: Program) -> None:
    with Alerting(program, group_wait="500ms", group_interval="2m") as alerting:
        alerting.post(alert(AGE))
        alerting.arrived("urgent")
        # The same queue's next alert waits; another queue's does not.
        alerting.post(alert({**AGE, "alertname": "PGQueueStalled"}), alert({**AGE, "queue": "post"}))
        assert queues(alerting.arrived("urgent", 2)) == [["mail"], ["post"]]


def test_all_that_is_wrong_with_a_queue_is_one_urgent_message(program: Program) -> None:
    with Alerting(program) as alerting:
        tenants = [alert({**AGE, "tenant": f"t-{number}"}) for number in range(20)]
        alerting.post(*tenants, alert({**AGE, "alertname": "PGQueueStalled"}))
        (message,) = alerting.arrived("urgent")
        assert len(message.body["alerts"]) == 21


def test_tickets_come_one_a_kind_however_many_queues(program: Program) -> None:
    with Alerting(program, awake) as alerting:
        alerting.post(*(alert({**TICKET, "queue": f"q{number}"}) for number in range(20)))
        (message,) = alerting.arrived("tickets")
        assert len(message.body["alerts"]) == 20
        alerting.arrived(TICKETS)
        alerting.arrived("slack_url_tickets")


def awake(config: Config) -> None:
    config["time_intervals"][0]["time_intervals"] = NEVER


def asleep(config: Config) -> None:
    config["time_intervals"][0]["time_intervals"] = ALWAYS


def test_quiet_hours_hold_back_warnings_until_they_are_over_and_nothing_urgent(program: Program) -> None:
    with Alerting(program, asleep) as alerting:
        team, tenant = {"team": "payments"}, {"tenant": "acme"}
        warnings = [TICKET, {**TICKET, **team}, {**TICKET, **tenant}]
        alerting.post(*map(alert, warnings), alert(AGE), alert({**AGE, **team, **tenant}))
        for whom in (ONCALL, "payments-oncall@example.invalid", "acme-success@example.invalid"):
            alerting.arrived(whom)
        time.sleep(ROUNDS)
        assert {message.to for message in alerting.messages} == {
            *ALL_URGENT, "pagerduty_key_payments", "slack_url_payments", "payments-oncall@example.invalid",
            "acme-success@example.invalid",
        }  # fmt: skip
        before = len(alerting.messages)
        assert before == 8
        alerting.reload(awake)
        alerting.arrived(TICKETS)
        alerting.arrived("payments@example.invalid")
        alerting.arrived("acme-success@example.invalid", 2)


def test_an_alert_without_a_severity_is_told_in_quiet_hours_too(program: Program) -> None:
    with Alerting(program, asleep) as alerting:
        alerting.post(alert({"alertname": "PGQueueSomethingNew"}))
        alerting.arrived(TICKETS)


def test_one_dead_replica_and_a_backlog_are_both_told(program: Program) -> None:
    with Alerting(program, awake) as alerting:
        dead = {"alertname": "PGQueueExporterDown", "severity": "warning", "job": "pgqueue", "instance": "a:9187"}
        alerting.post(alert(dead), alert(TICKET), alert(AGE))
        assert sorted(queues(alerting.arrived("tickets", 2))) == [[""], ["mail"]]
        alerting.arrived("urgent")


def test_when_no_exporter_answers_that_is_all_that_is_told(program: Program) -> None:
    with Alerting(program, awake) as alerting:
        dead = {"alertname": "PGQueueExporterDown", "job": "pgqueue"}
        down = [{**dead, "instance": f"{one}:9187", "severity": "critical"} for one in "ab"]
        down += [{**one, "severity": "warning"} for one in down]
        alerting.post(*map(alert, [*down, AGE, TICKET, {**AGE, "team": "payments"}]))
        (message,) = alerting.arrived("urgent")
        time.sleep(ROUNDS)
        assert {m.to for m in alerting.messages} == ALL_URGENT
        assert len(alerting.messages) == 4
        assert [one["labels"]["instance"] for one in message.body["alerts"]] == ["a:9187", "b:9187"]


def test_a_tenants_people_hear_of_their_tenant_alone(program: Program) -> None:
    with Alerting(program) as alerting:
        alerting.post(alert({**AGE, "tenant": "acme"}), alert({**AGE, "tenant": "rival"}), alert(AGE))
        (message,) = alerting.arrived("acme-success@example.invalid")
        alerting.arrived(ONCALL)
        assert "rival" not in message.mail.as_string()
        assert "acme" in message.mail["Subject"]


def test_the_watchdog_is_told_again_and_again_and_its_end_never(program: Program) -> None:
    def hurried(config: Config) -> None:
        (route,) = [one for one in routes(config["route"]) if one.get("receiver") == "dead-mans-switch"]
        route["repeat_interval"] = "1s"

    with Alerting(program, hurried) as alerting:
        watchdog = {"alertname": "PGQueueWatchdog", "severity": "none"}
        began = now()
        alerting.post(alert(watchdog, started=began))
        alerting.until(lambda: len(alerting.to("dead-mans-switch")) >= 3)
        alerting.post(alert(watchdog, started=began, ended=now()))
        time.sleep(ROUNDS)
        assert set(states(alerting.messages)) == {"firing"}
        assert {m.to for m in alerting.messages} == {"dead-mans-switch"}
        assert {m.credentials for m in alerting.messages} == {"Bearer dead_mans_switch_token"}


def test_a_channel_without_its_secret_or_its_server_holds_up_no_other(program: Program) -> None:
    with Alerting(program) as alerting:
        (alerting.directory / "secrets" / "slack_url_urgent").unlink()
        alerting.web.broken.add("pagerduty")
        alerting.post(alert(AGE))
        alerting.arrived(ONCALL)
        alerting.arrived("urgent")
        assert not alerting.to("pagerduty_key")
        alerting.web.broken.clear()
        alerting.arrived("pagerduty_key")


def test_with_slack_alone_everything_else_works(program: Program) -> None:
    def slack(config: Config) -> None:
        awake(config)
        del config["global"]
        for receiver in config["receivers"]:
            for kind in [key for key in receiver if key not in {"name", "slack_configs"}]:
                del receiver[kind]

    with Alerting(program, slack) as alerting:
        everyone: list[dict[str, Any]] = [{**one, **more} for one in (AGE, TICKET) for more in ({}, {"tenant": "acme"})]
        alerting.post(*map(alert, everyone), alert({"alertname": "PGQueueWatchdog", "severity": "none"}))
        alerting.arrived("slack_url_urgent")
        alerting.arrived("slack_url_tickets")
        assert {message.channel for message in alerting.messages} == {"slack"}
