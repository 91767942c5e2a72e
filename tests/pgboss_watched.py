"""Costs of collecting from pg-boss, counted: blocks, rows, messages, index entries."""

from __future__ import annotations

from typing import NamedTuple

from exporter.sources.postgres import raw
from tests.exporter import Collected, Driver
from tests.servers import Database, flush

QUEUES = [f"q{number:02}" for number in range(20)]


class Nothing(NamedTuple):
    """A row that tells nothing."""

    nothing: str


class Cost(NamedTuple):
    """What one collection cost, and its page."""

    blocks: int
    messages: int
    rows: int
    page: Collected


class Watched:
    """A driver with a role of its own: pg_stat_statements tells its statements from all others."""

    def __init__(self, database: Database) -> None:
        self.sql = database.connect()
        role = database.server.add_user()
        self.sql.execute("create extension if not exists pg_stat_statements")
        self.sql.execute(f'grant usage on schema pgboss to "{role}"')
        self.sql.execute(f'grant select on all tables in schema pgboss to "{role}"')
        self.role = role
        # A snapshot that another session holds is not waited for: these tests are about cost.
        self.driver = Driver(database.dsn_as(role), pgmq={"enabled": False}, vacuum=False, settle_max="100ms")

    def blocks(self, *without: str) -> tuple[int, Collected]:
        """The blocks that one collection touches, of the parts that are not left out, and its page."""
        self.sql.execute("select pg_stat_statements_reset((select oid from pg_roles where rolname = %s))", [self.role])
        page = self.driver.collect(without=without)
        row = self.sql.execute(
            """select coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint, count(*)
                 from pg_stat_statements s join pg_roles r on r.oid = s.userid where rolname = %s""",
            [self.role],
        ).fetchone()
        assert row is not None
        assert row[1] > 0, "the exporter's statements were not found"
        return int(row[0]), page

    def entries(self, *without: str) -> tuple[dict[str, int], Collected]:
        """The entries that one collection reads of each index of the common table, by its keys, and its page."""
        before = self._entries()
        page = self.driver.collect(without=without)
        after = self._entries()
        return {keys: after[keys] - before[keys] for keys in after}, page

    def _entries(self) -> dict[str, int]:
        self.driver.collection.session.read(raw("select pg_stat_force_next_flush()::text as nothing"), Nothing)
        rows = self.sql.execute(
            """select substring(pg_get_indexdef(indexrelid) from 'btree \\(([^)]*)'), sum(idx_tup_read)::bigint
                 from pg_stat_user_indexes where schemaname = 'pgboss' and relname = 'job_common' group by 1"""
        ).fetchall()
        return {keys: int(read) for keys, read in rows}

    def cost(self, *without: str) -> Cost:
        """The same as `blocks`, and the messages sent and the rows that came back."""
        session = self.driver.collection.session
        before = session.messages
        blocks, page = self.blocks(*without)
        row = self.sql.execute(
            "select sum(rows)::bigint from pg_stat_statements s join pg_roles r on r.oid = s.userid where rolname = %s",
            [self.role],
        ).fetchone()
        assert row is not None
        return Cost(blocks, session.messages - before, int(row[0]), page)

    def close(self) -> None:
        """Close both connections."""
        self.driver.close()
        self.sql.close()


def load(database: Database, completed: int, created: int, active: int) -> None:
    """Jobs of all queues, as months of work leave them; the completed first, so that they share no block."""
    with database.connect() as connection:
        connection.execute("alter table pgboss.job_common set (autovacuum_enabled = false)")
        for state, jobs, columns, values in (
            ("completed", completed, "started_on, completed_on", "now() - interval '2 h', now() - interval '1 h'"),
            ("active", active, "started_on, completed_on", "now() - interval '1 min', null"),
            ("created", created, "started_on, completed_on", "null, null"),
        ):
            connection.execute(
                f"""insert into pgboss.job (name, state, created_on, start_after, {columns}, data)
                    select 'q' || lpad(mod(n, {len(QUEUES)})::text, 2, '0'), %s, now() - interval '3 h',
                           now() - random() * interval '1 h', {values}, jsonb_build_object('body', repeat('x', 100))
                      from generate_series(1, %s) n""",
                [state, jobs],
            )
        connection.execute("vacuum (analyze) pgboss.job_common")
        flush(connection)


def work(database: Database, jobs: int, ended: int) -> None:
    """In each queue so many jobs come, and so many of the oldest are fetched and completed."""
    with database.connect() as connection:
        for queue in QUEUES:
            connection.execute("insert into pgboss.job (name) select %s from generate_series(1, %s)", [queue, jobs])
            connection.execute(
                """update pgboss.job_common set state = 'completed', completed_on = clock_timestamp(),
                          started_on = clock_timestamp() - interval '3 s'
                    where id in (select id from pgboss.job_common
                                  where name = %s and state = 'created' and start_after < now()
                                  order by start_after limit %s)""",
                [queue, ended],
            )
        flush(connection)
