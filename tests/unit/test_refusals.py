"""What is refused, in our words."""

from __future__ import annotations

import pytest

from exporter.sources.refusals import fault_of_string, reason_of, sentence, unknown_key


@pytest.mark.parametrize(
    ("sqlstate", "detail", "operational", "reason"),
    [
        ("42501", "permission denied for table q_mail", False, "privilege"),
        ("42501", 'query would be affected by row-level security policy for table "q_mail"', False, "hidden"),
        ("55P03", "canceling statement due to lock timeout", True, "lock"),
        ("57014", "canceling statement due to statement timeout", True, "timeout"),
        ("42P01", 'relation "pgmq.q_mail" does not exist', False, "missing"),
        ("42703", 'column "read_ct" does not exist', False, "missing"),
        ("57P01", "terminating connection due to administrator command", True, "connection"),
        ("53300", "too many connections", True, "connection"),
        (None, "server closed the connection unexpectedly", True, "connection"),
        ("22012", "division by zero", False, "other"),
        (None, "something of psycopg's own", False, "other"),
    ],
)
def test_reasons(sqlstate: str | None, detail: str, operational: bool, reason: str) -> None:
    assert reason_of(sqlstate, detail, operational=operational) == reason


def test_several_hosts_are_one_sentence() -> None:
    text = (
        'connection failed: connection to server at "127.0.0.1", port 2 failed: Connection refused\n'
        "\tIs the server running on that host and accepting TCP/IP connections?\n"
        "Multiple connection attempts failed. All failures were:\n"
        "- host: 'a.example', port: '1', hostaddr: '::1': connection failed: connection to server at"
        ' "::1", port 1 failed: FATAL:  role "nobody" does not exist\n'
        "- host: 'b.example', port: '2', hostaddr: '127.0.0.1': connection failed: connection to server at"
        ' "127.0.0.1", port 2 failed: Connection refused\n'
        "\tIs the server running on that host and accepting TCP/IP connections?"
    )
    told = 'none of the hosts lets us in: a.example:1 (role "nobody" does not exist), b.example:2 (Connection refused)'
    assert sentence(text) == told


def test_one_host_is_one_line() -> None:
    assert sentence("could not connect\n\tIs it  running?") == "could not connect Is it running?"


def test_only_the_string_itself_is_configuration() -> None:
    assert fault_of_string('connection is bad: invalid sslmode value: "bogus"\n') == 'invalid sslmode value: "bogus"'
    assert fault_of_string('connection to server at "h", port 1 failed: invalid sslmode value: "x"') is None


def test_a_key_is_named_and_nothing_else_is_quoted() -> None:
    known = {"host", "sslmode"}
    assert "'foo'" in unknown_key("postgresql://u:secret@h/x?sslmode=require&foo=secret", known)
    for info in (
        "postgresql://u:a?secret=b@h/x",
        "postgresql://h/x?SECRET%20=1",
        "secret",
        "postgresql://h/x?host=secret",
    ):
        assert "secret" not in unknown_key(info, known).lower()
