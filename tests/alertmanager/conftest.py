"""Every Alertmanager that is here, in turn."""

import pytest

from tests.alerting import Program, programs, require_programs


@pytest.fixture(scope="session", params=programs() or (None,), ids=lambda one: one.version if one else "none")
def program(request: pytest.FixtureRequest) -> Program:
    """One of the Alertmanagers that are here; skips where there is none."""
    require_programs()
    assert isinstance(request.param, Program)
    return request.param
