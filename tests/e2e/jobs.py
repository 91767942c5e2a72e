"""Who makes and who does the jobs of the end-to-end tests: threads with a connection each, on plain pgmq SQL."""

import json
import threading
from collections.abc import Mapping
from typing import Any, Self

import psycopg


def enqueue(connection: psycopg.Connection[Any], queue: str, tenant: str, jobs: int = 1) -> None:
    """Sends jobs of a tenant."""
    message = json.dumps({"project_id": tenant})
    connection.execute("SELECT pgmq.send_batch(%s, array_fill(%s::jsonb, ARRAY[%s::integer]))", (queue, message, jobs))


class Hand:
    """A thread that does one step after the other until it is stopped, and tells what went wrong when it is asked.

    It comes back when the database does, as workers do.
    """

    def __init__(self, dsn: str, pause: float) -> None:
        self._dsn = dsn
        self._pause = pause
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self, connection: psycopg.Connection[Any]) -> bool:
        """One step; whether the next may come at once."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stops it, and fails with what it failed with."""
        self._stopping.set()
        self._thread.join(20)
        assert self._failure is None, self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    while not self._stopping.is_set():
                        if not self.step(connection):
                            self._stopping.wait(self._pause)
            except psycopg.OperationalError:
                self._stopping.wait(0.2)
            except Exception as error:  # noqa: BLE001 - told to whoever stops it
                self._failure = error
                return


class Producer(Hand):
    """Sends a job of each tenant in turn, one a pause: `Producer(dsn, "mail", {"acme": 1, "globex": 2})`, by weight."""

    def __init__(self, dsn: str, queue: str, tenants: Mapping[str, int], pause: float = 0.1) -> None:
        self._queue = queue
        self._order = [tenant for tenant, weight in tenants.items() for _ in range(weight)]
        self._sent = 0
        super().__init__(dsn, pause)

    def step(self, connection: psycopg.Connection[Any]) -> bool:
        """See Hand."""
        enqueue(connection, self._queue, self._order[self._sent % len(self._order)])
        self._sent += 1
        return False


class Worker(Hand):
    """Takes jobs and archives them. One that may not finish (`dies`) loses each job to the end of its lease."""

    def __init__(self, dsn: str, queue: str, *, lease: int = 30, dies: bool = False, pause: float = 0.05) -> None:
        self._queue = queue
        self._lease = lease
        self._dies = dies
        super().__init__(dsn, pause)

    def step(self, connection: psycopg.Connection[Any]) -> bool:
        """See Hand."""
        taken = connection.execute("SELECT msg_id FROM pgmq.read(%s, %s, 5)", (self._queue, self._lease)).fetchall()
        if taken and not self._dies:
            connection.execute("SELECT pgmq.archive(%s, %s::bigint[])", (self._queue, [row[0] for row in taken]))
        return bool(taken)
