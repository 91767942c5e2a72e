"""What the least-privileged role cannot do: whatever it calls, with whatever arguments, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from exporter.sources.statements import SCHEMA
from tests.exporter import configured
from tests.pgboss import PgBoss
from tests.pgmq_install import install_pgmq
from tests.roles import ROLE, set_up_role
from tests.servers import Database, Server

MARK = "Mark3dPayload"
TENANTS = {"from": [{"queues": ["mail*"], "message": "project_id"}, {"headers": "tenant"}]}
QUEUES = ("mail", "Re.port s%", "plain")
JOBS = {
    "name": "tracking",
    "table": "public.tracking",
    "source": "none",
    "queue": "case when job.n = 7 then (job.secret::integer)::text else 'mail' end",
    "enqueued": "job.at",
    "finished": "job.at",
}
KEYS: dict[str, Any] = {"tenants": TENANTS, "job_tables": [JOBS]}


@pytest.fixture(scope="module")
def marked(server: Server) -> Iterator[Database]:
    """Queues whose jobs carry the mark wherever a payload may be, and the role."""
    database = server.create_database()
    install_pgmq(database.dsn)
    with database.connect() as connection:
        for queue in QUEUES:
            connection.execute("select pgmq.create(%s)", [queue])
            connection.execute(
                """select pgmq.send(%s, jsonb_build_object('project_id', 'acme', 'number', n, %s::text, %s::text),
                                    jsonb_build_object('tenant', 'beta', %s::text, %s::text))
                     from generate_series(1, 20) n""",
                [queue, MARK, MARK, MARK, MARK],
            )
            connection.execute("select pgmq.read(%s, 60, 5)", [queue])
            connection.execute("select pgmq.archive(%s, array[1, 2, 3]::bigint[])", [queue])
        connection.execute("create table public.tracking (n int, secret text, at timestamptz)")
        connection.execute(
            "insert into public.tracking select n, %s, to_timestamp(n) from generate_series(1, 20) n", [MARK]
        )
        connection.execute("create index on public.tracking (at)")
        connection.execute("create table public.others (secret text)")
        connection.execute("insert into public.others values (%s)", [MARK])
    boss = PgBoss("12", database.dsn)
    boss.create_queue("mail")
    boss.insert("mail", [{"data": {"project_id": "acme", "body": MARK, MARK: MARK}}] * 20)
    boss.create_queue("secret")
    boss.insert("secret", [{"data": {"project_id": MARK}}])
    database.run("update pgboss.job set output = jsonb_build_object('error', %s::text)", [MARK])
    boss.close()
    set_up_role(database.dsn, configured(database.dsn, **KEYS).databases[0])
    yield database
    server.drop_database(database.name)


def as_role(database: Database) -> psycopg.Connection[Any]:
    """A connection of the role's, which may try to write."""
    connection = database.connect(ROLE)
    connection.execute("set default_transaction_read_only = off")
    return connection


def functions(database: Database) -> dict[str, list[str]]:
    """Every function that the role may call there, by name: the types of its arguments."""
    rows = database.run(
        """select p.proname, array(select format_type(t, null) from unnest(p.proargtypes) t)
             from pg_proc p where p.pronamespace = %s::regnamespace and has_function_privilege(%s, p.oid, 'execute')""",
        [SCHEMA, ROLE],
    )
    return dict(rows)


def everything_said(connection: psycopg.Connection[Any], statement: sql.Composed | str) -> str:
    """All that the server answers: rows, or every field of its error, and notices."""
    notices: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        notices.append(repr(fields(notice)))

    connection.add_notice_handler(hear)
    try:
        cursor = connection.execute(statement.encode() if isinstance(statement, str) else statement)
        found = repr(cursor.fetchall()) if cursor.description else ""
    except psycopg.Error as error:
        found = str(error) + repr(fields(error.diag))
    finally:
        connection.remove_notice_handler(hear)
    return found + "".join(notices)


def fields(diagnostic: Any) -> list[str]:
    names = [name for name in dir(diagnostic) if name.startswith(("message", "context", "internal", "source"))]
    return [str(getattr(diagnostic, name)) for name in names]


