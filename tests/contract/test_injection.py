"""Whatever names, values, configuration and requests hold: no SQL, no label, no log line, no header of its own."""

from __future__ import annotations

import io
import json
import logging
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql
from pydantic import ValidationError

from exporter import logs, names
from exporter.collector.exposition import render
from exporter.folding import fold, odd
from exporter.tenants import NONE, OTHER, label
from tests.exporter import Collected, Driver
from tests.jobtables import create, described
from tests.listening import Listening
from tests.pgmq_install import install_pgmq
from tests.servers import Database, flush

#: Pieces that break out of somewhere, in SQL, in a label, in a log line, in a terminal, in a header.
PIECES = (
    *("'", '"', "\\", "''", "$$", "$1", "%s", "%(x)s", "{", "}", "{table}", "--", "/*", "*/", ";", ")", "(", "::text"),
    *("\n", "\r\n", "\t", "\x1b[2J", "\x9b31m", "\u202e", "\u2028", "\x7f", "\ufeff", "\ud7ff", "\U0001f600", "é"),
    *("; drop table canary; --", "' or true --", '"} 1\nevil{x="', "\r\nSet-Cookie: x=1", "a=b msg=forged level=error"),
)
NASTY = (
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), min_size=1, max_size=6)
    .map(lambda pieces: "".join(pieces).replace("\x00", ""))
    .filter(bool)
)
STORED = NASTY.filter(lambda text: text.isprintable() or text.encode(errors="ignore").decode() == text)

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encodable(text: str) -> bool:
    return text.encode(errors="replace").decode() == text


@pytest.fixture
def guarded(database18: Database) -> Iterator[Database]:
    """A database with a table that a statement of someone else's would drop, change or fill."""
    database18.run("create table canary (id int primary key)")
    database18.run("insert into canary values (1)")
    yield database18
    assert database18.run("select array_agg(id) from canary") == [([1],)]


def page_of(page: Collected) -> dict[str, list[dict[str, str]]]:
    """The page as a scraper reads it: labels by metric, after a count of its lines."""
    text = "".join(block.text_header.decode() + b"".join(block.pieces).decode() for block in render(page.samples))
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    assert len(lines) == sum(map(len, found.values()))
    assert all(line.startswith("pgqueue_") for line in lines)
    return found


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What is logged, in logfmt."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs._Line(as_json=False))
    logger = logging.getLogger("exporter")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)
    for line in stream.getvalue().splitlines():
        # Each line is one event whose fields are those that the exporter writes, each once.
        assert line.isprintable(), repr(line)
        keys = [word.partition("=")[0] for word in shlex.split(line)]
        assert keys[:3] == ["ts", "level", "msg"]
        assert len(keys) == len(set(keys))


@pytest.mark.usefixtures("printed")
@FEW
@given(queue=STORED.filter(encodable), outcome=STORED.filter(encodable))
def test_queues_and_outcomes_of_a_job_table(guarded: Database, queue: str, outcome: str) -> None:
    with guarded.connect() as connection:
        connection.execute("drop table if exists public.jobs")
        create(connection)
        connection.execute("alter table public.jobs add column o text")
        driver = Driver(guarded.dsn, job_tables=described(outcome="job.o", source="none"))
        driver.collect()
        connection.execute(
            "insert into public.jobs (queue, enqueued, started, completed, o) values (%s, now(), now(), now(), %s)",
            [queue, outcome],
        )
        flush(connection)
    page = driver.collect()
    for labels in page_of(page).get("pgqueue_finished_total", []):
        assert labels["queue"] == queue
        assert labels["outcome"] in {names.COMPLETED, names.FAILED, names.DEAD_LETTERED, names.CANCELLED}
    driver.close()


@pytest.fixture
def mailed(guarded: Database) -> Database:
    install_pgmq(guarded.dsn)
    guarded.run("select pgmq.create('mail')")
    return guarded


@pytest.mark.usefixtures("printed")
@FEW
@given(tenant=NASTY.filter(encodable), key=NASTY.filter(encodable))
def test_tenants_and_the_key_they_stand_under(mailed: Database, tenant: str, key: str) -> None:
    with mailed.connect() as connection:
        connection.execute("select pgmq.purge_queue('mail')")
        connection.execute("select pgmq.send('mail', %s::jsonb)", [json.dumps({key: tenant})])
        flush(connection)
    tenants: dict[str, Any] = {"from": [{"message": key}], "pinned": [tenant]}
    if odd(tenant):  # no tenant has such a label, and the configuration says so
        with pytest.raises(ValidationError):
            Driver(mailed.dsn, tenants=tenants)
        tenants["pinned"] = [fold(tenant)]
    driver = Driver(mailed.dsn, tenants=tenants)
    driver.collect()
    page = driver.recount()
    jobs = {s["tenant"] for s in page_of(page)["pgqueue_jobs"]}
    (shown,) = {labels[3] for labels, count in page.of(names.JOBS, queue="mail", state=names.READY).items() if count}
    assert shown == label(fold(tenant))
    assert jobs >= {shown, OTHER}
    assert NONE not in jobs
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.TENANTS) == 1
    driver.close()


