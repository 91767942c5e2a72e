"""Links of messages lead to the alert that they are of, by Alertmanager's API and as its page reads them."""

import html
import json
import re
from urllib.parse import unquote

import pytest

from tests.alerting import EXTERNAL_URL, Alerting, Program, alert
from tests.sinks import Message

URGENT = {"slack": "slack_url_urgent", "email": "oncall@example.invalid"}
NAMES = [
    "plain",
    'quote " and \\ and {x="y"}',
    "no\u00a0break",
    "zero\u200bwidth",
    "soft\u00adhyphen",
    "tag\U000e0041",
    "line\nbreak",
    "tab\tbed",
    "a.b\x07\x1b(c)[d]\\{e}|^$*+?\n'\"",
    "delete\x7f",
    "smile 😀 é+%20",
]


@pytest.fixture(scope="module")
def sent(program: Program) -> object:
    """A running Alertmanager that has told of an alert for each name."""
    with Alerting(
        program, lambda config: config["time_intervals"][0].update(time_intervals=[{"years": ["1999"]}])
    ) as running:
        base = {"alertname": "PGQueueReadyAgeHigh", "job": "pgqueue", "database": "app", "source": "pgmq"}
        running.post(*(alert({**base, "queue": name, "severity": "critical"}) for name in NAMES))
        for whom in URGENT.values():
            running.arrived(whom, len(NAMES))
        yield running


def filters(message: Message, part: str) -> list[str]:
    """What the links of a message filter by: of its silence, and of its group."""
    if part == "slack":
        attachment = message.body["attachments"][0]
        text = attachment["text"] + " " + attachment["title_link"] + " "
    else:
        text = message.part(part)
    found = re.findall(re.escape(EXTERNAL_URL) + r"/#/(?:alerts|silences/new)\?([^\s|<>\"]+)", html.unescape(text))
    return [unquote(re.split("&?filter=", link)[1]) for link in found]


@pytest.mark.parametrize("part", ["slack", "text/plain", "text/html"])
def test_a_link_finds_the_alert_it_is_of_whatever_its_queue_is_called(sent: Alerting, part: str) -> None:
    found: list[str] = []
    for message in sent.to(URGENT["slack" if part == "slack" else "email"]):
        links = filters(message, part)
        assert len(links) == 2
        for link in links:
            matchers = re.findall(r'(\w+=~?)("(?:[^"\\]|\\.)*")', link)
            assert link == "{" + ",".join("".join(pair) for pair in matchers) + "}"
            # The page reads JSON, and asks the API with what it read, as JSON again.
            of_page = [name + json.dumps(json.loads(value), ensure_ascii=False) for name, value in matchers]
            for asked in (["".join(pair) for pair in matchers], of_page):
                answer = sent.client.get("/api/v2/alerts", params={"filter": asked}).raise_for_status().json()
                assert len(answer) == 1, asked
                found.append(answer[0]["labels"]["queue"])
    assert sorted(found) == sorted(NAMES * 4)