text = st.one_of(
    st.sampled_from(
        [
            *QUEUES,
            "meta",
            "nobody",
            "__pgboss__send-it",
            "secret",
            "queue",
            "tenant",
            "outcome",
            "' or '1'='1",
            "mail; select 1",
            f"{MARK}",
            "q_mail",
            "%s %I $1",
        ]
    ),
    st.text(max_size=20).filter(lambda value: "\x00" not in value and value.isprintable()),
)
values: dict[str, st.SearchStrategy[Any]] = {
    "text": st.one_of(text, st.just("{acme}"), st.just("{"), st.just('{"x","message"}')),
    "bigint": st.one_of(st.integers(-3, 30), st.integers(-(2**63), 2**63 - 1)),
    "double precision": st.one_of(st.floats(0, 2e9), st.floats()),
    "real": st.floats(-1, 101, width=32),
    "boolean": st.booleans(),
    "timestamp with time zone": st.sampled_from(["-infinity", "infinity", "now", "epoch", "2300-01-01", MARK, "'"]),
    "oid": st.integers(0, 2**32 - 1),
}


@settings(max_examples=40, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_function_and_no_argument_gives_a_payload(marked: Database, data: st.DataObject) -> None:
    """In any order, for what a function has planned or looked up stays with the session."""
    known = functions(marked)
    length = data.draw(st.integers(0, 3))
    with as_role(marked) as connection:
        connection.execute("set statement_timeout = '2s'")
        connection.execute("set client_min_messages = debug1")
        connection.execute("set standard_conforming_strings = off")
        for name in data.draw(st.permutations(sorted(known))):
            arguments: list[Any] = []
            for kind in known[name]:
                one = values[kind.removesuffix("[]")]
                if kind == "text[]" and not arguments:
                    one = st.one_of(st.sampled_from(QUEUES), st.sampled_from(QUEUES), text)
                drawn = data.draw(st.lists(one, min_size=length, max_size=length) if kind.endswith("[]") else one)
                arguments.append(sql.SQL("{}::{}").format(sql.Literal(drawn), sql.SQL(kind)))
            call = sql.SQL("select * from {}({})").format(sql.Identifier(SCHEMA, name), sql.SQL(", ").join(arguments))
            given_away = "" if any(MARK in repr(argument) for argument in arguments) else MARK
            connection.execute(
                sql.SQL("set row_security = {}").format(sql.SQL(data.draw(st.sampled_from(["on", "off"]))))
            )
            said = everything_said(connection, call)
            # What was asked with the mark may be quoted back as the argument that it was.
            assert not given_away or given_away not in said, f"{name}: {said[:1000]}"


def test_an_error_over_a_row_does_not_quote_it(marked: Database) -> None:
    """The job table's own expression fails on row 7, and Postgres' message would show what stands there."""
    call = f"select * from {SCHEMA}.jobtable_tracking_%s(%s, %s)"
    with as_role(marked) as connection:
        said = everything_said(connection, call % ("finished", 6.5, 7.5))
        assert "22P02" in said
        assert MARK not in said
        assert "('mail', 'completed', 6" in everything_said(connection, call % ("finished", 0, 6))
    with marked.connect() as owner:
        assert MARK in everything_said(owner, "select secret::integer from public.tracking where n = 7")


@pytest.mark.parametrize("state", ["P0001", "42703", "22P02"])
def test_an_error_of_the_types_does_not_quote_a_row_either(marked: Database, state: str) -> None:
    """It returns none, but the planner runs a stable function of the operator's view, which reads one."""
    marked.run(
        f"""create or replace function public.limited() returns int language plpgsql stable as $$
            begin
              raise exception using errcode = '{state}', message = (select secret from public.tracking limit 1);
            end $$"""
    )
    marked.run("create or replace view public.guarded as select * from public.tracking where n > public.limited()")
    marked.run("analyze public.tracking")
    keys = {"job_tables": [{**JOBS, "name": "guarded", "table": "public.guarded", "queue": "job.secret"}]}
    set_up_role(marked.dsn, configured(marked.dsn, **keys).databases[0])
    try:
        with as_role(marked) as connection:
            said = everything_said(connection, f"select * from {SCHEMA}.jobtable_guarded_type(array['queue'])")
            assert state in said or "no such column" in said
            assert MARK not in said
        with marked.connect() as owner:
            assert MARK in everything_said(owner, "select secret from public.guarded limit 0")
    finally:
        marked.run("drop view public.guarded")
        marked.run("drop function public.limited")
        set_up_role(marked.dsn, configured(marked.dsn, **KEYS).databases[0])


def test_the_functions_answer(marked: Database) -> None:
    """Else the test above would prove nothing: with sensible arguments, each gives what it is for."""
    with as_role(marked) as connection:
        for queue in QUEUES:
            head = connection.execute(
                f"select * from {SCHEMA}.pgmq_head_by_vt(array[%s], array[0::bigint], array['-infinity'::timestamptz])",
                [queue],
            ).fetchone()
            assert head is not None
            assert head[2] == 4
            row = connection.execute(
                f"select tenant, ready + in_flight from {SCHEMA}.pgmq_tenants_all("
                "array[%s], array['{}'], array[10::bigint], array[10::bigint], array[0::bigint], array[100::bigint])",
                [queue],
            ).fetchone()
            assert row == ("acme" if queue == "mail" else "beta", 17)
        row = connection.execute(
            f"select tenant, ready from {SCHEMA}.pgboss_tenants_all("
            "array['mail'], array['{}'], array[10::bigint], array[10::bigint], array[100::bigint])"
        ).fetchone()
        assert row == ("acme", 20)


def test_a_queue_is_not_grouped_by_the_key_of_another(marked: Database) -> None:
    """Asked together with one whose tenant stands in its payload, another one's payload stays where it is."""
    with as_role(marked) as connection:
        for names, tenants in (("mail,secret", {("mail", "acme")}), ("secret,mail", {("secret", None)})):
            rows = connection.execute(
                f"select queue, tenant from {SCHEMA}.pgboss_tenants_scan(%s, '{{}}', 10, 10)", [f"{{{names}}}"]
            ).fetchall()
            assert set(rows) == tenants


@pytest.mark.parametrize("what", ["window", "scan"])
def test_asked_for_the_tenants_of_no_queue_it_tells_none(marked: Database, what: str) -> None:
    """Jobs are counted all the same: those of a queue without tenants belong to none."""
    with as_role(marked) as connection:
        arguments = [
            {
                "queues": "'{mail}'",
                "names": "'{mail}'",
                "divided": "'{}'",
                "after": "0",
                "until": "4e9",
                "most": "10",
            }.get(name.removeprefix("_"), "'{}'")
            for name in argument_names(marked, f"pgboss_{what}_tenants")
        ]
        call = f"pgboss_{what}_tenants({', '.join(arguments)})"
        rows = connection.execute(f"select sum(enqueued)::int, count(tenant) from {SCHEMA}.{call}".encode())
        assert rows.fetchall() == [(20, 0)]


def argument_names(database: Database, function: str) -> list[str]:
    rows = database.run("select proargnames[1:pronargs] from pg_proc where proname = %s", [function])
    names: list[str] = rows[0][0]
    return names


def test_tables_are_refused(marked: Database) -> None:
    with as_role(marked) as connection:
        for table in (
            "pgmq.q_mail",
            "pgmq.a_mail",
            "pgmq.meta",
            "pgboss.job",
            "pgboss.queue",
            "public.others",
            "pg_authid",
            "pg_statistic",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from {table}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"copy {table} to stdout")
        for call in ("pgmq.read('mail', 1, 1)", "pgmq.metrics('mail')", f"{SCHEMA}.pgmq_table('mail', 'q_')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select * from {call}")
        assert connection.execute("select count(*) from pg_stats where tablename like 'q\\_%'").fetchone() == (0,)


def test_other_sessions_query_texts_are_hidden(marked: Database) -> None:
    with marked.connect() as other, as_role(marked) as connection:
        other.execute("begin isolation level repeatable read")
        other.execute(f"select '{MARK}'")
        rows = connection.execute("select query, pid from pg_stat_activity where pid <> pg_backend_pid()").fetchall()
        assert {query for query, _ in rows} <= {"<insufficient privilege>", None}
        assert other.info.backend_pid in {pid for _, pid in rows}
        held = connection.execute(f"select holder, held is not null from {SCHEMA}.vacuum()").fetchall()
        assert ("transaction", True) in held
        assert MARK not in repr(connection.execute(f"select * from {SCHEMA}.vacuum()").fetchall())


@pytest.mark.parametrize(
    "statement",
    [
        "insert into pgmq.q_mail (vt, message) values (now(), '{}')",
        "update pgmq.q_mail set vt = now()",
        "delete from pgmq.q_mail",
        "truncate pgmq.q_mail",
        "begin; lock table pgmq.q_mail",
        "select * from pgmq.q_mail for update",
        "insert into pgmq.meta (queue_name) values ('x')",
        "drop table pgmq.q_mail",
        "alter table pgmq.q_mail disable row level security",
        "create index on pgmq.q_mail (vt)",
        "create table pgmq.mine (n int)",
        "create table public.mine (n int)",
        "create function public.mine() returns int language sql as 'select 1'",
        f"create table {SCHEMA}.mine (n int)",
        f"create function {SCHEMA}.mine() returns int language sql as 'select 1'",
        f"create or replace function {SCHEMA}.complaint(text, text) returns text language sql as 'select 1'",
        f"drop function {SCHEMA}.vacuum()",
        f"alter function {SCHEMA}.vacuum() security invoker",
        f"comment on function {SCHEMA}.vacuum() is ''",
        f"grant execute on function {SCHEMA}.vacuum() to public",
        f"alter schema {SCHEMA} owner to {ROLE}",
        "create schema mine",
        "create role mine",
        f"alter role {ROLE} bypassrls",
        f"alter role {ROLE} connection limit -1",
        "grant pg_read_all_data to current_user",
        "set role postgres",
        "set session authorization postgres",
        "create extension pg_stat_statements",
        "copy (select 1) to program 'true'",
        "copy (select 1) to '/tmp/pgqueue_test'",
        "select pg_read_file('PG_VERSION')",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename <> current_user",
        "alter system set work_mem = '1GB'",
        "create event trigger mine on ddl_command_start execute function mine()",
        "do language plpythonu 'pass'",
        "select pg_stat_reset()",
        "vacuum pgmq.q_mail",
        "analyze pgmq.q_mail",
    ],
)
def test_it_cannot_write(marked: Database, statement: str) -> None:
    with as_role(marked) as connection:
        before = marked.run("select count(*), max(msg_id) from pgmq.q_mail")
        if statement.startswith(("vacuum", "analyze", "grant execute")):
            said = everything_said(connection, statement)  # a warning, and nothing done
            assert "permission denied" in said or "no privileges were granted" in said
        else:
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject)) as refused:
                connection.execute(statement)
            assert refused.type is psycopg.errors.InsufficientPrivilege or "plpythonu" in statement
        assert marked.run("select count(*), max(msg_id) from pgmq.q_mail") == before


