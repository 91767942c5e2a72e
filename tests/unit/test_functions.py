"""The functions of `sql role`: what they are called with is a promise, and what is written into them is quoted."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Database
from exporter.sources.globs import regex
from exporter.sources.installed import INTERFACE, FunctionRow, usable
from exporter.sources.role_sql import KINDS, drop_lines, role_lines
from exporter.sources.statements import statement, union
from tests.exporter import configured

SIGNATURES = Path(__file__).parents[1] / "golden" / "functions.txt"
TABLE = {
    "name": "tracking",
    "table": "public.job_tracking",
    "source": "none",
    "queue": "job.queue_name",
    "enqueued": "job.enqueued_at",
    "finished": ["job.completed_at", "job.failed_at"],
    "tenant": "job.project_id",
}


def database(**keys: Any) -> Database:
    return configured("postgresql://nobody@nowhere/none", **keys).databases[0]


def test_another_signature_is_another_interface() -> None:
    """Renew the file by hand when one changes, and raise `INTERFACE`: functions made before must not be called."""
    functions = [function for kind in KINDS for function in kind.functions(database(job_tables=[TABLE]))]
    text = f"interface {INTERFACE}\n" + "".join(f"{function.signature}\n" for function in functions)
    assert text == SIGNATURES.read_text()


globs = st.text(alphabet="ab-!*?[]^\\.%_'$\u00e9", max_size=8)
names = st.text(alphabet="ab-!*?[]^\\.%_'$\u00e9", max_size=6)


@given(glob=globs, name=names)
def test_a_glob_means_the_same_in_postgres(glob: str, name: str) -> None:
    """By Python's own reading of the regular expression, which agrees on all that is written here."""
    pattern = regex(glob)
    matches = pattern is not None and re.search(pattern, name, re.DOTALL) is not None
    assert matches == fnmatchcase(name, glob), pattern


def test_no_password_and_no_address_is_printed() -> None:
    configured_ = configured("postgresql://user:S3cret@db.example/app").databases[0]
    for text in (role_lines(configured_), drop_lines(configured_)):
        assert "S3cret" not in text
        assert "db.example" not in text


def test_functions_of_others_are_not_called() -> None:
    """Only what carries the comment, and may be called."""
    comment = "pgqueue-exporter 0.1.0, interface 1, tenants 0a, text 0b"
    rows = [
        FunctionRow("ours", ["_x"], True, comment),
        FunctionRow("refused", ["_x"], False, comment),
        FunctionRow("theirs", ["_x"], True, ""),
    ]
    assert list(usable(rows)) == ["ours"]
    assert usable(rows)["ours"].made.tenants == "0a"


def test_without_functions_a_select_is_itself() -> None:
    select = statement("time", at=1.5)
    assert select.as_string(None) == "to_timestamp(1.5::float8)"
    assert union([select, select]).as_string(None) == "to_timestamp(1.5::float8) union all to_timestamp(1.5::float8)"
