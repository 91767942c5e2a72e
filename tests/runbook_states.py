"""Databases in trouble, in which every block of SQL of the runbooks finds something."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.pgboss import PgBoss
from tests.servers import Database, PostgresServer, flush, install_pgmq

EXPORTER = "pgqueue_exporter"

_PGMQ = """
select pgmq.create('mail');
select pgmq.create('mail_dlq');
select pgmq.create('hidden');
alter table pgmq.q_hidden enable row level security;
create policy tenants on pgmq.q_hidden using (message->>'project_id' = current_user);

-- In front: planned jobs and leased ones, of which one was read too often. Then ready jobs of two tenants, old ones.
select pgmq.send('mail', '{"project_id": "acme"}', 3600) from generate_series(1, 3);
select pgmq.send('mail', jsonb_build_object('project_id', case when n % 3 = 0 then 'beta' else 'acme' end))
  from generate_series(1, 40) n;
select msg_id from pgmq.read('mail', 3600, 5);
select pgmq.archive('mail', msg_id) from pgmq.read('mail', 30, 5);
delete from pgmq.q_mail where msg_id = 20;
update pgmq.q_mail set read_ct = 9 where msg_id in (4, 30);
update pgmq.q_mail set vt = vt - interval '1 hour', enqueued_at = enqueued_at - interval '1 hour' where vt < now();
select pgmq.send('mail_dlq', '{"project_id": "acme", "error": "no such mailbox"}') from generate_series(1, 3);

create table public.job_tracking (msg_id bigint, queue_name text, attempt integer, enqueued_at timestamptz,
                                  started_at timestamptz, completed_at timestamptz, failed_at timestamptz,
                                  error_message text);
insert into public.job_tracking
select n, 'mail', 1, now() - interval '5 min', now() - interval '4 min', case when n % 2 = 0 then now() end,
       case when n % 2 = 1 then now() end, case when n % 2 = 1 then 'no such mailbox' end
  from generate_series(1, 20) n;
create table public.migrated (id integer);
"""


class Sessions:
    """Connections that hold or wait for something, each closed in the end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: list[psycopg.Connection[Any]] = []
        self._threads: list[threading.Thread] = []

    def run(self, *statements: str) -> psycopg.Connection[Any]:
        """A session that has run these, and stays as they leave it."""
        connection = self._database.connect()
        self._open.append(connection)
        for statement in statements:
            connection.execute(statement)
        return connection

    def wait(self, statement: str) -> None:
        """A session whose statement waits for another; returns when it does."""
        connection = self.run()

        def waiting() -> None:
            with contextlib.suppress(psycopg.Error):  # it is ended while it waits
                connection.execute(statement)

        thread = threading.Thread(target=waiting, daemon=True)
        thread.start()
        self._threads.append(thread)
        until = time.monotonic() + 20
        while not self._database.run(
            "select 1 from pg_stat_activity where pid = %s and cardinality(pg_blocking_pids(pid)) > 0",
            [connection.info.backend_pid],
        ):
            assert time.monotonic() < until, "it does not wait"
            time.sleep(0.02)

    def close(self) -> None:
        """Ends those who hold, then those who waited."""
        for connection in self._open:
            pid = connection.info.backend_pid
            self._database.run("select pg_terminate_backend(%s)", [pid])
        for thread in self._threads:
            thread.join(20)
        for connection in self._open:
            connection.close()


@contextmanager
def pgmq_in_trouble(server: PostgresServer) -> Iterator[Database]:
    """A database with pgmq and a job table, and all that can hold rows back or stand in the way.

    The server needs ``wal_level=logical``.
    """
    database = server.create_database()
    install_pgmq(database.dsn)
    with database.connect() as connection:
        connection.execute("select pg_create_logical_replication_slot('left_over', 'pgoutput')")
        connection.execute(_PGMQ)
        connection.execute(f"create role {EXPORTER} login")
        flush(connection)
    sessions = Sessions(database)
    try:
        sessions.run("begin", "insert into public.migrated values (1)", "prepare transaction 'left_over'")
        sessions.run("begin", "update public.job_tracking set attempt = 2 where msg_id = 1")
        sessions.run("begin", "lock table public.job_tracking in share update exclusive mode")
        sessions.run("select pg_advisory_lock(7)")
        sessions.run("create table public.locked ()", "begin", "lock table public.locked in access exclusive mode")
        sessions.wait("update public.job_tracking set attempt = 3 where msg_id = 1")
        yield database
    finally:
        sessions.close()


@contextmanager
def locked(database: Database, table: str) -> Iterator[None]:
    """Somebody holds a lock on the table that keeps all others out."""
    with database.connect() as connection, connection.transaction():
        connection.execute(f"lock table {table} in access exclusive mode")
        yield


def pgboss_in_trouble(boss: PgBoss, database: Database) -> None:
    """Jobs in every state, failed and dead ones, and a schedule; blocked ones and tenants where there are such."""
    twelve = boss.version in {"12", "12mid"}
    boss.create_queue("mail_dlq")
    boss.create_queue("mail")
    boss.create_queue("dying", deadLetter="mail_dlq", retryLimit=0)
    for retry_limit in (0, 0, 5, 5):
        boss.send("mail", {"to": "a"}, retryLimit=retry_limit, retryDelay=3600)
    taken = [job.id for job in boss.fetch("mail", 4)]
    boss.fail("mail", *taken, output={"message": "no such mailbox"})
    boss.send("dying", {"to": "b"})
    boss.fail("dying", *(job.id for job in boss.fetch("dying")), output={"message": "no such mailbox"})
    for _ in range(3):
        boss.send("mail", {"to": "c"})
    boss.complete("mail", boss.fetch("mail", 2)[0].id)  # the other stays active
    for _ in range(5):
        boss.send("mail", {"to": "d"}, **({"group": {"id": "acme"}} if twelve else {}))
    boss.schedule("mail", "0 3 * * *")
    if twelve:
        boss.flow(
            [
                {"ref": "parent", "queue": "dying", "data": {}},
                {"ref": "child", "queue": "mail", "data": {}, "dependsOn": ["parent"]},
            ]
        )
    with database.connect() as connection:
        connection.execute("vacuum analyze")
        if not connection.execute("select 1 from pg_roles where rolname = %s", [EXPORTER]).fetchone():
            connection.execute(f"create role {EXPORTER} login")
        flush(connection)
