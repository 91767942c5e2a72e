"""Real pg-boss, under Node: one process a `PgBoss`, driven over its standard input by `tests/pgboss/driver.mjs`."""

import contextlib
import functools
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Self

import pytest

from tests.servers import REPOSITORY, end_with_parent, work_directory

Version = Literal["10", "11", "12mid", "12"]

# The newest of each, and a 12 from before the indexes and columns that came with 12.28 and later.
VERSIONS: tuple[Version, ...] = ("10", "11", "12mid", "12")
PACKAGES: dict[Version, str] = {version: f"pgboss{version}" for version in VERSIONS}
DRIVER = REPOSITORY / "tests" / "pgboss" / "driver.mjs"
FOLDER = REPOSITORY / ".tools" / "pgboss"
OLDEST_NODE = (22, 12)
PATIENCE = 30.0

Policy = Literal["standard", "short", "singleton", "stately", "exclusive", "key_strict_fifo"]

# What each version knows; a partitioned queue has a table of its own (10: every queue).
POLICIES: dict[Version, tuple[Policy, ...]] = {
    "10": ("standard", "short", "singleton", "stately"),
    "11": ("standard", "short", "singleton", "stately", "exclusive"),
    "12mid": ("standard", "short", "singleton", "stately", "exclusive", "key_strict_fifo"),
    "12": ("standard", "short", "singleton", "stately", "exclusive", "key_strict_fifo"),
}


@functools.cache
def node() -> Path | None:
    """A Node that is new enough: that of `.tools`, or the system's."""
    on_path = shutil.which("node")
    found = [REPOSITORY / ".tools" / "node" / "bin" / "node", *([Path(on_path)] if on_path else [])]
    return next((path for path in found if path.is_file() and _node_version(path) >= OLDEST_NODE), None)


def _node_version(program: Path) -> tuple[int, ...]:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    numbers = re.match(r"v(\d+)\.(\d+)", told)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def require_pgboss(version: Version) -> Path:
    """The Node to run that pg-boss with; skips the test where either is missing."""
    program = node()
    if program is None:
        pytest.skip(f"Node {'.'.join(map(str, OLDEST_NODE))} or newer is not here: run `.ci/tools`")
    if not (FOLDER / "node_modules" / PACKAGES[version] / "package.json").is_file():
        pytest.skip(f"pg-boss {version} is not here: run `.ci/tools`")
    return program


class PgBossError(AssertionError):
    """pg-boss, or the driver, refused; the message is theirs."""


@dataclass(frozen=True)
class Fetched:
    """A job as its worker sees it."""

    id: str
    data: Any
    retry_count: int


@dataclass
class Work:
    """What the workers of one queue have done so far; `attempts` are counted when they begin."""

    attempts: int = 0
    succeeded: int = 0
    failed: int = 0
    hung: int = 0