def test_it_reads_only_unless_it_says_otherwise(marked: Database) -> None:
    with marked.connect(ROLE) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("create table public.mine (n int)")


SHADOWS = (
    "create function {where}.{name}({arguments}) returns {result} language plpgsql as "
    "$$ begin insert into public.ran values (current_user, '{name}'); return null; end $$"
)
FUNCTIONS = (
    ("now", "", "timestamptz"),
    ("lower", "text", "text"),
    ("format", "text, variadic text[]", "text"),
    ("to_timestamp", "double precision", "timestamptz"),
    ("cardinality", "anyarray", "int"),
    ("convert_to", "text, text", "bytea"),
    ("complaint", "text, text", "text"),
    ("pgmq_table", "text, text", "name"),
    ("involved", "oid[]", "oid"),
    ("row_security_active", "oid", "boolean"),
)
OPERATORS = (
    ("<=", "timestamptz", "timestamptz", "boolean"),
    (">=", "bigint", "bigint", "boolean"),
    ("=", "text", "text", "boolean"),
    ("||", "text", "text", "text"),
    ("->>", "jsonb", "text", "text"),
    ("~", "text", "text", "boolean"),
)


def test_nothing_of_the_callers_runs_as_the_owner(marked: Database) -> None:
    """Functions, operators and tables that would be found before Postgres' own, where the role could put them."""
    marked.run("create table if not exists public.ran (who name, what text)")
    marked.run(f'grant create, usage on schema public to "{ROLE}"')
    marked.run(f'grant insert, select on public.ran to "{ROLE}"')
    with as_role(marked) as connection:
        for where in ("public", "pg_temp"):
            if where == "pg_temp":
                connection.execute("create temp table warm (n int)")
            for name, arguments, result in FUNCTIONS:
                connection.execute(SHADOWS.format(where=where, name=name, arguments=arguments, result=result).encode())
            for place, (operator, left, right, result) in enumerate(OPERATORS):
                arguments = f"{left}, {right}"
                shadow = SHADOWS.format(where=where, name=f"shadow{place}", arguments=arguments, result=result)
                connection.execute(shadow.encode())
                connection.execute(
                    f"create operator {where}.{operator} (leftarg = {left}, rightarg = {right},"
                    f" function = {where}.shadow{place})".encode()
                )
            for table in ("pg_class", "pg_attribute", "pg_namespace", "meta", "q_mail", "pg_stat_activity"):
                connection.execute(f"create table {where}.{table} (relname name, oid oid, query text)".encode())
            with marked.connect() as owner:
                owner.execute("truncate public.ran")
            # Those of job tables answer no session that has made something temporary.
            known = {
                name: types
                for name, types in functions(marked).items()
                if where == "public" or not name.startswith("jobtable_")
            }
            for path in ("public, pg_temp, pg_catalog", "pg_temp, public, pg_catalog", "pg_catalog"):
                connection.execute(f"set search_path = {path}".encode())
                called = _call_all(connection, known)
                assert called > 20
                ran = marked.run("select distinct who from public.ran")
                assert ran in ([], [(ROLE,)]), ran
        connection.execute("set search_path = public, pg_temp, pg_catalog")
        # The shadows do shadow, for the role itself: that is what the functions did not see.
        connection.execute("select lower('A'::text)")
        assert marked.run("select distinct who from public.ran where what = 'lower'") == [(ROLE,)]
    marked.run(f'drop owned by "{ROLE}"')
    set_up_role(marked.dsn, configured(marked.dsn, **KEYS).databases[0])


