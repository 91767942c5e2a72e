"""Who was told of what, on which channel, and how often."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from tests.alerting import Alerting
from tests.sinks import Message

PATIENCE = 30.0
FIRING, RESOLVED = "firing", "resolved"

#: Where each kind of people hears of alerts in the shipped configuration: at least two channels, except the customer's.
PEOPLE = {
    "urgent": (
        ("webhook", "urgent"),
        ("email", "oncall@example.invalid"),
        ("slack", "slack_url_urgent"),
        ("pagerduty", "pagerduty_key"),
    ),
    "tickets": (("webhook", "tickets"), ("email", "queues@example.invalid"), ("slack", "slack_url_tickets")),
    "payments, urgently": (
        ("email", "payments-oncall@example.invalid"),
        ("slack", "slack_url_payments"),
        ("pagerduty", "pagerduty_key_payments"),
    ),
    "payments": (("email", "payments@example.invalid"), ("slack", "slack_url_payments")),
    "acme": (("email", "acme-success@example.invalid"),),
}
#: The line of an alert in all that people read. A resolved one's goes on with when it was.
_LINE = re.compile(
    r"^(?P<resolved>Resolved: )?(?P<alert>PGQueue\w+) \((?P<severity>\w+)\), (?P<about>.+?)"
    r"(?:, (?:since )?\d{4}-\d\d-\d\d \d\d:.*)?$",
    re.MULTILINE,
)


class Told(NamedTuple):
    """An alert in a message: the channel and whom, `firing` or `resolved`, its name, and what it is about."""

    channel: str
    to: str
    status: str
    alert: str
    about: str


def told(message: Message) -> Iterator[Told]:
    """The alerts in a message."""
    if message.channel == "webhook":
        for alert in message.body["alerts"]:
            yield Told("webhook", message.to, alert["status"], alert["labels"]["alertname"], _about(alert["labels"]))
        return
    for found in _LINE.finditer(text(message)):
        status = RESOLVED if found["resolved"] else FIRING
        yield Told(message.channel, message.to, status, found["alert"], found["about"])


def text(message: Message) -> str:
    """What a person reads of it."""
    if message.channel == "email":
        return message.part("text/plain").replace("\r", "")
    if message.channel == "slack":
        return "\n".join(str(part["text"]) for part in message.body["attachments"])
    if message.channel == "pagerduty":  # in two fields of their own
        details = message.body.get("payload", {}).get("custom_details", {})
        over = re.sub("^PGQueue", "Resolved: PGQueue", details.get("resolved") or "", flags=re.MULTILINE)
        return (details.get("firing") or "") + over
    return str(message.body)


def _about(labels: dict[str, str]) -> str:
    if "queue" in labels:
        return f"queue {labels['queue']}" + (f", tenant {labels['tenant']}" if "tenant" in labels else "")
    if "database" in labels:
        return f"database {labels['database']}"
    return f"exporter {labels['instance']}" if "instance" in labels else f"job {labels.get('job')}"


class Incident:
    """What people are told from its beginning on. The watchdog's beat is not counted."""

    def __init__(self, alerting: Alerting) -> None:
        self._alerting = alerting
        self._from = len(alerting.messages)
        self._expected: list[Told] = []
        self._allowed: set[tuple[str, str, str]] = set()

    def messages(self) -> list[Message]:
        """Those that have arrived."""
        return self._alerting.messages[self._from :]

    def told(self) -> Counter[Told]:
        """In how many messages each alert stood so far."""
        found = Counter(one for message in self.messages() for one in told(message))
        return Counter({one: times for one, times in found.items() if one.alert != "PGQueueWatchdog"})

    def allow(self, people: str, alert: str) -> None:
        """These people may hear of that alert or not: it hangs on which of two things is seen first."""
        self._allowed |= {(channel, to, alert) for channel, to in PEOPLE[people]}

    def expect(self, people: str, alert: str, about: str, status: str = FIRING) -> None:
        """Waits until these people have been told on each of their channels."""
        wanted = [Told(channel, to, status, alert, about) for channel, to in PEOPLE[people]]
        self._expected += wanted
        until = time.monotonic() + PATIENCE
        while missing := [one for one in wanted if not self.told()[one]]:
            assert time.monotonic() < until, f"not told: {missing}\nbut: {self.told()}"
            time.sleep(0.05)

    def expect_end(self) -> None:
        """Waits until all who were told that something fires are told that it is over."""
        for one in [one for one in self._expected if one.status == FIRING]:
            wanted = one._replace(status=RESOLVED)
            self._expected.append(wanted)
            until = time.monotonic() + PATIENCE
            while not self.told()[wanted]:
                assert time.monotonic() < until, f"not told: {wanted}\nbut: {self.told()}"
                time.sleep(0.05)

    def texts(self, alert: str) -> list[str]:
        """What people read of an alert that fires, in every message but the webhooks'."""
        return [
            text(message)
            for message in self.messages()
            if message.channel != "webhook" and any(one[2:4] == (FIRING, alert) for one in told(message))
        ]

    def close(self) -> None:
        """Fails unless what was expected, and nothing else, was told once."""
        found = {one: n for one, n in self.told().items() if (one.channel, one.to, one.alert) not in self._allowed}
        wanted = dict.fromkeys(self._expected, 1)
        wrong = {one: times for one, times in found.items() if wanted.get(one) != times}
        assert not wrong, f"told, with how often: {wrong}"
        assert found.keys() == wanted.keys()
