"""`sql role` on real servers: made, made again, brought up to date and dropped; found by the exporter, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import names
from exporter.cli import main
from exporter.collector import check
from exporter.config import Database as Configured
from exporter.sources.globs import regex
from exporter.sources.installed import INTERFACE
from exporter.sources.role_sql import KINDS, expected, role_lines
from exporter.sources.statements import SCHEMA
from tests.exporter import Driver, configured
from tests.pgmq_install import install_pgmq
from tests.roles import ROLE, run_script, set_up_role
from tests.servers import Database, Server, flush

GLOBS = st.text(alphabet="ab-!*?[]^\\.%_'$\u00e9", max_size=7)
BY_MESSAGE = {"from": [{"message": "project_id"}]}


def of(dsn: str, **keys: Any) -> Configured:
    return configured(dsn, **keys).databases[0]


def printed(*arguments: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(main, ["sql", "role", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def send(database: Database, queue: str, jobs: int) -> None:
    with database.connect() as connection:
        connection.execute(
            """select pgmq.send(%s, '{"project_id": "acme"}') from generate_series(1, %s)""", [queue, jobs]
        )
        flush(connection)


@pytest.fixture
def jobs(pgmq_database: Database) -> Database:
    """The queues ``mail`` and ``other``, two jobs in each."""
    for queue in ("mail", "other"):
        pgmq_database.run("select pgmq.create(%s)", [queue])
        send(pgmq_database, queue, 2)
    return pgmq_database


@pytest.fixture
def owned(server: Server) -> Iterator[Database]:
    """A database and pgmq in it, which belong to a role that is no superuser and may make roles, as on Supabase."""
    database = server.create_database()
    owner = server.add_user(options="CREATEROLE")
    database.run(f'alter database "{database.name}" owner to "{owner}"')
    database.dsn = database.dsn_as(owner)
    install_pgmq(database.dsn)
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("select pgmq.create('mail')")
        connection.execute("select pgmq.send('mail', '{}')")
    yield database
    server.drop_database(database.name)


def test_it_is_made_again_and_dropped(jobs: Database) -> None:
    made, dropped = printed("--dsn", jobs.dsn, "--role", "pgqueue_test_made"), ""
    assert jobs.dsn not in made
    run_script(jobs.dsn, made)
    first = jobs.run("select proname, prosrc, proconfig, proacl::text from pg_proc where proname like 'pgmq\\_%'")
    assert run_script(jobs.dsn, made) == []
    assert (
        jobs.run("select proname, prosrc, proconfig, proacl::text from pg_proc where proname like 'pgmq\\_%'") == first
    )
    dropped = printed("--dsn", jobs.dsn, "--role", "pgqueue_test_made", "--drop")
    for _ in range(2):
        run_script(jobs.dsn, dropped)
        assert jobs.run("select from pg_namespace where nspname = %s", [SCHEMA]) == []
        assert jobs.run("select from pg_roles where rolname = 'pgqueue_test_made'") == []


def test_a_role_that_is_no_superuser_makes_it(owned: Database) -> None:
    """As on Supabase; without the right to see others' transactions, it says what that means."""
    role = f"{ROLE}_of_{owned.name}"
    warnings = run_script(owned.dsn, role_lines(of(owned.dsn), role))
    assert [warning for warning in warnings if "vacuum horizon" in warning] == warnings != []
    assert run_script(owned.dsn, role_lines(of(owned.dsn), role)) == warnings
    driver = Driver(owned.dsn_as(role))
    page = driver.collect()
    assert page.jobs("mail") == (1, 0, 0)
    assert all(installed.fits for installed in driver.collection.session.functions.values())
    driver.close()
    report = check.examine(of(owned.dsn_as(role)))
    assert report.ok, report.findings
    run_script(owned.dsn, printed("--dsn", owned.dsn, "--role", role, "--drop"))
    assert owned.run("select from pg_roles where rolname = %s", [role]) == []


def test_nobody_else_may_call_them(jobs: Database) -> None:
    """Whatever default privileges say."""
    other = jobs.server.add_user()
    jobs.run(f'alter default privileges grant execute on functions to "{other}"')
    jobs.run(f'alter default privileges grant usage on schemas to "{other}"')
    set_up_role(jobs.dsn, of(jobs.dsn))
    assert jobs.run(
        """select distinct coalesce(a.grantee::regrole::text, 'public') from pg_proc p, aclexplode(p.proacl) a
            where p.pronamespace = %s::regnamespace and a.grantee <> p.proowner""",
        [SCHEMA],
    ) == [(ROLE,)]
    (usage,) = jobs.run("select has_schema_privilege(%s, %s, 'usage')", [other, SCHEMA])
    assert usage == (False,)
    assert (
        jobs.run("select proname from pg_proc where pronamespace = %s::regnamespace and proacl is null", [SCHEMA]) == []
    )


