"""Connection strings: what libpq would refuse is refused before, and nothing of it is shown."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from exporter.config import from_dsn
from exporter.config.dsn import problem
from exporter.config.secrets import wrong_with
from exporter.errors import ConfigError

MARK = "hunter2MARK"


@pytest.mark.parametrize(
    "dsn",
    [
        f"POSTGRESQL://u:{MARK}@h/d",
        f"Postgres://u:{MARK}@h/d",
        f" postgresql://u:{MARK}@h/d",
        f"postgresql://u:{MARK} x@h/d",
        f"postgresql://u:{MARK}@h/d x",
        f"postgresql://u:{MARK}@h/d?a",
        f"postgresql://u:{MARK}@h/d?{MARK}",
        f"postgresql://u:{MARK}@h/d?sslmode=require&{MARK}",
        f"postgresql://u:{MARK}@h/d?password={MARK}=",
        f"postgresql://u:{MARK}@h/d?&sslmode=require",
        f"postgresql://u:{MARK}@[]/d",
        f"postgresql://u:{MARK}@h:0/d",
        f"PASSWORD={MARK}",
        f"password={MARK}\ud800",
    ],
)
def test_what_libpq_refuses_is_refused_and_not_shown(dsn: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dsn(dsn)
    assert "expected" in str(caught.value)
    assert MARK not in str(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://h/d?",
        "postgres://u:p%20@h1:5432,[::1]:,h3/d?sslmode=require&options=-c%20x%3Dy&",
        "postgresql://",
        "host=h password=it's",
        "host = 'a b'\n port=5",
    ],
)
def test_what_libpq_takes_is_taken(dsn: str) -> None:
    assert conninfo_to_dict(from_dsn(dsn).databases[0].conninfo()) == conninfo_to_dict(dsn)


@settings(max_examples=500)
@given(
    st.one_of(
        st.text("pu:/@?&=%20[],'\\ \n#\u00a0", max_size=30).map(lambda rest: f"postgresql://{rest}"),
        st.text("host=ptr' \\\n\t,", max_size=30).map(lambda rest: f"host={rest}"),
    )
)
@example("postgresql://u:a/b@h/d")
@example("host='a'port=5")
def test_what_is_let_through_libpq_can_read(dsn: str) -> None:
    if problem(dsn) is None:
        try:
            conninfo_to_dict(dsn)
        except ProgrammingError as error:
            # Which names there are depends on libpq's version; psycopg's refusal is not repeated.
            assert "invalid connection option" in str(error) or "invalid URI query parameter" in str(error)  # noqa: PT017  # either sentence will do


@pytest.mark.parametrize("key", ["dsn_file", "password_file"])
def test_a_pipe_is_no_file_of_a_secret_and_is_not_waited_for(tmp_path: Path, key: str) -> None:
    """It could be read once; a secret is read at every connection."""
    file = tmp_path / "pipe"
    os.mkfifo(file)
    assert wrong_with(key, str(file)) == f"cannot read the file {file}: Is a pipe"
