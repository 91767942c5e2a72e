"""The command line: what it prints, its exit codes, and one sentence instead of a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from exporter import __version__
from exporter.cli import main
from tests.pgboss import PgBoss
from tests.pgmq_install import install_pgmq
from tests.servers import Database, Server, free_port

SECRET = "S3cret:that/nobody@sees"
QUOTED = "S3cret%3Athat%2Fnobody%40sees"


class Answer(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


def pgqueue(*arguments: str, cwd: Path | None = None, **environment: str) -> Answer:
    """Run the program's commands in this process, which takes a tenth of the time of another."""
    inherited = dict.fromkeys(name for name in os.environ if name.startswith(("PG", "DATABASE_URL")))
    runner = CliRunner(env={**inherited, **environment})
    with contextlib.chdir(cwd or Path.cwd()):
        # What a command does not catch is raised here: in a terminal, a traceback.
        done = runner.invoke(main, arguments, prog_name="pgqueue-exporter", catch_exceptions=False)
    return answer(done.exit_code, done.stdout, done.stderr)


def started(*arguments: str) -> Answer:
    """Run the program as a person does."""
    done = subprocess.run(
        [sys.executable, "-m", "exporter", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return answer(done.returncode, done.stdout, done.stderr)


def answer(code: int, out: str, err: str) -> Answer:
    """What every command owes, whatever happened."""
    assert "Traceback" not in out + err, out + err
    assert "S3cret" not in out + err, out + err
    return Answer(code, out, err)


@pytest.fixture(scope="module")
def mail(postgres18: Server) -> Iterator[Database]:
    """A database with the queue ``mail``: two ready jobs, one scheduled, one in flight."""
    made = postgres18.create_database()
    install_pgmq(made.dsn)
    made.run("select pgmq.create('mail')")
    made.run("select pgmq.send('mail', '{}') from generate_series(1, 3)")
    made.run("select pgmq.send('mail', '{}', 600)")
    made.run("select pgmq.read('mail', 600, 1)")
    yield made
    postgres18.drop_database(made.name)


# What the world may do.


def world(server: Server, database: Database, what: str) -> str:
    """A connection string with one thing wrong."""
    at = f"{server.host}:{server.port}"
    match what:
        case "password":
            user = server.add_user("another")
            return f"postgresql://{user}:{QUOTED}@{at}/{database.name}"
        case "no password":
            return f"postgresql://{server.add_user(SECRET)}@{at}/{database.name}"
        case "database":
            return f"postgresql://{server.superuser}:{QUOTED}@{at}/nosuchdatabase"
        case "port":
            return f"postgresql://{server.superuser}:{QUOTED}@{server.host}:{free_port()}/{database.name}"
        case "host":
            return f"postgresql://{server.superuser}:{QUOTED}@nosuchhost.invalid/{database.name}"
        case "certificate":
            return f"postgresql://{server.superuser}:{QUOTED}@{at}/{database.name}?sslmode=verify-full"
    raise AssertionError(what)


TOLD = {
    "password": "password authentication failed",
    "no password": "no password supplied",
    "database": 'database "nosuchdatabase" does not exist',
    "port": "Connection refused",
    "host": "nosuchhost.invalid",
    "certificate": "server does not support SSL",
}


@pytest.mark.parametrize("what", TOLD)
def test_what_the_world_refuses_is_one_sentence(postgres18: Server, mail: Database, what: str) -> None:
    dsn = world(postgres18, mail, what)
    sample = started("sample", "--dsn", dsn)
    assert sample.code == 1
    assert sample.out == ""
    assert sample.err.startswith("pgqueue-exporter: ")
    assert sample.err.count("\n") == 1
    assert TOLD[what] in sample.err
    check = pgqueue("check", "--dsn", dsn)
    assert check.code == 1
    assert check.out.splitlines()[0] == "main"
    assert len(check.out.splitlines()) == 2
    assert TOLD[what] in check.out


def test_the_right_password_lets_in(postgres18: Server, mail: Database) -> None:
    user = postgres18.add_user(SECRET)
    mail.run(f'grant usage on schema pgmq to "{user}"')
    mail.run(f'grant select on all tables in schema pgmq to "{user}"')
    found = pgqueue("sample", "--dsn", mail.dsn_as(user, SECRET))
    assert found.code == 0
    assert "mail" in found.out


@pytest.mark.parametrize("command", ["check", "sample"])
def test_a_database_without_pgmq_is_said_to_be(database18: Database, command: str) -> None:
    found = pgqueue(command, "--dsn", database18.dsn)
    assert found.code == 1
    assert "no pgmq in schema 'pgmq'" in (found.out if command == "check" else found.err)


def test_several_hosts_are_one_sentence_too(postgres18: Server) -> None:
    here = f"{postgres18.host}:{postgres18.port}"
    found = pgqueue("sample", "--dsn", f"postgresql://nobody@{here},127.0.0.1:1/x")
    assert found.code == 1
    assert found.err == (
        f'pgqueue-exporter: main: none of the hosts lets us in: {here} (role "nobody" does not exist), '
        "127.0.0.1:1 (Connection refused)\n"
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("?foo=bar", "libpq knows no key 'foo'"),
        ("?sslmode=bogus", "sslmode"),
        ("?service=nope", "service"),
        ("?target_session_attrs=x", "target_session_attrs"),
    ],
)
@pytest.mark.parametrize("command", ["check", "sample"])
def test_what_libpq_refuses_of_the_string_is_configuration(mail: Database, more: str, told: str, command: str) -> None:
    found = pgqueue(command, "--dsn", mail.dsn + more)
    assert found.code == 2
    assert told in (found.out if command == "check" else found.err)


def test_the_end_of_a_password_is_no_key() -> None:
    found = pgqueue("sample", "--dsn", "postgresql://u:pw?S3cret=x@host/x?foo=bar")
    assert found.code != 0
    assert "S3cret" not in found.err
    assert "s3cret" not in found.err.lower()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_report_that_cannot_be_written_is_an_error(mail: Database) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "exporter", "check", "--dsn", mail.dsn],
            cwd=Path(__file__).parents[2],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "pgqueue-exporter: cannot write to standard output: No space left on device\n"


