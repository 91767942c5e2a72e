"""Commands of the exporter, each in a process of its own, forked from one that has imported everything already."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.servers import REPOSITORY

# A child's end is a program's: what nobody catches is printed, and buffers are flushed.
_FORKING = """
import json, os, sys
from exporter.cli import main
for line in iter(sys.stdin.readline, ""):
    arguments, environment, output = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.update(environment)
        to = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(to, 1)
        os.dup2(to, 2)
        sys.argv[1:] = arguments
        main(prog_name="pgqueue-exporter")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Commands:
    """Runs commands one after the other, without the half second that each would take to import the program."""

    def __init__(self, directory: Path) -> None:
        self._output = directory / "output"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKING],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """A command's exit code, and all that it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([arguments, environment, str(self._output)]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline()), self._output.read_text(errors="replace")