@pytest.mark.usefixtures("printed")
@FEW
@given(name=NASTY.filter(encodable))
def test_names_in_the_configuration(mailed: Database, name: str) -> None:
    """Schemas, columns, globs: a name that is nothing, or a clear error; never a statement."""
    for keys in (
        {"pgmq": {"schema": name}},
        {"pgboss": {"schemas": [name], "enabled": True}},
        {"queues": {"include": [name]}},
        {"tenants": {"from": [{"column": name}]}},
        {"tenants": {"from": [{"headers": name, "queues": [name]}, {"message": "x", "source": name}]}},
    ):
        try:
            driver = Driver(mailed.dsn, **keys)
        except ValidationError:  # told with its path when a file is read
            continue
        page = driver.collect()
        page_of(page)
        assert page.one(names.UP) == 1
        for reason in ("syntax", "error"):
            assert page.of(names.COLLECTION_ERRORS, reason=reason) == {}
        driver.close()


@pytest.mark.usefixtures("printed")
@FEW
@given(name=NASTY.filter(encodable).filter(lambda name: len(name.encode()) <= 60))
def test_names_of_queues_and_tables(mailed: Database, name: str) -> None:
    """As an operator with too much imagination may have made them by hand."""
    with mailed.connect() as connection:
        row = connection.execute("select lower(%s)", [name]).fetchone()  # as pgmq does
        assert row is not None
        table = row[0]
        try:
            for kind in ("q", "a"):
                like, made = (sql.Identifier("pgmq", f"{kind}_{text}") for text in ("mail", table))
                connection.execute(sql.SQL("create table {} (like {} including all)").format(made, like))
        except psycopg.Error:
            return
        connection.execute(
            "insert into pgmq.meta (queue_name, is_partitioned, is_unlogged) values (%s, false, false)", [name]
        )
        connection.execute(
            sql.SQL("insert into {} (msg_id, vt, message) overriding system value values (1, now(), '{{}}')").format(
                sql.Identifier("pgmq", f"q_{table}")
            )
        )
        flush(connection)
        driver = Driver(mailed.dsn, tenants={"from": [{"message": "x"}]})
        driver.collect()
        page = driver.recount()
        assert sum(page.of(names.JOBS, queue=name, state=names.READY).values()) == 1
        assert name in {labels["queue"] for labels in page_of(page)["pgqueue_jobs"]}
        driver.close()
        connection.execute("delete from pgmq.meta where queue_name = %s", [name])
        for kind in ("q", "a"):
            connection.execute(sql.SQL("drop table {}").format(sql.Identifier("pgmq", f"{kind}_{table}")))


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    directory: Path = tmp_path_factory.mktemp("listening")
    running = Listening(directory, {"http_server_config": {"headers": {"X-Frame-Options": "deny"}}})
    yield running
    running.close()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    target=st.one_of(NASTY, st.sampled_from(["/metrics", "/", "/-/healthy"])),
    header=st.tuples(st.one_of(st.sampled_from(["Accept", "Accept-Encoding", "Host", "Cookie", "X"]), NASTY), NASTY),
    method=st.one_of(st.sampled_from(["GET", "HEAD", "POST", "TRACE"]), NASTY),
)
def test_requests(listening: Listening, target: str, header: tuple[str, str], method: str) -> None:
    request = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{header[0]}: {header[1]}\r\nConnection: close\r\n\r\n"
    answer = listening.say(request.encode(errors="replace"))
    if not answer:  # closed without one
        return
    head, _, _ = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    assert re.fullmatch(r"HTTP/1\.[01] [2345]\d\d [ -~]+", status)
    assert {line.partition(":")[0].lower() for line in lines} <= EXPECTED
    assert "set-cookie" not in head.decode("latin-1").lower()


EXPECTED = {
    *("date", "server", "content-type", "content-length", "content-encoding", "connection", "vary", "cache-control"),
    *("x-frame-options", "x-content-type-options", "content-security-policy", "referrer-policy", "allow"),
    *("cross-origin-resource-policy", "cross-origin-opener-policy", "permissions-policy", "transfer-encoding"),
}


def test_what_requests_left_in_the_log(listening: Listening) -> None:
    listening.say(b"GET /\x1b[2Jforged\x0dts=now HTTP/1.1\r\nHost: x\r\n\r\n")
    for line in listening.printed().splitlines():
        assert line.isprintable()
        assert line.startswith("ts=")


def test_a_log_line_in_json_moves_no_terminal() -> None:
    record = logging.LogRecord("exporter", logging.WARNING, "", 0, "evil \x9b31m \u2028 \u202e \n", (), None)
    line = logs._Line(as_json=True).format(record)
    assert line.isprintable()
    assert json.loads(line)["msg"] == "evil \x9b31m \u2028 \u202e \n"
