"""Rules are tested with the oldest Prometheus that they are for, and with the newest where it has been built."""

from pathlib import Path

import pytest

from tests.servers import REPOSITORY

NEWEST = REPOSITORY / ".tools" / "go" / "bin" / "promtool"


@pytest.fixture(scope="session", params=["oldest", "newest"] if NEWEST.exists() else ["oldest"])
def each_promtool(request: pytest.FixtureRequest, promtool: Path) -> Path:
    """Every promtool that is here, one after the other."""
    return promtool if request.param == "oldest" else NEWEST
