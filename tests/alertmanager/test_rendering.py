"""What messages look like: golden files, and what odd names and many alerts must not do to them.

`PGQUEUE_RENEW_GOLDEN=1 make test ARGS=tests/alertmanager` renews tests/golden/notifications.
"""

import datetime as dt
import html
import json
import os
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import pytest

from tests.alerting import EXTERNAL_URL, Alerting, Config, Program, alert
from tests.servers import REPOSITORY
from tests.sinks import Message

GOLDEN = REPOSITORY / "tests" / "golden" / "notifications"
BASE = {"job": "pgqueue", "database": "app", "source": "pgmq", "queue": "mail"}
AGE = {"alertname": "PGQueueReadyAgeHigh", **BASE, "severity": "critical"}
DRAIN = {"alertname": "PGQueueNotDraining", **BASE, "severity": "warning"}
DOWN = {"alertname": "PGQueueDatabaseDown", "job": "pgqueue", "database": "app", "severity": "critical"}
ODD = 'odd "na\\me\' {x="y"} <b>&amp; *a* _b_ ~c~ `d` |e> %20+é\n<!channel>'


def said(labels: dict[str, str], summary: str, what: str) -> dict[str, str]:
    """Annotations as the rules have them."""
    name = labels["alertname"].lower()
    about = f"Queue {labels['queue']} (pgmq, database app)" if "queue" in labels else "Database app"
    tenant = f", tenant {labels['tenant']}" if "tenant" in labels else ""
    return {
        "summary": summary,
        "description": f"{about}{tenant}: {what}",
        "runbook_url": f"https://example.org/runbooks/{name}",
        "dashboard_url": "https://grafana.example/d/pgqueue-queue?var-database=app&var-queue=mail%7Cpost",
    }


