"""One world for the tests of a file: it takes seconds to make."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.alerting import require_programs
from tests.e2e.world import World
from tests.prometheus import program
from tests.servers import PostgresServer


@pytest.fixture(scope="module")
def world(installations: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running world; the newest of everything that is here."""
    prometheus = program("prometheus", newest=True) or program("prometheus")
    if prometheus is None:
        pytest.skip("Prometheus is not here: run `.ci/tools`")
    alertmanager = require_programs()[-1]
    server = PostgresServer(installations.get(18)).start()
    try:
        with World(server, prometheus, alertmanager, tmp_path_factory.mktemp("world")) as made:
            yield made
    finally:
        server.close()
