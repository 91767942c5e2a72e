"""Which override comes first for all that another one matches: the other is never used, whatever it says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.rulegen.globs import matches
from exporter.rulegen.precedence import Precedence, covers
from exporter.rulegen.thresholds import Override
from tests.rules.test_files import faults, load

COVERED = "never used: overrides[0] matches all of it and comes first"
GLOBS = st.text("ab?*", min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("queue: '*'", "queue: a", COVERED),
        ("queue: 'a*'", "queue: 'ab*c', tenant: t", COVERED),
        ("queue: 'a?'", "queue: ab", COVERED),
        ("tenant: '*'", "queue: a, tenant: t", COVERED),
        ("queue: a", "queue: a, tenant: t", COVERED),
        ("queue: a, tenant: t", "tenant: t, queue: a", "never used: overrides[0] matches the same and comes first"),
        ("queue: 'a?'", "queue: 'a*'", None),
        ("queue: a", "queue: 'a*'", None),
        ("queue: a, tenant: t", "queue: a", None),
        ("queue: 'a*'", "tenant: a", None),
    ],
)
def test_an_override_that_can_never_be_used_is_a_fault(
    first: str, second: str, told: str | None, tmp_path: Path
) -> None:
    earlier, later = f"{{match: {{{first}}}, backlog: {{warning: 9}}}}", f"{{match: {{{second}}}, backlog: off}}"
    text = f"version: 1\noverrides: [{earlier}, {later}]\n"
    if told is None:
        assert len(load(text, tmp_path).overrides) == 2
    else:
        assert faults(text, tmp_path) == {"overrides[1].backlog.warning": told}


def test_another_severity_is_no_use_of_the_same(tmp_path: Path) -> None:
    text = (
        "version: 1\noverrides:\n- {match: {queue: '*'}, backlog: {critical: off}}\n"
        "- {match: {queue: a}, backlog: {warning: 1}}\n"
    )
    assert load(text, tmp_path).limit("backlog", "warning", {"queue": "a"}).value == 1


def test_a_limit_is_held_against_the_one_that_is_in_force_beside_it(tmp_path: Path) -> None:
    """Wherever that stands: before it, so that its own is never used; or after it, where it is the first."""
    wide, narrow = "{match: {queue: 'a*'}, ready_age: %s}", "{match: {queue: ab}, ready_age: %s}"
    before = f"overrides: [{wide % '{critical: 6m}'}, {narrow % '{warning: 10m, critical: 20m}'}]"
    assert faults(f"version: 1\n{before}\n", tmp_path) == {
        "overrides[1].ready_age.warning": "expected less than the critical's 6m (overrides[0]); found 10m",
        "overrides[1].ready_age.critical": COVERED,
    }
    after = f"overrides: [{narrow % '{critical: 6m}'}, {wide % '{warning: 10m, critical: 20m}'}]"
    assert faults(f"version: 1\n{after}\n", tmp_path) == {
        "overrides[0].ready_age.critical": "expected more than the warning's 10m (overrides[1]); found 6m"
    }


@given(wide=GLOBS, narrow=GLOBS, value=st.text("ab", max_size=6))
def test_what_covers_a_glob_matches_all_that_it_matches(wide: str, narrow: str, value: str) -> None:
    if covers({"queue": wide}, {"queue": narrow}) and matches(narrow, value):
        assert matches(wide, value)


LABELS = st.dictionaries(
    st.sampled_from(["queue", "tenant"]), st.sampled_from(["a", "ab", "a*", "*", "?", "a?", "b*b"]), min_size=1
)


@given(matched=st.lists(LABELS, min_size=1, max_size=8))
def test_the_first_is_found_that_a_search_one_by_one_finds(matched: list[dict[str, str]]) -> None:
    key = ("backlog", "warning")
    overrides = [Override(f"overrides[{place}]", None, match, {key: 1}) for place, match in enumerate(matched)]
    precedence = Precedence(overrides)
    for override in overrides:
        assert precedence.first(key, override) is next(one for one in overrides if covers(one.match, override.match))
