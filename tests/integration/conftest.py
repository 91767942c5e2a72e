"""Running exporters and demos, for the tests of several files."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo import PATIENCE, Running, as_user
from tests.listening import Listen, Listening
from tests.servers import REPOSITORY, work_directory


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listen]:
    """A factory of running exporters, with a web configuration or without."""
    made: list[Listening] = []

    def make(web: dict[str, Any] | None = None, **how: Any) -> Listening:
        directory = tmp_path / f"run{len(made)}"
        directory.mkdir()
        made.append(Listening(directory, web, **how))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files that every user can use; afterwards, nobody may have left anything in it."""
    folder = work_directory("demo")
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def demo(place: Path) -> Iterator[Callable[..., Running]]:
    """A factory of demos: `demo("as_user", seconds=5, schedule=(3, 8, 60))`; `prelude` is Python that is run before."""
    made: list[subprocess.Popen[bytes]] = []

    def start(identity: str = "as_started", before: str = "", **more: Any) -> Running:
        schedule, seconds = more.get("schedule", (60, 60, 60)), more.get("seconds")
        program = (
            f"import sys; from exporter.demo import Schedule, run; {more.get('prelude', 'pass')}; "
            f"sys.exit(run('127.0.0.1:0', {seconds!r}, schedule=Schedule{schedule!r}))"
        )
        log = place / f"log{len(made)}"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(place), "HOME": str(place)}
        environment.pop("MAKELEVEL", None)
        command = [*(as_user() if identity == "as_user" else []), sys.executable, "-c", program]
        if before:
            command = ["sh", "-c", f'{before} "$@" & wait', "sh", *command]
        with log.open("wb") as out:
            made.append(subprocess.Popen(command, env=environment, cwd=place, stdout=out, stderr=out))
        return Running(made[-1], log)

    yield start
    for process in made:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE)
