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


def test_check_of_a_database_without_pgmq_says_so(database18: Database) -> None:
    found = pgqueue("check", "--dsn", database18.dsn)
    assert found.code == 1
    assert "no pgmq in schema 'pgmq'" in found.out


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
    assert "SELECTs" in third
    assert text.out.splitlines()[-1] == "  nothing is missing"

    answer = pgqueue("check", "--dsn", mail.dsn, "--json")
    assert answer.code == 0
    (report,) = json.loads(answer.out)
    assert report["ok"] is True
    assert [(found["source"], found["queues"]) for found in report["sources"]] == [("pgmq", ["mail"])]
    assert report["findings"] == []
    assert report["pooler"] is False
    assert {cost["part"] for cost in report["costs"]} >= {"counters", "head", "counts"}
    assert report["selects"] > 0


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
    assert header.split()[:3] == ["DATABASE", "QUEUE", "READY"]
    assert row.split()[:5] == ["main", "mail", "2", "1", "1"]


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
