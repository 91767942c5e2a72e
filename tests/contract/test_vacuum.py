"""What keeps VACUUM back, and for how long: by each kind of holder."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from exporter import names
from tests.exporter import Driver
from tests.servers import Database, PostgresServer

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


HOLDERS = ("transaction", "replication_slot", "prepared_transaction", "standby")


def ages(driver: Driver) -> dict[str, float]:
    page = driver.collect()
    assert page.one(names.COLLECTION_SUCCESS, part=names.VACUUM) == 1
    return {labels[1]: value for labels, value in page.of(names.VACUUM_HORIZON_AGE).items()}


def hold(connection: psycopg.Connection[Any]) -> None:
    """Keep a snapshot."""
    connection.execute("begin isolation level repeatable read")
    connection.execute("select 1")


def test_nothing_held_is_zero(database: Database) -> None:
    driver = Driver(database.dsn)
    assert ages(driver) == dict.fromkeys(HOLDERS, 0)
    driver.close()


def test_a_transaction_holds_since_it_began(database: Database) -> None:
    driver = Driver(database.dsn)
    with database.connect() as holder, database.connect() as sql:
        hold(holder)
        pid = holder.info.backend_pid

        def age() -> float:
            since = "extract(epoch from clock_timestamp() - xact_start)::float8"
            row = sql.execute(f"select {since} from pg_stat_activity where pid = %s", [pid]).fetchone()
            assert row is not None
            return float(row[0])

        before = age()
        found = ages(driver)
        assert before <= found.pop("transaction") <= age()
        assert set(found.values()) == {0}
        holder.execute("rollback")
        assert ages(driver)["transaction"] == 0
    driver.close()


def test_vacuum_itself_holds_nothing(database: Database) -> None:
    role = database.server.add_user()
    with database.connect() as worker, database.connect() as watching, ThreadPoolExecutor(1) as threads:
        worker.execute("create table large as select generate_series(1, 20000) as number")
        worker.execute("delete from large")
        worker.execute("set vacuum_cost_delay = '100ms'")
        worker.execute("set vacuum_cost_limit = 1")
        running = threads.submit(worker.execute, "vacuum large")
        pid = worker.info.backend_pid
        while watching.execute("select 1 from pg_stat_progress_vacuum where pid = %s", [pid]).fetchone() is None:
            assert not running.done()
        for dsn in (database.dsn, database.dsn_as(role)):
            driver = Driver(dsn)
            ages(driver)
            assert ages(driver)["transaction"] == 0
            driver.close()
        assert not running.done()
        watching.execute("select pg_cancel_backend(%s)", [pid])
        with pytest.raises(psycopg.errors.QueryCanceled):
            running.result()


def test_a_role_that_sees_no_other_sessions_times_them_from_when_it_saw_them(database: Database) -> None:
    driver = Driver(database.dsn_as(database.server.add_user()))
    with database.connect() as holder:
        hold(holder)
        assert ages(driver)["transaction"] == 0
        assert 0 < ages(driver)["transaction"] < 60
        holder.execute("rollback")
        assert ages(driver)["transaction"] == 0
    driver.close()


def test_what_carries_no_time_is_timed_from_when_it_was_seen(own_server: Callable[..., PostgresServer]) -> None:
    server = own_server(18, wal_level="logical", max_prepared_transactions=2, hot_standby_feedback="on")
    server.settings["wal_receiver_status_interval"] = "1s"
    database = server.create_database()
    driver = Driver(database.dsn)
    with database.connect() as sql:
        assert ages(driver) == dict.fromkeys(HOLDERS, 0)

        sql.execute("select pg_create_logical_replication_slot('held', 'pgoutput')")
        assert ages(driver)["replication_slot"] == 0
        first = ages(driver)["replication_slot"]
        assert first > 0
        assert ages(driver)["replication_slot"] > first
        sql.execute("select pg_drop_replication_slot('held')")
        assert ages(driver)["replication_slot"] == 0

        sql.execute("create table written (number int)")
        sql.execute("begin")
        sql.execute("insert into written values (1)")
        sql.execute("prepare transaction 'held'")
        age = "select extract(epoch from clock_timestamp() - prepared)::float8 from pg_prepared_xacts"
        ((before,),) = sql.execute(age).fetchall()
        found = ages(driver)["prepared_transaction"]
        ((after,),) = sql.execute(age).fetchall()
        assert before <= found <= after
        sql.execute("rollback prepared 'held'")
        assert ages(driver)["prepared_transaction"] == 0

        replica = server.standby()
        server.wait_for_replay(replica)
        with psycopg.connect(replica.dsn(database.name)) as reader:
            reader.execute("select 1")
            while sql.execute("select backend_xmin from pg_stat_replication").fetchone() == (None,):
                pass
            ages(driver)
            assert 0 < ages(driver)["standby"] < 60
    driver.close()


def test_it_can_be_switched_off(database: Database) -> None:
    driver = Driver(database.dsn, vacuum=False)
    assert driver.collect().of(names.VACUUM_HORIZON_AGE) == {}
    driver.close()


@pytest.mark.parametrize("table", [names.QUEUE_TABLE, names.ARCHIVE_TABLE])
def test_tables_are_as_the_statistics_have_them(pgmq_database: Database, table: str) -> None:
    relation = f"pgmq.{'q' if table == names.QUEUE_TABLE else 'a'}_mail"
    driver = Driver(pgmq_database.dsn)
    with pgmq_database.connect() as sql:
        sql.execute("select pgmq.create('mail')")
        sql.execute(f"alter table {relation} set (autovacuum_enabled = false)")
        sql.execute(
            f"insert into {relation} (msg_id, vt, message) overriding system value"
            " select number, now(), '{}' from generate_series(1, 500) as number"
        )
        sql.execute(f"delete from {relation} where msg_id <= 120")
        sql.execute("select pg_stat_force_next_flush()")
        sql.execute("select 1")
        page = driver.collect()
        assert page.one(names.TABLE_LIVE_ROWS, table=table) == 380
        assert page.one(names.TABLE_DEAD_ROWS, table=table) == 120
        assert page.of(names.TABLE_LAST_VACUUM, table=table) == {}
        sql.execute(f"vacuum {relation}")
        (size, vacuumed) = sql.execute(
            "select pg_relation_size(oid) + coalesce(pg_relation_size(nullif(reltoastrelid, 0)), 0),"
            " extract(epoch from pg_stat_get_last_vacuum_time(oid))::float8 from pg_class where oid = %s::regclass",
            [relation],
        ).fetchone() or (0, 0)
        page = driver.collect()
        assert page.one(names.TABLE_DEAD_ROWS, table=table) == 0
        assert page.one(names.TABLE_LIVE_ROWS, table=table) == 380
        assert page.one(names.TABLE_BYTES, table=table) == size > 0
        assert page.one(names.TABLE_LAST_VACUUM, table=table) == page.moment.wall(vacuumed)
    driver.close()
