"""Runs the demo's programs and ends them with it, however it ends.

A script of its own, in a session of its own, that needs the standard library only. It makes the demo's directory and
tells its name; then each line on standard input is a program to start (a Request as JSON), and each line on standard
output one that ended. When standard input ends, because the demo stopped or was killed, it stops the programs, the
last started first, and removes the directory.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, TypedDict

PREFIX: Final = "pgqueue-demo-"

_LOCK: Final = "lock"
_LOOK_EVERY: Final = 0.2
_PATIENCE: Final = 3.0
_PR_SET_PDEATHSIG: Final = 1

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Request(TypedDict):
    """A program to start: who it runs as (None: as this one does), and the signals that stop it, mildest first."""

    name: str
    command: list[str]
    environment: dict[str, str]
    account: tuple[int, int] | None
    folder: str
    stop: list[int]


class _Program:
    """A running program."""

    def __init__(self, request: Request, directory: Path, lock: int) -> None:
        self.name = request["name"]
        self._stop = [*request["stop"], signal.SIGKILL]
        guard = os.getpid()
        # Linux ends it should this process be killed; set after the change of user, which would clear it.
        worst = request["stop"][-1]

        def end_with_the_guard() -> None:
            if _libc is not None:
                _libc.prctl(_PR_SET_PDEATHSIG, worst)
                if os.getppid() != guard:
                    os._exit(1)

        identity: dict[str, Any] = {}
        if request["account"] is not None:
            uid, gid = request["account"]
            identity = {"user": uid, "group": gid, "extra_groups": []}
        with (directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # the demo's own command
                request["command"],
                env=request["environment"],
                cwd=request["folder"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                start_new_session=True,
                preexec_fn=end_with_the_guard,  # noqa: PLW1509  # this process has no threads
                **identity,
            )

    def ended(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Stop it, by harder and harder means."""
        for number in self._stop:
            if self.ended() is not None:
                return
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                continue


class _Guard:
    def __init__(self, place: Path) -> None:
        sweep(place)
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        self.directory.chmod(0o711)  # the account that Postgres runs as passes through
        self._lock = os.open(self.directory / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._programs: list[_Program] = []
        self._ending = False

    def end(self, *_: object) -> None:
        """Stop at the next occasion; a signal handler."""
        self._ending = True

    def run(self) -> None:
        """Do what is asked until there is nobody left to ask."""
        asked = b""
        try:
            tell({"directory": str(self.directory)})
            while not self._ending:
                if select.select([0], [], [], _LOOK_EVERY)[0]:
                    piece = os.read(0, 65536)
                    if not piece:
                        return
                    *lines, asked = (asked + piece).split(b"\n")
                    for line in lines:
                        self._start(json.loads(line))
                self._tell_ended()
        except BrokenPipeError:
            return

    def close(self) -> None:
        """Stop everything and remove the directory."""
        for program in reversed(self._programs):
            program.stop()
        remove(self.directory)

    def _start(self, request: Request) -> None:
        try:
            self._programs.append(_Program(request, self.directory, self._lock))
        except (OSError, subprocess.SubprocessError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            tell({"ended": request["name"], "code": -1, "reason": f"{request['command'][0]}: {reason}"})

    def _tell_ended(self) -> None:
        for program in [*self._programs]:
            code = program.ended()
            if code is not None:
                self._programs.remove(program)
                tell({"ended": program.name, "code": code})


def tell(message: dict[str, object]) -> None:
    """Tell the demo something."""
    os.write(1, json.dumps(message).encode() + b"\n")


def sweep(place: Path) -> None:
    """Remove the directories of demos whose every process is gone, this script's included."""
    for directory in place.glob(f"{PREFIX}*"):
        try:
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's, or just being made
        try:
            if os.fstat(lock).st_uid == os.geteuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(directory)
        except OSError:
            continue  # alive
        finally:
            os.close(lock)


def remove(directory: Path) -> None:
    """Remove a directory, into which the last of a server's processes may still be writing."""
    for _ in range(20):
        if not directory.exists():
            return
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.05)


def main() -> None:
    """Guard until standard input ends, or until SIGTERM."""
    os.umask(0o022)
    try:
        guard = _Guard(Path(sys.argv[1]))
    except OSError as error:
        tell({"refused": error.strerror or str(error)})
        return
    # Handlers, not SIG_IGN: a program started here begins with the default ones.
    signal.signal(signal.SIGTERM, guard.end)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        guard.run()
    finally:
        guard.close()


if __name__ == "__main__":
    main()
