"""The people and programs around the queues: producers, workers, and somebody who looks at the dead letters."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from .schema import DEAD_LETTER_QUEUE, QUEUE, TENANTS, statement

#: Workers, and new jobs a second: the workers can do about twice as much.
WORKERS: Final = 4
RATE: Final = 12.0

_RUN_SECONDS: Final = 0.12
_DELAYED: Final = 0.06
_DELAYS: Final = (5, 60)
_FAILING: Final = 0.06
#: A tenant whose receiving end is often down.
_FRAIL: Final = ("umbrella", 0.55)
_ERRORS: Final = ("HTTP 503 from the receiver", "timed out after 30 s", "connection refused")

_IDLE: Final = 0.1
_VIEW_EVERY: Final = 15.0
_FORGET_EVERY: Final = 60.0
_JOIN_WITHIN: Final = 3.0

#: Workflows of each tenant, the same in every demo.
_WORKFLOWS: Final = {tenant: uuid.uuid5(uuid.NAMESPACE_DNS, f"{tenant}.example") for tenant in TENANTS}

Connection = psycopg.Connection[Any]


class Hand(ABC):
    """One thread with a connection of its own, which does its work until stopped."""

    def __init__(self, name: str, dsn: str) -> None:
        self._name = name
        self._dsn = dsn
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.random = random.Random()  # noqa: S311  # guards nothing
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Say that it is time to stop; ``join()`` waits for it."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until it has stopped."""
        self._thread.join(_JOIN_WITHIN)

    def pause(self, seconds: float) -> bool:
        """Let time pass; True when it is time to stop."""
        return self._stopping.wait(seconds)

    @abstractmethod
    def work(self, connection: Connection) -> None:
        """Work until ``pause`` says that it is time to stop."""

    def _run(self) -> None:
        try:
            with psycopg.connect(
                self._dsn, autocommit=True, application_name=f"demo {self._name}", options="-c role=service_role"
            ) as connection:
                self.work(connection)
        except BaseException as error:  # noqa: BLE001  # told to whoever asks: a thread cannot raise
            if not self._stopping.is_set():
                self.failure = error


class Producer(Hand):
    """Enqueues jobs of all tenants at random moments; some are to wait."""

    def __init__(self, dsn: str) -> None:
        super().__init__("producer", dsn)

    def work(self, connection: Connection) -> None:
        """See Hand."""
        enqueue = statement("enqueue")
        due = time.monotonic()
        while True:
            due = max(due + self.random.expovariate(RATE), time.monotonic() - 1)
            if self.pause(max(0.0, due - time.monotonic())):
                return
            [tenant] = self.random.choices(list(TENANTS), weights=list(TENANTS.values()))
            delay = self.random.randint(*_DELAYS) if self.random.random() < _DELAYED else 0
            connection.execute(
                enqueue, {"queue": QUEUE, "tenant": tenant, "workflow": _WORKFLOWS[tenant], "delay": delay}
            )


class Worker(Hand):
    """Takes jobs one by one. Stopped in the middle of one it drops everything, as a killed worker would."""

    def __init__(self, number: int, dsn: str) -> None:
        super().__init__(f"worker {number}", dsn)
        self._statements = {name: statement(name) for name in ("take", "started", "completed", "retry", "give_up")}

    def work(self, connection: Connection) -> None:
        """See Hand."""
        while not self.pause(0):
            job = connection.execute(self._statements["take"], {"queue": QUEUE}).fetchone()
            if job is None:
                self.pause(_IDLE * self.random.uniform(0.5, 1.5))
                continue
            msg_id, message = job
            which = {"queue": QUEUE, "msg_id": msg_id}
            connection.execute(self._statements["started"], which)
            if self.pause(min(2.0, self.random.lognormvariate(0, 0.6) * _RUN_SECONDS)):
                return  # the lease stays, until it runs out
            end = self._end(message)
            if end == "completed":
                connection.execute(self._statements[end], which)
            else:
                failed = {"message": json.dumps(message), "attempt": message["attempt"], "error": self._error()}
                connection.execute(self._statements[end], {**which, **failed})

    def _end(self, message: dict[str, Any]) -> str:
        frail, often = _FRAIL
        chance = often if message["metadata"]["tenant"] == frail else _FAILING
        if self.random.random() >= chance:
            return "completed"
        return "retry" if message["attempt"] < message["max_attempts"] else "give_up"

    def _error(self) -> str:
        return self.random.choice(_ERRORS)


class Operator(Hand):
    """Looks at the dead letters now and then, deals with the oldest when there are many, and lets old rows go."""

    def __init__(self, dsn: str) -> None:
        super().__init__("operator", dsn)

    def work(self, connection: Connection) -> None:
        """See Hand."""
        view, clear, forget = statement("view_dead_letters"), statement("clear_dead_letters"), statement("forget")
        forget_at = time.monotonic() + _FORGET_EVERY
        while not self.pause(_VIEW_EVERY):
            connection.execute(view, {"queue": DEAD_LETTER_QUEUE})
            connection.execute(clear, {"queue": DEAD_LETTER_QUEUE})
            if time.monotonic() >= forget_at:
                connection.execute(forget)
                forget_at = time.monotonic() + _FORGET_EVERY


class Load:
    """Everybody together."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._others: list[Hand] = [Producer(dsn), Operator(dsn)]
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Set all to work."""
        for hand in self._others:
            hand.start()
        self.start_workers()

    def start_workers(self) -> None:
        """New workers, where there are none."""
        self._workers = [Worker(number, self._dsn) for number in range(1, WORKERS + 1)]
        for worker in self._workers:
            worker.start()

    def stop_workers(self) -> None:
        """End the workers, wherever they are in their jobs."""
        _stop(self._workers)
        self._workers = []

    def stop(self) -> None:
        """End all."""
        _stop([*self._workers, *self._others])

    def check(self) -> None:
        """Raise what one of them has failed with."""
        for hand in [*self._workers, *self._others]:
            if hand.failure is not None:
                raise hand.failure


def _stop(hands: Sequence[Hand]) -> None:
    for hand in hands:
        hand.stop()
    for hand in hands:
        hand.join()