@pytest.mark.parametrize(
    "right",
    ["alter role {} bypassrls", "alter role {} createrole", "grant pg_monitor to {}", "grant pg_read_all_data to {}"],
)
def test_a_role_that_can_do_more_is_not_accepted(jobs: Database, right: str) -> None:
    role = jobs.server.add_user()
    jobs.run(right.format(f'"{role}"'))
    with pytest.raises(psycopg.errors.RaiseException, match="can do more than it should"):
        run_script(jobs.dsn, role_lines(of(jobs.dsn), role))
    assert jobs.run("select from pg_namespace where nspname = %s", [SCHEMA]) == []


def test_a_schema_of_someone_elses_is_not_used(jobs: Database) -> None:
    """Its owner could put other functions there."""
    other = jobs.server.add_user()
    jobs.run(f'create schema {SCHEMA} authorization "{other}"')
    with pytest.raises(psycopg.errors.RaiseException, match="belongs to"):
        run_script(jobs.dsn, role_lines(of(jobs.dsn), ROLE))


def test_what_else_is_in_the_schema_is_not_dropped(jobs: Database) -> None:
    set_up_role(jobs.dsn, of(jobs.dsn))
    jobs.run(f"create table {SCHEMA}.precious (n int)")
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        run_script(jobs.dsn, printed("--dsn", jobs.dsn, "--role", ROLE, "--drop"))
    assert jobs.run(f"select count(*) from {SCHEMA}.precious") == [(0,)]


def test_a_new_queue_needs_nothing(jobs: Database) -> None:
    driver = Driver(set_up_role(jobs.dsn, of(jobs.dsn)))
    driver.collect()
    jobs.run("select pgmq.create('Re.port s%')")
    send(jobs, "Re.port s%", 3)
    page = driver.collect()
    assert page.jobs("Re.port s%") == (3, 0, 0)
    jobs.run("select pgmq.drop_queue('mail')")
    page = driver.collect()
    assert page.jobs("mail") == (0, 0, 0)
    assert page.jobs("other") == (2, 0, 0)
    driver.close()


def test_they_are_preferred_found_later_and_left_when_they_go(jobs: Database) -> None:
    dsn = set_up_role(jobs.dsn, of(jobs.dsn))
    sources = [option for kind in KINDS for option in ("--source", kind.name)]
    run_script(jobs.dsn, printed("--dsn", jobs.dsn, *sources, "--drop"))
    driver = Driver(dsn)
    page = driver.collect()
    assert not driver.collection.session.functions
    assert page.of(names.JOBS, queue="mail") == {}
    set_up_role(jobs.dsn, of(jobs.dsn))
    driver.collection.session._functions_due = 0.0  # a minute later
    assert driver.collect().jobs("mail") == (2, 0, 0)
    # Made anew while the exporter runs: the next call finds them.
    set_up_role(jobs.dsn, of(jobs.dsn))
    send(jobs, "mail", 1)
    assert driver.collect().jobs("mail") == (3, 0, 0)
    # Gone: tables are read, where that is allowed.
    jobs.run(f'grant usage on schema pgmq to "{ROLE}"')
    jobs.run(f'grant select on all tables in schema pgmq to "{ROLE}"')
    run_script(jobs.dsn, printed("--dsn", jobs.dsn, "--source", "pgmq", "--drop"))
    send(jobs, "mail", 1)
    driver.collect()
    assert driver.recount().jobs("mail") == (4, 0, 0)
    driver.close()


def test_a_superuser_needs_none(jobs: Database) -> None:
    """It is not made to run what others may have put there."""
    set_up_role(jobs.dsn, of(jobs.dsn))
    driver = Driver(jobs.dsn)
    assert driver.collect().jobs("mail") == (2, 0, 0)
    assert driver.collection.session.functions == {}
    driver.close()


def findings(dsn: str, **keys: Any) -> list[tuple[str, str]]:
    """What `check` tells of the functions."""
    report = check.examine(of(dsn, **keys))
    return [(found.level, found.message) for found in report.findings if found.about.startswith("functions")]


