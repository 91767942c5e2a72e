"""What several tests of the running process begin with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.listening import Listen, Listening


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