class PgBoss:
    """One pg-boss instance in a process of its own; a context manager that ends exactly that process.

    `options` are pg-boss's own constructor options, under the names of 12 (`superviseIntervalSeconds`,
    `persistQueueStats`, ...). It neither supervises nor schedules on its own unless they say so (`supervise=True`,
    `schedule=True`): call `supervise()`. Names of options of queues and jobs are those of 12 too; what a version
    does not know is an error, never left out in silence.

    The schema's name goes to pg-boss as it is: bare names are folded to lower case by Postgres; 12 takes names in
    double quotes. Start it from pytest's main thread: as with the servers, it ends with the thread that started it.
    """

    def __init__(self, version: Version, dsn: str, schema: str = "pgboss", **options: Any) -> None:
        program = require_pgboss(version)
        self.version = version
        self.dsn = dsn
        self.schema = schema
        self.options = options
        self._directory = work_directory("pgboss")
        self._log: IO[bytes] = (self._directory / "log").open("wb")
        self._process = subprocess.Popen(
            [program, DRIVER, FOLDER, PACKAGES[version]],
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self._directory), "NODE_ENV": "production"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=self._directory,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - no locks are taken in there
        )
        self._replies: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._number = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            told = self.call("start", dsn=dsn, schema=schema, options=options)
        except BaseException:
            self.kill()
            raise
        self.release: str = told["version"]
        self.schema_version: int = told["schemaVersion"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process.poll() is None

    # The process.

    def stop(self, *, graceful: bool = True) -> None:
        """Stops pg-boss as an application does, and ends its process."""
        if self.running:
            with contextlib.suppress(PgBossError):
                self.call("stop", graceful=graceful)
        self._end(PATIENCE)

    def kill(self) -> None:
        """Kills the process: a crash. Its active jobs stay active."""
        if self.running:
            self._process.kill()
        self._end(PATIENCE)

    def close(self) -> None:
        """Ends the process at once, without telling the database; nothing where it has ended."""
        self.kill()

    def pause(self) -> None:
        """Stops the process where it is (SIGSTOP): it neither works nor beats any more."""
        os.kill(self.pid, signal.SIGSTOP)

    def _end(self, patience: float) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # the driver ends with its input
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    # The wire.

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(json.loads(line))
        self._replies.put(None)

    def call(self, what: str, **arguments: Any) -> Any:
        """One command of the driver; its answer."""
        assert self._process.stdin is not None
        with self._lock:
            self._number += 1
            message = {"id": self._number, "do": what, **{k: v for k, v in arguments.items() if v is not None}}
            try:
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()
            except OSError as error:
                raise PgBossError(f"{what}: the driver has ended:\n{self._log_tail()}") from error
            until = time.monotonic() + PATIENCE
            while True:
                try:
                    reply = self._replies.get(timeout=max(until - time.monotonic(), 0.01))
                except queue.Empty:
                    raise PgBossError(f"{what}: no answer in {PATIENCE:g} s:\n{self._log_tail()}") from None
                if reply is None:
                    raise PgBossError(f"{what}: the driver has ended:\n{self._log_tail()}")
                if reply["id"] == self._number:  # an older one's caller has given up
                    break
        if "error" in reply:
            raise PgBossError(reply["error"])
        return reply["ok"]

    def _log_tail(self) -> str:
        if not self._log.closed:
            self._log.flush()
        with contextlib.suppress(OSError):
            return (self._directory / "log").read_text()[-2000:]
        return ""

    @property
    def errors(self) -> list[str]:
        """Errors that pg-boss has emitted."""
        return list(self.call("errors"))

    def flush(self) -> None:
        """Has pg-boss report its statistics now; of an instance with one session (`max=1`)."""
        self.call("flush")

    # Queues.

    def create_queue(self, name: str, policy: Policy = "standard", **options: Any) -> str:
        """Makes a queue; the name of the table that holds its jobs.

        Options: partition, deadLetter, retryLimit, retryDelay, retryBackoff, expireInSeconds, retentionSeconds,
        deleteAfterSeconds, heartbeatSeconds, warningQueueSize, notify.
        """
        return str(self.call("createQueue", queue=name, options={"policy": policy, **options})["table"])

    def delete_queue(self, name: str) -> None:
        """Drops a queue with its jobs."""
        self.call("deleteQueue", queue=name)

    def delete_queued_jobs(self, name: str) -> None:
        """Deletes the jobs not yet fetched."""
        self.call("deleteQueuedJobs", queue=name)

    # Jobs.

    def send(self, name: str, data: Any = None, **options: Any) -> str | None:
        """Sends one job, whose data is an object (10 takes nothing else); its id, None where it was dropped.

        A policy drops it, or a throttle (singletonSeconds).

        Options: startAfter (seconds, or an ISO time), priority, singletonKey, singletonSeconds, retryLimit,
        retryDelay, retryBackoff, expireInSeconds, retentionSeconds, deadLetter, group={"id": ...},
        heartbeatSeconds, id.
        """
        answer = self.call("send", queue=name, data=data, options=options)
        return None if answer is None else str(answer)

    def insert(self, name: str, jobs: Iterable[Mapping[str, Any]]) -> None:
        """Inserts many jobs, a thousand a statement; each has the options of `send`, and `data`."""
        self.call("insert", queue=name, jobs=[dict(job) for job in jobs])

    def flow(self, jobs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Sends jobs that wait for each other (12): {ref, queue, data, options, dependsOn: [ref]}; ids by ref."""
        return dict(self.call("flow", jobs=[dict(job) for job in jobs]))

    def resolve_flow(self) -> None:
        """Releases the jobs whose parents are complete, which pg-boss otherwise does every few seconds (12)."""
        self.call("resolveFlow")

    def fetch(self, name: str, count: int = 1, **options: Any) -> list[Fetched]:
        """Fetches jobs, which are active from then on. Options: priority, ignoreStartAfter, groupConcurrency."""
        jobs = self.call("fetch", queue=name, count=count, options=options)
        return [Fetched(job["id"], job["data"], job["retryCount"]) for job in jobs]

    def complete(self, name: str, *ids: str, output: Any = None) -> int:
        """Completes active jobs; how many."""
        return int(self.call("complete", queue=name, ids=ids, output=output))

    def fail(self, name: str, *ids: str, output: Any = None) -> int:
        """Fails jobs, which are retried while they may be; how many."""
        return int(self.call("fail", queue=name, ids=ids, output=output))

    def cancel(self, name: str, *ids: str) -> int:
        """Cancels jobs that have not ended; how many."""
        return int(self.call("cancel", queue=name, ids=ids))

    def resume(self, name: str, *ids: str) -> int:
        """Makes cancelled jobs `created` again; how many."""
        return int(self.call("resume", queue=name, ids=ids))

    def retry(self, name: str, *ids: str) -> int:
        """Puts failed jobs on retry by hand; how many."""
        return int(self.call("retry", queue=name, ids=ids))

    def delete_job(self, name: str, *ids: str) -> int:
        """Deletes jobs; how many."""
        return int(self.call("deleteJob", queue=name, ids=ids))

    def touch(self, name: str, *ids: str) -> int:
        """Beats for active jobs (12); how many."""
        return int(self.call("touch", queue=name, ids=ids))

    def redrive(self, name: str) -> None:
        """Sends the jobs of a dead letter queue back to where they came from (12)."""
        self.call("redrive", queue=name)

    # Schedules and workers.

    def schedule(self, name: str, cron: str, data: Any = None, key: str | None = None, **options: Any) -> None:
        """Sends a job by a cron expression, as long as an instance with `schedule=True` runs; `key` not in 10."""
        self.call("schedule", queue=name, cron=cron, data=data, key=key, options=options)

    def unschedule(self, name: str, key: str | None = None) -> None:
        """Ends that."""
        self.call("unschedule", queue=name, key=key)

    def work(self, name: str, **options: Any) -> str:
        """A worker, whose jobs say what it does with them; its id.

        {"do": "succeed"} (or nothing), {"do": "fail"}, {"do": "hang"} (until it expires), {"do": "nth", "n": 3}
        (succeeds at the third attempt); each with {"seconds": 1.5} to take its time first.
        """
        return str(self.call("work", queue=name, options=options))

    def off_work(self, name: str) -> None:
        """Ends a queue's workers."""
        self.call("offWork", queue=name)

    def worked(self, name: str) -> Work:
        """What this instance's workers of the queue have done."""
        return Work(**self.call("worked").get(name, {}))

    def supervise(self, name: str | None = None) -> None:
        """Counts, expires and deletes now, as the timers of pg-boss do; waits until its own intervals (1 s) allow."""
        self.call("supervise", queue=name)