def test_check_tells_when_they_differ_from_the_configuration(jobs: Database) -> None:
    dsn = set_up_role(jobs.dsn, of(jobs.dsn, tenants=BY_MESSAGE))
    assert {level for level, _ in findings(dsn, tenants=BY_MESSAGE)} == {"note"}
    changed = {"from": [{"message": "customer"}]}
    found = [message for level, message in findings(dsn, tenants=changed) if level == "error"]
    assert len(set(found)) == 1
    assert "tenants" in found[0]
    assert "pgqueue-exporter sql role" in found[0]
    # The numbers go on; a tenant by another rule is never shown.
    driver = Driver(dsn, tenants=changed)
    driver.collect()
    page = driver.recount()
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.TENANTS) == 0
    assert page.one(names.COLLECTION_SUCCESS, source="pgmq", part=names.COUNTS) == 1
    assert "acme" not in {labels[3] for labels in page.of(names.JOBS)}
    driver.close()
    set_up_role(jobs.dsn, of(jobs.dsn, tenants=changed))
    assert {level for level, _ in findings(dsn, tenants=changed)} == {"note"}


def test_check_tells_when_they_are_older(jobs: Database) -> None:
    dsn = set_up_role(jobs.dsn, of(jobs.dsn))
    (comment,) = jobs.run(f"select obj_description('{SCHEMA}.pgmq_head_by_vt'::regproc, 'pg_proc')")[0]
    signature = jobs.run(f"select '{SCHEMA}.pgmq_head_by_vt'::regproc::oid::regprocedure::text")[0][0]
    text = expected(of(dsn))["pgmq_head_by_vt"][1].text
    older = comment.replace(text, "0123456789abcdef")
    jobs.run(f"comment on function {signature} is '{older}'")
    assert [level for level, _ in findings(dsn)].count("warning") == 1
    other = comment.replace(f"interface {INTERFACE}", "interface 0")
    jobs.run(f"comment on function {signature} is '{other}'")
    assert [level for level, _ in findings(dsn)].count("error") == 1


OTHERS = {"job_tables": [{"name": "t", "table": "public.t", "source": "none", "queue": "'x'", "finished": "job.at"}]}


def test_what_the_configuration_has_no_use_for_is_told_and_dropped(jobs: Database) -> None:
    jobs.run("create table public.t (at timestamptz)")
    dsn = set_up_role(jobs.dsn, of(jobs.dsn, **OTHERS))
    assert {level for level, _ in findings(dsn, **OTHERS)} == {"note"}
    fewer: dict[str, Any] = {"pgboss": {"enabled": False}, "vacuum": False}
    (told,) = [message for level, message in findings(dsn, **fewer) if level == "warning"]
    assert "no use for" in told
    assert "pgqueue-exporter sql role" in told
    # Of one kind only, the others stay.
    run_script(jobs.dsn, role_lines(of(jobs.dsn, **fewer), ROLE, ["pgmq"]))
    assert kinds(jobs) == {"complaint", "involved", "jobtable", "pgboss", "pgmq", "vacuum"}
    for _ in range(2):
        set_up_role(jobs.dsn, of(jobs.dsn, **fewer))
        assert kinds(jobs) == {"complaint", "involved", "pgmq"}
    assert {level for level, _ in findings(dsn, **fewer)} == {"note"}


def kinds(database: Database) -> set[str]:
    """Whose functions there are."""
    rows = database.run("select proname::text from pg_proc where pronamespace = %s::regnamespace", [SCHEMA])
    return {name.split("_")[0] for (name,) in rows}


HOSTILE = [
    "'; drop table public.canary; --",
    "$function$",
    "$query$ %s",
    "%1$I %2$s",
    "{x}",
    'quo"te',
    "back\\slash'",
    "a\nb",
]


@pytest.mark.parametrize("key", HOSTILE)
def test_what_is_configured_stays_text(jobs: Database, key: str) -> None:
    jobs.run("create table public.canary (n int)")
    jobs.run("select pgmq.send('mail', jsonb_build_object(%s::text, 'gamma'))", [key])
    tenants = {
        "from": [{"queues": [f"{key}*"], "headers": key}, {"queues": ["o*"], "column": key}, {"message": key}],
        "shown": 5,
    }
    driver = Driver(set_up_role(jobs.dsn, of(jobs.dsn, tenants=tenants)), tenants=tenants)
    driver.collect()
    page = driver.recount()
    assert page.one(names.JOBS, queue="mail", state=names.READY, tenant="gamma") == 1
    assert page.one(names.JOBS, queue="other", state=names.READY, tenant="_none") == 2
    assert jobs.run("select from public.canary") == []
    driver.close()


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs=st.lists(st.tuples(GLOBS, GLOBS), min_size=30, max_size=30))
def test_a_glob_means_the_same_in_a_function(server: Server, pairs: list[tuple[str, str]]) -> None:
    with server.connect() as connection:
        for glob, name in pairs:
            pattern = regex(glob)
            row = connection.execute("select %s::text ~ %s", [name, pattern]).fetchone()
            assert row == (None if pattern is None else fnmatchcase(name, glob),), (glob, name, pattern)
            assert pattern is not None or not fnmatchcase(name, glob)


