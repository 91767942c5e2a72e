"""What is generated is what the code makes."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("renew", ROOT / "tests" / "renew.py")
assert SPEC is not None
assert SPEC.loader is not None
RENEW = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(RENEW)


@pytest.mark.parametrize("name", sorted(RENEW.generated()))
def test_a_generated_file_is_what_the_code_makes(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == RENEW.generated()[name]
