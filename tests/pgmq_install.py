"""pgmq in a database of the tests: today's shape and older ones, as plain SQL or as an extension."""

import re
from importlib import resources
from typing import Literal

import psycopg
import pytest

Shape = Literal["1.13", "1.5", "1.4"]

# Today's; without `last_read_at`; without `headers` too. Each is named after the last release that looked like that.
SHAPES: tuple[Shape, ...] = ("1.13", "1.5", "1.4")

# The version each shape carries as an extension.
EXTENSION_VERSIONS: dict[Shape, str] = {"1.13": "1.13.0", "1.5": "1.5.1", "1.4": "1.4.5"}

_CONTROL = """\
comment = 'A lightweight message queue. Like AWS SQS and RSMQ but on Postgres.'
default_version = '1.13.0'
schema = 'pgmq'
relocatable = false
superuser = false
"""

# send and send_batch as they were before messages had headers.
_SEND_WITHOUT_HEADERS = """
CREATE FUNCTION pgmq.send(queue_name TEXT, msg JSONB, delay TIMESTAMP WITH TIME ZONE)
RETURNS SETOF BIGINT AS $$
BEGIN
    RETURN QUERY EXECUTE FORMAT(
        'INSERT INTO pgmq.%I (vt, message) VALUES ($2, $1) RETURNING msg_id',
        pgmq.format_table_name(queue_name, 'q')
    ) USING msg, delay;
END;
$$ LANGUAGE plpgsql;

CREATE FUNCTION pgmq.send(queue_name TEXT, msg JSONB) RETURNS SETOF BIGINT AS $$
    SELECT * FROM pgmq.send(queue_name, msg, clock_timestamp());
$$ LANGUAGE sql;

CREATE FUNCTION pgmq.send(queue_name TEXT, msg JSONB, delay INTEGER) RETURNS SETOF BIGINT AS $$
    SELECT * FROM pgmq.send(queue_name, msg, clock_timestamp() + make_interval(secs => delay));
$$ LANGUAGE sql;

CREATE FUNCTION pgmq.send_batch(queue_name TEXT, msgs JSONB[], delay TIMESTAMP WITH TIME ZONE)
RETURNS SETOF BIGINT AS $$
BEGIN
    RETURN QUERY EXECUTE FORMAT(
        'INSERT INTO pgmq.%I (vt, message) SELECT $2, unnest($1) RETURNING msg_id',
        pgmq.format_table_name(queue_name, 'q')
    ) USING msgs, delay;
END;
$$ LANGUAGE plpgsql;

CREATE FUNCTION pgmq.send_batch(queue_name TEXT, msgs JSONB[]) RETURNS SETOF BIGINT AS $$
    SELECT * FROM pgmq.send_batch(queue_name, msgs, clock_timestamp());
$$ LANGUAGE sql;

CREATE FUNCTION pgmq.send_batch(queue_name TEXT, msgs JSONB[], delay INTEGER) RETURNS SETOF BIGINT AS $$
    SELECT * FROM pgmq.send_batch(queue_name, msgs, clock_timestamp() + make_interval(secs => delay));
$$ LANGUAGE sql;
"""

_NEEDS_HEADERS = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION pgmq\."
    r"(?:read_grouped\w*|send\w*|_send_batch|_validate_batch_params|\w*fifo_index\w*)\("
)


def install_pgmq(dsn: str, shape: Shape = "1.13", *, extension: bool = False) -> None:
    """Puts pgmq into the database: the SQL of the `pgmq` package, in one of `SHAPES`.

    `extension=True` makes it a real extension (the tests' own servers carry the files of every shape); on a server
    that has no such version the test is skipped.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        if not extension:
            # No parameters: the whole file goes over in one simple query, in one transaction.
            connection.execute(pgmq_sql(shape))
            return
        version = EXTENSION_VERSIONS[shape]
        known = connection.execute(
            "SELECT 1 FROM pg_available_extension_versions WHERE name = 'pgmq' AND version = %s", [version]
        ).fetchone()
        if known is None:
            pytest.skip(f"this server has no extension pgmq {version}")
        connection.execute(f"CREATE EXTENSION pgmq VERSION '{version}'")


def install_partman(dsn: str) -> None:
    """Creates pg_partman in a schema of its own, `partman`, where the database lacks it.

    On a server without its files the test is skipped.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_partman'").fetchone():
            pytest.skip("pg_partman is not on this server: run `.ci/tools`, which brings it for PostgreSQL 15")
        connection.execute("CREATE SCHEMA IF NOT EXISTS partman")
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_partman SCHEMA partman")


def create_partitioned(dsn: str, queue: str, interval: str = "10000", retention: str = "100000") -> None:
    """Makes a partitioned queue; `install_partman` comes first.

    `interval` is a number of messages ("10000") or a duration ("1 day"), as in `pgmq.create_partitioned`.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pgmq.create_partitioned(%s, %s, %s)", [queue, interval, retention])


def pgmq_sql(shape: Shape = "1.13") -> str:
    """The SQL that makes pgmq in that shape, from the file the `pgmq` package ships."""
    text = resources.files("pgmq").joinpath("sql/pgmq.sql").read_text()
    if shape == "1.13":
        return text
    text = _without_last_read_at(text)
    return text if shape == "1.5" else _without_headers(text)


def extension_files() -> dict[str, str]:
    """File name and text of everything `CREATE EXTENSION pgmq` needs, for every shape."""
    files = {f"pgmq--{version}.sql": pgmq_sql(shape) for shape, version in EXTENSION_VERSIONS.items()}
    return {"pgmq.control": _CONTROL, **files}


def _without_last_read_at(text: str) -> str:
    text = _replaced(r"\n *last_read_at TIMESTAMP WITH TIME ZONE,", "", text, 7)
    text = _replaced(r",\n *last_read_at = clock_timestamp\(\)(?=\n)", "", text, 3)
    text = _replaced(r"\n *last_read_at = clock_timestamp\(\),(?=\n)", "", text, 2)
    text = _replaced(r"\b(?:m\.)?last_read_at, ", "", text, 15)
    return _free_of("last_read_at", text)


def _without_headers(text: str) -> str:
    text = _replaced(r"(?<=message JSONB),\n *headers JSONB(?=\n)", "", text, 7)
    chunks = re.split(r"(?m)^(?=CREATE )", text)
    kept = [chunk for chunk in chunks if not _NEEDS_HEADERS.match(chunk)]
    assert len(chunks) - len(kept) == 32, f"functions with headers: {len(chunks) - len(kept)} found"
    text = _replaced(r"\b(m\.)?message, (?:m\.)?headers\b", r"\1message", "".join(kept), 11)
    return _free_of("headers", text) + _SEND_WITHOUT_HEADERS


def _replaced(pattern: str, by: str, text: str, times: int) -> str:
    """The text with the pattern replaced; fails when it did not stand there exactly that often."""
    result, found = re.subn(pattern, by, text)
    assert found == times, f"pgmq.sql is not what this was written for: {pattern!r} stands there {found} times"
    return result


def _free_of(word: str, text: str) -> str:
    code = re.sub(r"(?m)^\s*--.*$", "", text)
    assert word not in code, f"{word} is left: {code[max(0, code.index(word) - 200) :][:400]}"
    return text
