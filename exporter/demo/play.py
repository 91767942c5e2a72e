"""The incidents, the numbers and the alerts, in turn."""

from __future__ import annotations

import time
from typing import Final

import psycopg

from ..errors import ExporterError
from . import schema
from .alerting import Alerting
from .channels import Inbox
from .incident import Schedule
from .life import Life
from .load import Load
from .postgres import Postgres
from .readings import Reading
from .screen import Screen
from .serving import Exporter

ALERT: Final = "PGQueueStalled"

#: From workers that stop to the message, and from workers that are back to the end of it: limit, `for` (or
#: `keep_firing_for`), collection, scrape, evaluation, and the waits of Alertmanager. Seconds.
FIRES_AFTER: Final = 20
RESOLVES_AFTER: Final = 12

_LOOK_EVERY: Final = 0.2

#: While something goes on, and in quiet times.
_STATUS_EVERY: Final = 5.0
_QUIET_STATUS_EVERY: Final = 15.0

#: So few ready jobs are the ordinary coming and going.
_DRAINED: Final = 15


class Play:
    """Incidents and numbers, and, where there is ``alerting``, what it sends."""

    def __init__(
        self,
        screen: Screen,
        life: Life,
        schedule: Schedule,
        inbox: Inbox,
        *,
        load: Load,
        exporter: Exporter,
        postgres: Postgres,
        alerting: Alerting | None,
    ) -> None:
        self._screen = screen
        self._life = life
        self._schedule = schedule
        self._inbox = inbox
        self._load = load
        self._exporter = exporter
        self._postgres = postgres
        self._alerting = alerting
        self._heard = alerting is None
        self._fires = False
        self._stopped = False
        self._draining_since: float | None = None

    def go_on(self, reading: Reading) -> None:
        """Play until Stopped is raised."""
        began, turns, shown = time.monotonic(), 0, 0.0
        earlier: Reading | None = None
        now: Reading | None = reading
        while True:
            elapsed = time.monotonic() - began
            if shown == 0 or elapsed >= shown + self._status_every():
                now, shown = self._exporter.read(), elapsed
                self._status(now, earlier)
                if earlier is None or (now is not None and now.collected > earlier.collected):
                    earlier = now
            at, turn = self._schedule.turn(turns)
            if elapsed >= at:
                turns += 1
                self._take(turn, self._schedule.turn(turns)[0] - elapsed)
            self._hear(self._schedule.turn(turns)[0] - elapsed)
            self._check()
            self._life.pause(_LOOK_EVERY)

    def _status_every(self) -> float:
        busy = self._stopped or self._fires or self._draining_since is not None
        return _STATUS_EVERY if busy else _QUIET_STATUS_EVERY

    def _status(self, now: Reading | None, earlier: Reading | None) -> None:
        if now is None:
            self._screen.turn("the exporter does not answer")
            return
        self._screen.numbers(now, now.finished_since(earlier))
        if self._draining_since is not None and now.ready <= _DRAINED:
            took = time.monotonic() - self._draining_since
            self._screen.turn(f"the backlog is gone, {took:.0f} s after the workers came back")
            self._draining_since = None

    def _take(self, turn: str, following: float) -> None:
        self._stopped = turn == "stop"
        if self._stopped:
            self._load.stop_workers()
            self._draining_since = None
            fires = f"{ALERT} fires in about {FIRES_AFTER} s; " if self._alerting else ""
            hint = f"jobs pile up, nobody takes them; {fires}the workers are back in {following:.0f} s"
            self._screen.turn("the workers stopped", hint)
        else:
            self._load.start_workers()
            self._draining_since = time.monotonic()
            ends = f"; the alert ends in about {RESOLVES_AFTER} s" if self._fires else ""
            self._screen.turn("the workers are back", f"the backlog drains{ends}")

    def _hear(self, following: float) -> None:
        """Show what Alertmanager has sent."""
        if not self._heard and self._inbox.heartbeat:
            self._heard = True
            self._screen.turn(
                "the alerting path works",
                "the watchdog, an alert that always fires, has reached its receiver",
            )
        if messages := self._inbox.take():
            self._screen.messages(messages)
            self._fires = not all(message.resolved for message in messages if message.channel == "slack")
            if not self._fires and not self._stopped:
                self._screen.turn(
                    "that is the whole story: an incident, an alert, its end",
                    f"the next incident comes in {following:.0f} s; Ctrl-C stops everything and leaves nothing",
                )

    def _check(self) -> None:
        self._exporter.check()
        self._postgres.check()
        if self._alerting is not None:
            try:
                self._alerting.check()
            except ExporterError as error:
                self._alerting, self._fires = None, False
                self._screen.turn(f"{error}; the demo goes on without alerts")
        try:
            self._load.check()
        except psycopg.OperationalError as error:
            self._life.pause(1.0)  # the server's own end is the better explanation, and takes a moment to be known
            self._postgres.check()
            raise ExporterError(f"the demo's jobs lost their database: {str(error).splitlines()[0]}") from error


def what_comes(screen: Screen, schedule: Schedule, *, alerts: bool) -> None:
    """The plan, with times."""
    screen.say()
    screen.say("What comes")
    back = schedule.calm + schedule.stopped
    plan = [(schedule.calm, f"the workers stop, and jobs of {schema.QUEUE} pile up"), (back, "the workers come back")]
    if alerts:
        plan += [
            (schedule.calm + FIRES_AFTER, f"{ALERT} fires: what Slack would show appears here"),
            (back + RESOLVES_AFTER, "its end appears here"),
        ]
    for seconds, what in sorted(plan):
        screen.row(f"in {seconds:g} s", what)
    screen.row("then", f"again every {schedule.stopped + schedule.between:g} s, until Ctrl-C, which leaves nothing")
    screen.say()
