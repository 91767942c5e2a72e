"""The tests' own servers do what the other tests rely on."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.bouncer import PgBouncer
from tests.pgmq_install import EXTENSION_VERSIONS, SHAPES, Shape, install_pgmq
from tests.servers import Database, PostgresServer, Server, remove_leftovers

OwnServer = Callable[..., PostgresServer]


def test_each_test_has_an_empty_database_of_its_own(database: Database, server: Server) -> None:
    assert database.name.startswith("pgqueue_test_")
    assert database.run("SELECT current_database()") == [(database.name,)]
    version = int(database.run("SHOW server_version_num")[0][0])
    assert version // 10000 == server.version


@pytest.mark.parametrize("extension", [False, True], ids=["sql", "extension"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_pgmq_works(database: Database, shape: Shape, extension: bool) -> None:
    install_pgmq(database.dsn, shape, extension=extension)
    if extension:
        (found,) = database.run("SELECT extversion FROM pg_extension WHERE extname = 'pgmq'")
        assert found == (EXTENSION_VERSIONS[shape],)
    database.run("SELECT pgmq.create('Mail')")
    database.run("SELECT pgmq.create_unlogged('fast')")
    columns = {
        name
        for (name,) in database.run(
            "SELECT column_name FROM information_schema.columns WHERE (table_schema, table_name) = ('pgmq', 'q_mail')"
        )
    }
    assert ("last_read_at" in columns) == (shape == "1.13")
    assert ("headers" in columns) == (shape != "1.4")

    for number in range(5):
        database.run("SELECT pgmq.send('Mail', jsonb_build_object('n', %s::int))", [number])
    database.run("""SELECT pgmq.send_batch('Mail', ARRAY['{"n": 5}', '{"n": 6}']::jsonb[], 60)""")
    assert database.run("SELECT msg_id, read_ct FROM pgmq.read('Mail', 30, 2)") == [(1, 1), (2, 1)]
    assert database.run("SELECT pgmq.archive('Mail', 1)") == [(True,)]
    assert database.run("SELECT pgmq.delete('Mail', 2)") == [(True,)]
    assert database.run("SELECT msg_id, message FROM pgmq.pop('Mail')") == [(3, {"n": 2})]
    assert database.run("SELECT vt > now() + interval '50 s' FROM pgmq.set_vt('Mail', 4, 60)") == [(True,)]
    (metrics,) = database.run("SELECT queue_length, queue_visible_length FROM pgmq.metrics('Mail')")
    assert metrics == (4, 1)
    assert database.run("SELECT count(*) FROM pgmq.a_mail") == [(1,)]
    assert database.run("SELECT pgmq.purge_queue('Mail')") == [(4,)]
    assert database.run("SELECT pgmq.drop_queue('Mail')") == [(True,)]
    assert database.run("SELECT queue_name FROM pgmq.list_queues()") == [("fast",)]


def test_a_partitioned_queue_works(partitioned_database: Database) -> None:
    partitioned_database.run("SELECT pgmq.send('parts', '{}') FROM generate_series(1, 3)")
    assert partitioned_database.run("SELECT count(*) FROM pgmq.read('parts', 30, 2)") == [(2,)]
    (kind,) = partitioned_database.run("SELECT relkind::text FROM pg_class WHERE oid = 'pgmq.q_parts'::regclass")
    assert kind == ("p",)
    assert partitioned_database.run("SELECT pgmq.drop_queue('parts')") == [(True,)]


def test_a_database_can_be_had_on_18_alone(database18: Database) -> None:
    assert database18.server.version == 18
    assert int(database18.run("SHOW server_version_num")[0][0]) // 10000 == 18


def test_transactions_can_be_prepared(database18: Database) -> None:
    with database18.connect() as connection:
        connection.execute("BEGIN; SELECT 1; PREPARE TRANSACTION 'held'")
        assert connection.execute("SELECT gid FROM pg_prepared_xacts").fetchone() == ("held",)
        connection.execute("ROLLBACK PREPARED 'held'")


@pytest.mark.parametrize("name", [None, "needs_password"])
def test_a_user_with_a_password_must_give_it(own_server: OwnServer, name: str | None) -> None:
    postgres18 = own_server()
    if name is None:
        user = postgres18.add_user(password="right")
    else:
        user = name
        with postgres18.connect() as connection:
            connection.execute("ALTER ROLE needs_password LOGIN PASSWORD 'right'")
    psycopg.connect(postgres18.dsn()).close()
    psycopg.connect(postgres18.dsn(user=user, password="right")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres18.dsn(user=user, password="wrong"))


@pytest.mark.parametrize("version", [15, 18])
def test_a_server_can_be_stopped_killed_and_changed(own_server: OwnServer, version: int) -> None:
    one = own_server(version=version, settings={"max_connections": 12})
    with one.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
        assert connection.execute("SHOW max_connections").fetchone() == ("12",)
    one.stop()
    with pytest.raises(psycopg.OperationalError):
        one.connect()
    one.start()
    port = one.port
    with one.connect() as connection:
        one.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    one.settings["max_connections"] = 15
    one.restart()
    assert one.port == port
    with one.connect() as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("15",)
        assert connection.execute("SELECT n FROM t").fetchone() == (1,)


@pytest.mark.parametrize("version", [15, 18])
def test_a_standby_follows_and_can_be_promoted(own_server: OwnServer, version: int) -> None:
    primary = own_server(version)
    replica = primary.standby()
    with primary.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    primary.wait_for_replay(replica)
    with replica.connect() as connection:
        assert connection.execute("SELECT n, pg_is_in_recovery() FROM t").fetchone() == (1, True)
    primary.kill()
    replica.promote()
    with replica.connect() as connection:
        connection.execute("INSERT INTO t VALUES (2)")


def test_who_may_log_in_can_be_changed(own_server: OwnServer) -> None:
    one = own_server()
    trusted = one.add_user()
    one.replace_hba("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 reject")
    psycopg.connect(one.dsn()).close()
    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        psycopg.connect(one.dsn(user=trusted))


def test_pgbouncer_shares_its_pool(pgbouncer: Callable[..., PgBouncer], database: Database) -> None:
    pool = pgbouncer(database.server, database.name, pool_size=1)
    seen = set()
    for _ in range(3):
        with psycopg.connect(pool.dsn(), autocommit=True) as connection:
            seen.add(connection.execute("SELECT pg_backend_pid()").fetchone())
    assert len(seen) == 1


@pytest.mark.parametrize("version", [15, 18])
def test_statements_are_counted(request: pytest.FixtureRequest, version: int) -> None:
    shared: Server = request.getfixturevalue(f"postgres{version}")
    database = shared.create_database()
    database.run("CREATE EXTENSION pg_stat_statements")
    assert database.run("SELECT count(*) > 0 FROM pg_stat_statements") == [(True,)]
    shared.drop_database(database.name)


def test_promtool_runs(promtool: Path) -> None:
    assert (
        "promtool, version"
        in subprocess.run([promtool, "--version"], capture_output=True, text=True, check=True).stdout
    )


@pytest.mark.usefixtures("pgbouncer")  # skips where it is missing
def test_servers_and_their_files_do_not_outlive_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "start.py"
    script.write_text(
        textwrap.dedent("""
            import signal, time
            from tests.bouncer import PgBouncer, pgbouncer_binary
            from tests.servers import Installation, PostgresServer
            signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as a shell has it for what it starts in the background
            server = PostgresServer(Installation.of(18)).start()
            pool = PgBouncer(pgbouncer_binary(), server)
            print(server.directory, server.dsn(), pool.dsn("pgbouncer"), flush=True)
            time.sleep(600)
        """)
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, script], cwd=root, env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder, *alive = process.stdout.readline().split()
        assert len([dsn for dsn in alive if _answers(dsn)]) == 2
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while alive and time.monotonic() < until:
        alive = [dsn for dsn in alive if _answers(dsn)]
        time.sleep(0.1)
    assert not alive
    remove_leftovers()
    assert not Path(folder).parent.exists()


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2, autocommit=True).close()
    except psycopg.OperationalError:
        return False
    return True


LACKING = {
    "test": "import pytest\ndef test_lacks(): pytest.skip('run `.ci/tools`')\n",
    "file": "import pytest\npytest.skip('run `.ci/tools`', allow_module_level=True)\n",
}


@pytest.mark.parametrize(
    ("variables", "status", "what", "workers"),
    [
        *[({}, 0, "test", 0), ({"CI": "false"}, 0, "test", 0), ({}, 0, "test", 2)],
        *[({"CI": value}, 1, "test", 0) for value in ("true", "1")],
        ({"PGQUEUE_NO_SKIPS": "1"}, 1, "test", 0),
        *[({"CI": "true"}, 1, what, workers) for what, workers in (("file", 0), ("test", 2), ("file", 2))],
    ],
    ids=str,
)
def test_a_skip_fails_the_run_where_nothing_may_be_skipped(
    tmp_path: Path, variables: dict[str, str], status: int, what: str, workers: int
) -> None:
    (tmp_path / "test_skips.py").write_text(LACKING[what])
    (tmp_path / "test_there.py").write_text("def test_has(): pass\n")
    options: list[str | Path] = [
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        tmp_path,
        "-n",
        str(workers),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path],
        cwd=Path(__file__).parents[2],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    told = "test_skips.py::test_lacks: Skipped: run" if what == "test" else "test_skips.py: Skipped: run"
    assert (told in done.stdout.partition("where nothing may be skipped")[2]) == (status == 1)
