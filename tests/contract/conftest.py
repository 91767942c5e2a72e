"""Suites that hold for both ways of reading: the tables, and the functions of `sql role`."""

import pytest

from tests.exporter import Driver


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs every test of a module that says `BOTH_WAYS = True` twice."""
    if getattr(metafunc.module, "BOTH_WAYS", False):
        metafunc.parametrize("reads", ["direct", "functions"], indirect=True)


@pytest.fixture(autouse=True)
def reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How drivers read: a role with nothing but the functions, for `functions`."""
    monkeypatch.setattr(Driver, "through_functions", getattr(request, "param", "direct") == "functions")
