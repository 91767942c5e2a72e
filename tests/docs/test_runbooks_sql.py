"""Every block of SQL of the runbooks runs when it is pasted, and finds what it looks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tests.pgboss import PgBoss, Version
from tests.runbook_states import locked, pgboss_in_trouble, pgmq_in_trouble
from tests.runbooks import Block, blocks
from tests.servers import Database, PostgresServer

PGMQ = (1, 13)
PGBOSS: dict[Version, tuple[int, ...]] = {"10": (10, 4), "11": (11, 1), "12mid": (12, 27), "12": (12, 38)}

# What a block changes with a number that the reader puts in for 0.
READERS_ID, READERS_PID = "0::bigint", "pid = 0"


@pytest.fixture(scope="module", params=[15, 18])
def trouble(request: pytest.FixtureRequest, installations: Any) -> Iterator[Database]:
    settings = {"wal_level": "logical", "autovacuum": "off"}
    server = PostgresServer(installations.get(request.param), settings)
    try:
        server.start()
        with pgmq_in_trouble(server) as database:
            yield database
    finally:
        server.close()


@pytest.fixture(scope="module", params=PGBOSS)
def boss(request: pytest.FixtureRequest, installations: Any) -> Iterator[tuple[Version, Database]]:
    server = PostgresServer(installations.get(18), {"autovacuum": "off"})
    try:
        database = server.start().create_database()
        with PgBoss(request.param, database.dsn) as running:
            pgboss_in_trouble(running, database)
            yield request.param, database
    finally:
        server.close()


def _of(*kinds: str) -> list[Block]:
    return [block for block in blocks("sql") if block.of in kinds]


def _pasted(database: Database, text: str) -> list[tuple[Any, ...]]:
    """What psql would show of the block: the rows of its statements."""
    with database.connect() as connection:
        cursor = connection.execute(text.encode())  # one message, as it is: no parameters, so no `%` has a meaning
        rows: list[tuple[Any, ...]] = []
        while True:
            if cursor.description is not None:
                rows += cursor.fetchall()
            if not cursor.nextset():
                break
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE, "a transaction is left open"
        return rows


def _run(block: Block, database: Database, table: str) -> None:
    text = block.text
    if block.section != "Mitigation":
        with ExitStack() as held:
            if "pg_locks" in text and block.of != "any":
                held.enter_context(locked(database, table))
            assert _pasted(database, text), f"{block} finds nothing"
        return
    _pasted(database, text)  # as it is, it does no harm
    if READERS_PID in text:
        victim = database.connect()
        assert _pasted(database, text.replace(READERS_PID, f"pid = {victim.info.backend_pid}")) == [(True,)]
        with pytest.raises(psycopg.OperationalError):
            victim.execute("select 1")
    if READERS_ID in text:
        assert _pasted(database, text.replace(READERS_ID, "4::bigint")), f"{block} does nothing"
    if "returning" in text:
        assert _pasted(database, text), f"{block} does nothing, or did it the first time"


@pytest.mark.parametrize("block", _of("any", "pgmq", "job-table"), ids=str)
def test_a_block_for_postgres_pgmq_or_a_job_table(block: Block, trouble: Database) -> None:
    assert block.fits(PGMQ)
    _run(block, trouble, "pgmq.q_mail")


@pytest.mark.parametrize("block", _of("pg-boss"), ids=str)
def test_a_block_for_pgboss(block: Block, boss: tuple[Version, Database]) -> None:
    version, database = boss
    if block.fits(PGBOSS[version]):
        _run(block, database, "pgboss.job")
    else:  # it is for other versions, and there it is needed
        assert any(block.fits(other) for other in PGBOSS.values())


def test_mitigation_leaves_no_trace(trouble: Database) -> None:
    def jobs() -> list[tuple[Any, ...]]:
        return trouble.run(
            "select msg_id, vt, read_ct, null from pgmq.q_mail union all select msg_id, vt, read_ct, message::text"
            " from pgmq.q_mail_dlq order by 1, 2"
        )

    before = jobs()
    for block in _of("pgmq"):
        if block.section == "Mitigation":
            _pasted(trouble, block.text.replace(READERS_ID, "4::bigint"))
    assert jobs() == before
    assert trouble.run("select 1 from pg_roles where rolname = 'pgqueue_exporter' and rolbypassrls") == []