def test_sample_prints_what_answers_and_names_what_does_not(
    mail: Database, database18: Database, tmp_path: Path
) -> None:
    (tmp_path / "pgqueue.yml").write_text(
        f"databases:\n  - {{name: down, dsn: 'postgresql://127.0.0.1:{free_port()}/x'}}\n"
        f"  - {{name: bare, dsn: '{database18.dsn}'}}\n  - {{name: up, dsn: '{mail.dsn}'}}\n"
    )
    found = pgqueue("sample", cwd=tmp_path)
    assert found.code == 1
    assert [line.split()[:6] for line in found.out.splitlines()[1:]] == [["up", "pgmq", "mail", "2", "1", "1"]]
    down, bare = found.err.splitlines()
    assert down.startswith("pgqueue-exporter: down: ")
    assert "Connection refused" in down
    assert bare.startswith("pgqueue-exporter: bare: ")
    assert "no pgmq" in bare


def test_sample_without_the_right_to_the_schema_fails(postgres18: Server, mail: Database) -> None:
    found = pgqueue("sample", "--dsn", mail.dsn_as(postgres18.add_user()))
    assert found.code == 1
    assert "permission denied for schema pgmq" in found.err


def test_a_role_that_sees_no_other_sessions_is_warned_of_it(postgres18: Server, mail: Database) -> None:
    user = postgres18.add_user()
    for right in (
        "usage on schema pgmq",
        "select on all tables in schema pgmq",
        "select on all sequences in schema pgmq",
    ):
        mail.run(f'grant {right} to "{user}"')
    found = pgqueue("check", "--dsn", mail.dsn_as(user))
    assert found.code == 0
    assert "a function of `pgqueue-exporter sql role` tells" in found.out
    assert found.out.count("warning") == 1


ODD = "new\nline \x1b[31mred"


def test_names_and_times_that_are_odd_do_not_break_the_terminal(postgres18: Server) -> None:
    database = postgres18.create_database()
    install_pgmq(database.dsn)
    database.run("select pgmq.create(%s)", [ODD])
    database.run("select pgmq.send(%s, '{}')", [ODD])
    database.run(f"update pgmq.\"q_{ODD}\" set vt = '-infinity'")
    try:
        found = pgqueue("sample", "--dsn", database.dsn)
        assert found.code == 0
        assert len(found.out.splitlines()) == 2
        assert "\x1b" not in found.out
        assert r"new\nline \u001b[31mred" in found.out

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        found = pgqueue("sample", "--dsn", database.dsn, "--format", "json")
        ages = {
            entry["metric"]: entry["value"]
            for entry in json.loads(found.out, parse_constant=refuse)
            if "oldest" in entry["metric"]
        }
        assert 0 < ages["pgqueue_oldest_ready_age_seconds"] <= ages["pgqueue_oldest_job_age_seconds"] < 60

        database.run(f'alter table pgmq."q_{ODD}" rename read_ct to rc')
        found = pgqueue("check", "--dsn", database.dsn)
        assert found.code == 1
        assert "read_ct" in found.out
        assert "\x1b" not in found.out
        assert found.err == ""
        assert found.out.count(r"new\nline") == 1, "each fault once"
    finally:
        postgres18.drop_database(database.name)