def waiting(labels: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    what = "the oldest ready job has waited for 31m 12s; the limit is 30m."
    return labels, said(labels, "Jobs have been ready for longer than the limit.", what)


def draining(labels: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    what = "1204 jobs are ready, 3.1/s arrive and 3.3/s finish: draining them takes 1h 40m; the limit is 1h."
    return labels, said(labels, "The backlog will not drain in time.", what)


def stalled(labels: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    what = "jobs are ready, and nobody has taken one for 30m 5s; the limit is 30m."
    return labels, said(labels, "Jobs are ready and nobody takes them.", what)


def down(labels: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    return labels, said(labels, "No exporter can read the database.", "no exporter has reached it for 2m.")


#: What fires, and how many of these, from the first on, are over when the message is sent.
SCENARIOS: dict[str, tuple[list[tuple[dict[str, str], dict[str, str]]], int]] = {
    "warning": ([draining(DRAIN)], 0),
    "tenants": ([waiting({**AGE, "tenant": tenant}) for tenant in ("acme", "beta")], 0),
    "odd-names": ([waiting({**AGE, "queue": ODD, "tenant": f"t {ODD}"})], 0),
    "database": ([down(DOWN)], 0),
    "two-kinds": ([waiting(AGE), stalled({**AGE, "alertname": "PGQueueStalled"})], 0),
    "resolved": ([waiting(AGE)], 1),
    "partly-resolved": ([waiting(AGE), waiting({**AGE, "tenant": "acme"})], 1),
    "bare": ([({"alertname": "PGQueueSomethingNew"}, {})], 0),
}


def awake(config: Config) -> None:
    config["time_intervals"][0]["time_intervals"] = [{"years": ["1999"]}]


@pytest.fixture(scope="module")
def alerting(program: Program) -> Any:
    """A running Alertmanager."""
    with Alerting(program, awake) as running:
        yield running


def render(alerting: Alerting, name: str) -> dict[str, str]:
    """The last messages of a scenario as golden files have them: time and duration by name."""
    alerting.messages.clear()
    fire, over = SCENARIOS[name]
    # Not before now: a group whose first alert is older than group_wait is sent at once, without the others.
    began = dt.datetime.now(dt.UTC)
    alerting.post(*(alert(*one, started=began) for one in fire))
    whom = ("slack_url_urgent", "oncall@example.invalid")
    if fire[0][0].get("severity") != "critical":
        whom = ("slack_url_tickets", "queues@example.invalid")
    count = 1
    for one in whom:
        alerting.arrived(one)
    ended = began + dt.timedelta(seconds=1)
    alerting.until(lambda: dt.datetime.now(dt.UTC) > ended)
    if over:
        alerting.post(*(alert(*one, started=began, ended=ended) for one in fire[:over]))
        count = 2
    slack, mail = (alerting.arrived(one, count)[-1] for one in whom)
    # What still fires ends, so that no later scenario finds it in its group.
    alerting.post(*(alert(*one, started=began, ended=ended) for one in fire))
    files = {"slack.json": attachment(slack), "txt": subject(mail), "html": mail.part("text/html")}
    for one in whom:
        alerting.until(lambda one=one: len(alerting.to(one)) >= count + (over < len(fire)))  # type: ignore[misc]  # lambda
    times = {began: "BEGAN", ended: "ENDED"}
    for suffix, text in files.items():
        shown = text.replace("\r\n", "\n")
        for moment, word in times.items():
            shown = shown.replace(f"{moment:%Y-%m-%d %H:%M:%S}", word).replace(f"{moment:%H:%M:%S} UTC", f"{word} UTC")
        files[suffix] = shown.rstrip() + "\n"
    return files


def attachment(message: Message) -> str:
    (found,) = message.body["attachments"]
    keys = ("fallback", "title", "title_link", "text", "color", "mrkdwn_in")
    shown = {key: found[key].split("\n") if key == "text" else found[key] for key in keys}
    return json.dumps(shown, indent=2, ensure_ascii=False)


def subject(message: Message) -> str:
    return f"Subject: {message.mail['Subject']}\n\n{message.part('text/plain')}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_message_is_the_golden_one(alerting: Alerting, name: str) -> None:
    found = render(alerting, name)
    for suffix, text in found.items():
        file = GOLDEN / f"{name}.{suffix}"
        if os.environ.get("PGQUEUE_RENEW_GOLDEN"):
            file.write_text(text)
        assert text == file.read_text(), file.name


def test_every_golden_file_belongs_to_a_scenario() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {
        f"{name}.{suffix}" for name in SCENARIOS for suffix in ("slack.json", "txt", "html")
    }


class Page(HTMLParser):
    """What a reader of an HTML page sees: its text, its links, the names of its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.elements: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.links += [value or "" for key, value in attrs if key == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def golden(name: str) -> Any:
    file = GOLDEN / name
    return json.loads(file.read_text()) if name.endswith("json") else file.read_text()


def test_odd_names_are_text_in_slack() -> None:
    message = golden("odd-names.slack.json")
    text = "\n".join([*message["text"], message["title"], message["fallback"]])
    # All that is left of < and > are our own links; without formatting in `text`, nothing else means anything.
    links = re.findall(r"<(https?://[^<>|\s]+)\|(\w+)>", text)
    assert [label for _, label in links] == ["Dashboard", "Runbook", "Silence"]
    rest = re.sub(r"<https?://[^<>|\s]+\|\w+>", "", text)
    assert not set("<>") & set(rest)
    assert message["mrkdwn_in"] == ["pretext"]
    shown = html.unescape(rest)
    assert ODD in shown
    assert ODD.replace("\n", " ") in shown


def test_odd_names_are_text_in_html() -> None:
    page = Page(golden("odd-names.html"))
    assert ODD in page.text
    assert "b" not in page.elements
    assert not [link for link in page.links if not re.match(r"https?://[a-z.]+(:\d+)?/", link)]


def test_odd_names_do_not_break_the_subject() -> None:
    head, _, _ = golden("odd-names.txt").partition("\n\n")
    assert head.startswith("Subject: [CRITICAL] queue odd ")
    assert "\n" not in head


@pytest.mark.parametrize("name", ["odd-names.slack.json", "odd-names.txt", "odd-names.html"])
def test_the_silence_of_an_odd_name_is_of_exactly_that_alert(name: str) -> None:
    text = golden(name)
    text = "\n".join(text["text"]) if isinstance(text, dict) else text
    (link,) = set(re.findall(re.escape(EXTERNAL_URL) + r"/#/silences/new\?filter=([^\s|<>\"]+)", text))
    # Alertmanager's page reads values as JSON strings; `+` would stay what it is.
    found = unquote(link)
    matchers = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', found)
    assert found == "{" + ",".join("=".join(pair) for pair in matchers) + "}"
    labels = {**AGE, "queue": ODD, "tenant": f"t {ODD}"}
    assert {label: json.loads(value) for label, value in matchers} == labels


def test_five_hundred_alerts_of_one_group_are_readable(alerting: Alerting) -> None:
    alerting.messages.clear()
    labels = {**DRAIN, "database": "crowded"}
    alerting.post(*(alert(*draining({**labels, "queue": f"{'q' * 90}{number:03}"})) for number in range(500)))
    slack = alerting.arrived("slack_url_tickets")[0].body["attachments"][0]
    assert slack["title"].startswith("[WARNING 500] database crowded")
    assert slack["text"].count("|Silence>") == 10
    assert "First 10 of 500." in slack["text"]
    assert "|All of them>" in slack["text"]
    assert len(slack["text"]) < 12_000
    mail = alerting.arrived("queues@example.invalid")[0]
    for kind in ("text/plain", "text/html"):
        assert "First 50 of 500." in mail.part(kind)
        assert mail.part(kind).count("/silences/new") == 50
    assert len(mail.part("text/html")) < 200_000
    assert len(alerting.to("tickets")[0].body["alerts"]) == 500


def test_a_description_without_an_end_is_cut(alerting: Alerting) -> None:
    alerting.messages.clear()
    labels = {**DRAIN, "database": "wordy"}
    alerting.post(alert(labels, {"summary": "Long.", "description": "&é" * 5000}))
    slack = alerting.arrived("slack_url_tickets")[0].body["attachments"][0]["text"]
    assert slack.count("&amp;é") == 250
    assert "&amp;é …" in slack
    mail = alerting.arrived("queues@example.invalid")[0].part("text/plain")
    assert mail.count("&é") == 500