def _call_all(connection: psycopg.Connection[Any], known: dict[str, list[str]]) -> int:
    """Calls every function with arguments that make it read; gives how many answered."""
    simple = {
        "bigint": "10",
        "double precision": "1",
        "real": "100",
        "boolean": "true",
        "timestamp with time zone": "'-infinity'",
        "oid": "1",
    }
    answered = 0
    for name, types in known.items():
        arguments: list[Any] = []
        for kind in types:
            one = simple.get(kind.removesuffix("[]"), "'{}'" if arguments else "'mail'")
            value = f"array[{one}]" if kind.endswith("[]") else one
            arguments.append(f"{value}::pg_catalog.{_named(kind)}")
        # Queues of the one are not the other's, and not every table has every index.
        with suppress(psycopg.errors.UndefinedTable, psycopg.errors.SyntaxError):
            connection.execute(f"select * from {SCHEMA}.{name}({', '.join(arguments)})".encode())
            answered += 1
    return answered


def _named(kind: str) -> str:
    short = {"bigint": "int8", "double precision": "float8", "real": "float4", "boolean": "bool"}
    base = kind.removesuffix("[]")
    return {**short, "timestamp with time zone": "timestamptz"}.get(base, base) + kind[len(base) :]


def test_a_view_in_the_place_of_a_table_is_not_read(marked: Database) -> None:
    marked.run("insert into pgmq.meta (queue_name, is_partitioned, is_unlogged) values ('trap', false, false)")
    marked.run("create view pgmq.q_trap as select * from pgmq.q_mail")
    marked.run("create type public.odd as enum ('x')")
    marked.run("insert into pgmq.meta (queue_name, is_partitioned, is_unlogged) values ('typed', false, false)")
    marked.run("create table pgmq.q_typed (msg_id bigint, vt public.odd, enqueued_at timestamptz)")
    try:
        with as_role(marked) as connection:
            for queue in ("trap", "typed"):
                with pytest.raises(psycopg.errors.DatatypeMismatch):
                    connection.execute(
                        f"select * from {SCHEMA}.pgmq_head_by_vt(array['{queue}'], array[0], array[now()])".encode()
                    )
    finally:
        for statement in ("drop view pgmq.q_trap", "drop table pgmq.q_typed", "drop type public.odd"):
            marked.run(statement)
        marked.run("delete from pgmq.meta where queue_name in ('trap', 'typed')")