# What the configuration may be.

BAD = {
    "yaml": ("databases: [\n", "line"),
    "no dict": ("just text\n", "expected"),
    "typo": ("databases:\n  - name: a\n    dsn: postgresql://a\n    intervall: 5s\n", "did you mean 'interval'?"),
    "variable": ("databases:\n  - name: a\n    dsn_file: ${NOT_SET}\n", "NOT_SET"),
    "port": (f"databases:\n  - name: a\n    dsn: postgresql://u:{QUOTED}@host:54321234/x\n", "port"),
    "at sign": (f"databases:\n  - name: a\n    dsn: postgresql://u:{SECRET}@host/x\n", "%"),
    "twice": ("databases:\n  - {name: a, dsn: 'host=a'}\n  - {name: a, dsn: 'host=b'}\n", "different name"),
    "duration": ("databases:\n  - {name: a, dsn: 'host=a', interval: soon}\n", "line 2"),
}


@pytest.mark.parametrize(
    ("what", "command"),
    [*((what, "config check") for what in BAD), *(("typo", command) for command in ("check", "sample"))],
)
def test_what_the_configuration_may_not_be(tmp_path: Path, what: str, command: str) -> None:
    text, told = BAD[what]
    (tmp_path / "pgqueue.yml").write_text(text)
    found = pgqueue(*command.split(), "--config", "pgqueue.yml", cwd=tmp_path)
    assert found.code == 2
    assert found.out == ""
    assert found.err.startswith("pgqueue-exporter: ")
    assert "pgqueue.yml" in found.err
    assert told in found.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--config", "nowhere.yml"), "nowhere.yml"),
        (("--dsn", "mysql://host/x"), "scheme"),
        (("--dsn", f"postgresql://u:{QUOTED}@host:port/x"), "port"),
        (("--dsn", f"password={SECRET} what"), "neither"),
        (("--dsn", "host=a", "--config", "b.yml"), "exclude each other"),
        ((), "no database to watch"),
    ],
)
def test_ways_in_that_lead_nowhere(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    found = pgqueue("check", *arguments, cwd=tmp_path)
    assert found.code == 2
    assert found.err.startswith("pgqueue-exporter: ")
    assert told in found.err


def test_listening_where_it_cannot(mail: Database) -> None:
    assert started("serve", "--dsn", mail.dsn, "--listen", "127.0.0.1:none").code == 2
    taken = started("serve", "--dsn", mail.dsn, "--listen", "192.0.2.1:9718")
    assert taken.code == 1
    assert "cannot listen on 192.0.2.1:9718" in taken.err


# What it prints when all is well.


def test_check_says_what_is_there_and_what_it_costs(mail: Database) -> None:
    text = pgqueue("check", "--dsn", mail.dsn)
    assert (text.code, text.err) == (0, "")
    first, second, third, *_ = text.out.splitlines()
    assert first.startswith("main: PostgreSQL 18.")
    assert first.endswith(", primary, direct connection")
    assert second == "  pgmq: installed as plain SQL, 1 queue"
    assert third.startswith("  a collection that counts every queue: ")
    assert " SELECTs, " in third
    assert text.out.splitlines()[-1] == "  nothing is missing"

    answer = pgqueue("check", "--dsn", mail.dsn, "--json")
    assert answer.code == 0
    (report,) = json.loads(answer.out)
    assert report["ok"] is True
    assert [(found["source"], found["queues"]) for found in report["sources"]] == [("pgmq", ["mail"])]
    assert report["findings"] == []
    assert report["pooler"] is False
    costs = {cost["part"]: cost["milliseconds"] for cost in report["costs"]}
    assert costs.keys() == {"counters", "head", "counts", "finished", "full_look", "vacuum"}
    for part in ("counters", "head", "counts", "vacuum"):
        assert costs[part] > 0, "it was run, and everything counted"
    assert report["selects"] >= 5
    assert "exit_code" not in report


def test_check_fails_in_json_too(postgres18: Server) -> None:
    answer = pgqueue("check", "--dsn", postgres18.dsn("nosuchdatabase"), "--json")
    assert answer.code == 1
    (report,) = json.loads(answer.out)
    assert report["ok"] is False
    assert report["findings"][0]["level"] == "error"


def test_sample_as_a_table(mail: Database) -> None:
    found = pgqueue("sample", "--dsn", mail.dsn)
    assert found.code == 0
    header, row = found.out.splitlines()
    assert header.split()[:4] == ["DATABASE", "SOURCE", "QUEUE", "READY"]
    assert row.split()[:6] == ["main", "pgmq", "mail", "2", "1", "1"]


def test_sample_for_prometheus(mail: Database) -> None:
    found = pgqueue("sample", "--dsn", mail.dsn, "--format", "prometheus")
    assert found.code == 0
    families = {family.name: family for family in text_string_to_metric_families(found.out)}
    jobs = {sample.labels["state"]: sample.value for sample in families["pgqueue_jobs"].samples}
    assert jobs == {"ready": 2, "scheduled": 1, "in_flight": 1}
    assert families["pgqueue_up"].samples[0].value == 1


def test_sample_as_json(mail: Database) -> None:
    found = pgqueue("sample", "--dsn", mail.dsn, "--format", "json")
    assert found.code == 0
    jobs = {
        entry["labels"]["state"]: entry["value"] for entry in json.loads(found.out) if entry["metric"] == "pgqueue_jobs"
    }
    assert jobs == {"ready": 2, "scheduled": 1, "in_flight": 1}


@pytest.mark.parametrize("variable", ["PGQUEUE_DSN", "DATABASE_URL", "PGQUEUE_CONFIG", "file"])
def test_the_environment_names_the_database(mail: Database, tmp_path: Path, variable: str) -> None:
    file = tmp_path / "pgqueue.yml"
    given = {variable: mail.dsn}
    if variable in {"PGQUEUE_CONFIG", "file"}:
        file.write_text(f"databases:\n  - name: main\n    dsn: {mail.dsn}\n")
        given = {"PGQUEUE_CONFIG": str(file)} if variable == "PGQUEUE_CONFIG" else {}
    found = pgqueue("config", "check", cwd=tmp_path, **given)
    assert (found.code, found.out, found.err) == (0, "ok: main\n", "")


def test_what_it_says_of_itself() -> None:
    assert started("--version").out == f"pgqueue-exporter, version {__version__}\n"
    for word in ("--help", "-h"):
        told = pgqueue(word)
        assert told.code == 0
        for command in ("serve", "check", "sample", "config", "demo"):
            assert f"\n  {command} " in told.out
    schema = json.loads(pgqueue("config", "schema").out)
    assert schema["properties"].keys() >= {"databases", "listen", "defaults"}
    assert pgqueue("nonsense").code == 2


def test_a_shell_completes_its_commands() -> None:
    # click names the variable after the program, as installed.
    program = Path(sys.executable).with_name("pgqueue-exporter")

    def complete(what: str, **typed: str) -> str:
        environment = {**os.environ, "_PGQUEUE_EXPORTER_COMPLETE": what, **typed}
        return subprocess.run([program], env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    assert "complete -o nosort" in complete("bash_source")
    assert complete("bash_complete", COMP_WORDS="pgqueue-exporter co", COMP_CWORD="1") == "plain,config\n"


def test_sql_indexes_prints_what_would_make_it_cheaper_and_it_does(
    database18: Database, pgboss: Callable[..., PgBoss]
) -> None:
    boss = pgboss("11", database18.dsn)
    boss.create_queue("mail")
    told = pgqueue("sql", "indexes", "--dsn", database18.dsn)
    assert (told.code, told.err) == (0, "")
    statements = [line for line in told.out.splitlines() if not line.startswith("--")]
    assert len(statements) == 3
    assert all(line.startswith("create index concurrently on ") for line in statements)
    with database18.connect() as connection:
        for line in statements:
            connection.execute(line.encode())
    told = pgqueue("sql", "indexes", "--dsn", database18.dsn)
    assert told.out == "-- main: nothing to gain\n"
    (report,) = json.loads(pgqueue("check", "--dsn", database18.dsn, "--json").out)
    assert [found["version"] for found in report["sources"] if found["present"]] == ["schema version 26"]
    assert report["findings"] == []
