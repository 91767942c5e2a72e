"""A marked password, and a marked payload, are looked for in everything that the programs put out."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import yaml

from tests.commands import Commands
from tests.pgmq_install import install_pgmq
from tests.servers import Database, Server, free_port

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "Mark3d:pass/word@with#odd%chars"
PAYLOAD = "Mark3dPayload"

#: How a password may show: as it is, quoted in a URL, or a piece of it that no one else would write.
MARKS = (PASSWORD, quote(PASSWORD, safe=""), "Mark3d", "odd%chars", "odd%25chars")


def clean(text: str, where: str) -> None:
    """No mark in it."""
    for mark in MARKS:
        assert mark not in text, f"{where}: {mark!r} in {text[:2000]}"


@pytest.fixture
def guarded(postgres18: Server, database18: Database) -> str:
    """A role whose password is the marked one, on a database whose jobs carry the marked payload."""
    install_pgmq(database18.dsn)
    user = postgres18.add_user(PASSWORD, "in role pg_monitor")
    database18.run("select pgmq.create('mail')")
    database18.run("select pgmq.send('mail', jsonb_build_object('project_id', 'acme', 'body', %s::text))", [PAYLOAD])
    database18.run(f'grant usage on schema pgmq to "{user}"')
    database18.run(f'grant select on all tables in schema pgmq to "{user}"')
    return user


def test_commands_do_not_show_a_password(database18: Database, guarded: str, tmp_path: Path) -> None:
    right = database18.dsn_as(guarded, PASSWORD)
    wrong = database18.dsn_as(guarded, f"{PASSWORD}wrong")
    nowhere = right.replace("127.0.0.1", "127.0.0.1,203.0.113.1").replace("postgresql://", "postgresql://", 1)
    file = tmp_path / "pgqueue.yml"
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    codes: set[int] = set()
    with Commands(tmp_path) as commands:

        def say(*words: str, where: str, **environment: str) -> None:
            code, text = commands.run(*words, **environment)
            assert text, f"{where}: it said nothing"
            clean(text, where)
            codes.add(code)

        for dsn in (right, wrong, f"{right}?sslmode=require", nowhere.replace(":5", ":1", 1), right[:-1], f"{right} x"):
            for command in ("check", "sample"):
                say(command, where=command, PGQUEUE_DSN=dsn)
                say(command, "--dsn", dsn, where=f"{command} --dsn")
        for entry in (
            {"dsn": database18.dsn_as(guarded), "password_file": str(secret)},
            {"dsn": database18.dsn_as(guarded), "password": PASSWORD},
            {"dsn": right, "interval": "soon"},
            {"dsn": [right]},
            {"dns": right},
            {"dsn": right, "tenants": {"from": [{"message": "project_id"}]}},
        ):
            file.write_text(yaml.safe_dump({"databases": [{"name": "main", **entry}]}))
            for words in (("check",), ("check", "--json"), ("sample", "--format", "json"), ("config", "check")):
                say(*words, "--config", str(file), where=f"{words} {sorted(entry)}")
    assert codes == {0, 1, 2}, "some were to work, some not, and some configurations are wrong"


def test_the_process_does_not_show_a_password_nor_a_payload(database18: Database, guarded: str, tmp_path: Path) -> None:
    port = free_port()
    secret, file, log = tmp_path / "password", tmp_path / "pgqueue.yml", tmp_path / "log"
    secret.write_text(f"{PASSWORD}\n")
    database = {
        "name": "main",
        "dsn": database18.dsn_as(guarded),
        "password_file": str(secret),
        "interval": "1s",
        "tenants": {"from": [{"message": "project_id"}]},
    }
    file.write_text(yaml.safe_dump({"listen": f"127.0.0.1:{port}", "databases": [database]}))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", "serve", "--config", str(file), "--log-level", "debug"],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    shown: list[str] = []
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            until = time.monotonic() + 20
            while True:
                try:
                    if 'tenant="acme"' in client.get("/metrics").text:
                        break
                except httpx.TransportError:
                    pass
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            shown += [client.get(path).text for path in ("/", "/metrics", "/-/ready", "/-/healthy", "/nothing")]
            shown.append(Path(f"/proc/{process.pid}/cmdline").read_text() if Path("/proc").is_dir() else "")
            shown += [str(row) for row in database18.run("select application_name, query from pg_stat_activity")]
            # Rotated to a wrong one: connections that are there live on, new ones are refused, and that is told.
            secret.write_text(f"{PASSWORD}wrong\n")
            database18.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [guarded])
            while "password authentication failed" not in log.read_text():
                assert time.monotonic() < until + 20, log.read_text()
                time.sleep(0.1)
            secret.write_text(f"{PASSWORD}\n")
            while log.read_text().count("msg=connected") < 2:
                assert time.monotonic() < until + 40, log.read_text()
                time.sleep(0.1)
            process.send_signal(signal.SIGHUP)
            shown.append(client.get("/metrics").text)
    finally:
        process.terminate()
        process.wait(10)
    shown.append(log.read_text())
    for text in shown:
        clean(text, "serve")
        assert PAYLOAD not in text