# Row-level security.


def restrict(database: Database, how: str) -> None:
    """Rows of mail that others see, and this role does not."""
    database.run("alter table pgmq.q_mail enable row level security")
    if how == "forced":
        database.run("alter table pgmq.q_mail force row level security")
    elif how == "policies for others":
        other = database.server.add_user()
        database.run(f'create policy theirs on pgmq.q_mail for select to "{other}" using (true)')
    elif how == "a policy that errors":
        database.run("create policy broken on pgmq.q_mail using ((1 / (msg_id - msg_id)) = 1)")


RESTRICTIONS = ["enabled", "policies for others", "forced", "a policy that errors"]


@pytest.mark.parametrize("how", RESTRICTIONS)
def test_hidden_rows_are_an_error_by_queue_and_never_a_zero(jobs: Database, how: str) -> None:
    role = jobs.server.add_user()
    jobs.run(f'grant usage on schema pgmq to "{role}"')
    for kind in ("tables", "sequences"):
        jobs.run(f'grant select on all {kind} in schema pgmq to "{role}"')
    restrict(jobs, how)
    driver = Driver(jobs.dsn_as(role))
    page = driver.collect()
    assert page.one(names.ROWS_HIDDEN, queue="mail") == 1
    assert page.one(names.ROWS_HIDDEN, queue="other") == 0
    assert page.of(names.JOBS, queue="mail") == {}
    assert page.jobs("other") == (2, 0, 0)
    driver.close()
    report = check.examine(of(jobs.dsn_as(role)))
    told = [found.message for found in report.findings if found.about == "queue mail"]
    assert any("row-level security" in message and "sql role" in message for message in told), told
    assert not [found for found in report.findings if found.about == "queue other"]


def test_a_hidden_archive_is_told_and_the_queue_is_watched(jobs: Database) -> None:
    role = jobs.server.add_user()
    jobs.run(f'grant usage on schema pgmq to "{role}"')
    for kind in ("tables", "sequences"):
        jobs.run(f'grant select on all {kind} in schema pgmq to "{role}"')
    jobs.run("alter table pgmq.a_mail enable row level security")
    driver = Driver(jobs.dsn_as(role))
    page = driver.collect()
    assert page.one(names.ROWS_HIDDEN, queue="mail") == 1
    assert page.one(names.ROWS_HIDDEN, queue="other") == 0
    assert page.jobs("mail") == (2, 0, 0)
    driver.close()


@pytest.mark.parametrize("how", RESTRICTIONS)
def test_through_the_functions_of_an_owner_whom_it_does_not_bind_all_rows_count(jobs: Database, how: str) -> None:
    restrict(jobs, how)
    driver = Driver(set_up_role(jobs.dsn, of(jobs.dsn)))
    page = driver.collect()
    assert page.one(names.ROWS_HIDDEN, queue="mail") == 0
    assert page.jobs("mail") == (2, 0, 0)
    driver.close()


@pytest.mark.parametrize(("how", "hidden"), [("enabled", 0), ("forced", 1), ("a policy that errors", 0)])
def test_the_owner_of_the_tables_owns_the_functions(owned: Database, how: str, hidden: int) -> None:
    """Row-level security does not bind an owner, unless it is forced: then it is told, when made and on the page."""
    restrict(owned, how)
    role = f"{ROLE}_of_{owned.name}"
    warnings = run_script(owned.dsn, role_lines(of(owned.dsn), role))
    assert any("q_mail" in warning for warning in warnings) == bool(hidden)
    driver = Driver(owned.dsn_as(role))
    page = driver.collect()
    assert page.one(names.ROWS_HIDDEN, queue="mail") == hidden
    assert page.of(names.JOBS, queue="mail") == {} if hidden else page.jobs("mail") == (1, 0, 0)
    # Asked all the same, they refuse: no zero comes from a function either.
    if hidden:
        with owned.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level"):
            connection.execute(
                f"select * from {SCHEMA}.pgmq_head_by_vt(array['mail'], array[0], array['-infinity'::timestamptz])"
            )
    driver.close()
    run_script(owned.dsn, printed("--dsn", owned.dsn, "--role", role, "--drop"))


def test_of_several_databases_one_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "pgqueue.yml"
    path.write_text("databases: [{name: a, dsn: 'host=x'}, {name: b, dsn: 'host=y'}]")
    done = CliRunner().invoke(main, ["sql", "role", "--config", str(path)])
    assert done.exit_code == 1
    assert "--database a, b" in done.stderr
    assert "the database 'b'" in printed("--config", str(path), "--database", "b")
