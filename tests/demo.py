"""A demo in a process of its own, and whether anything of it is left."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from exporter.demo import readings
from exporter.demo.guard import PREFIX
from tests.servers import account, children

PATIENCE = 60.0
#: A killed demo's last process must be gone after so many seconds.
SOON = 8.0

ROOT = os.geteuid() == 0
IDENTITIES = ["as_started", "as_user"] if ROOT and shutil.which("setpriv") else ["as_started"]


class Running(NamedTuple):
    """A demo in a process of its own, and what it has said."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """All it has said so far."""
        return self.log.read_text()

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> str:
        """Waits until it says something; the first group of the pattern."""
        until = time.monotonic() + patience
        while (found := re.search(pattern, self.said())) is None:
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            assert time.monotonic() < until, f"it did not say {pattern!r}:\n{self.said()}"
            time.sleep(0.05)
        return found[1]

    def port(self) -> int:
        """Waits until the exporter has numbers; its port."""
        return int(self.wait_for(r"http://127\.0\.0\.1:(\d+)/metrics"))

    def reading(self, condition: Callable[[readings.Reading], bool]) -> readings.Reading:
        """Waits until the numbers on the page are as they should become."""
        port, until, now = self.port(), time.monotonic() + PATIENCE, None
        while time.monotonic() < until:
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            now = readings.read("127.0.0.1", port)
            if now is not None and condition(now):
                return now
            time.sleep(0.2)
        raise AssertionError(f"the numbers did not become so; last {now}:\n{self.said()}")


def as_user() -> list[str]:
    """What makes root's command an ordinary user's, who can read Python's files wherever root keeps them."""
    uid, gid = account() or (os.geteuid(), os.getegid())
    become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    # By way of a shell: setpriv itself still has root's rights when it starts its program.
    probe = [*become, "sh", "-c", '"$0" -c "import psycopg"', sys.executable]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        become += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return become


def family(pid: int) -> set[int]:
    """A process and all that came from it."""
    return {pid}.union(*(family(child) for child in children(pid)))


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be noticed by its parent does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def nothing_is_left(pids: set[int], place: Path, port: int | None = None) -> None:
    """Fails unless the processes, the port and the directories are gone soon."""
    until = time.monotonic() + SOON
    while time.monotonic() < until and (any(map(lives, pids)) or [*place.glob(f"{PREFIX}*")]):
        time.sleep(0.05)
    assert [pid for pid in pids if lives(pid)] == []
    assert [*place.glob(f"{PREFIX}*")] == []
    if port is not None:
        assert readings.read("127.0.0.1", port) is None
