"""What strangers may try on the listener: sizes, slowness, numbers, and requests that two programs read differently."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.listening import REPOSITORY, Certificates, Listen, Listening, everything, hashed, status, wait_for

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    """One exporter for all requests that must leave it as it was."""
    one = Listening(tmp_path_factory.mktemp("plain"), None)
    yield one
    assert status(one.get("/metrics")) == 200
    assert one.printed().count("\n") < 20  # nobody fills the log
    one.close()


def request(*headers: str, line: str = "GET /metrics HTTP/1.1", body: str = "", host: str = "Host: x") -> bytes:
    return "\r\n".join([line, *([host] if host else []), *headers, "", body]).encode("latin-1")


REQUESTS: dict[str, tuple[bytes, set[int]]] = {
    "two lengths": (request("Content-Length: 5", "Content-Length: 6", body="hello"), {400}),
    "two equal lengths": (request("Content-Length: 5", "Content-Length: 5", body="hello"), {400, 413}),
    "a list of lengths": (request("Content-Length: 5, 5", body="hello"), {400}),
    "a length with a sign": (request("Content-Length: +5", body="hello"), {400}),
    "a negative length": (request("Content-Length: -1"), {400}),
    "a length too large": (request("Content-Length: 99999999999999999999"), {400}),
    "chunked and a length": (request("Transfer-Encoding: chunked", "Content-Length: 4", body="0\r\n\r\n"), {400}),
    "a length and chunked": (request("Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\n"), {400}),
    "an encoding nobody knows": (request("Transfer-Encoding: xchunked", body="0\r\n\r\n"), {400, 413}),
    "a blank before the colon": (request("Content-Length : 5", body="hello"), {400}),
    "a folded header": (request("X: a", " b"), {400}),
    "a bare line feed": (b"GET /metrics HTTP/1.1\nHost: x\n\n", {400}),
    "a NUL in a header": (request("X: a\x00b"), {400}),
    "a carriage return in a header": (request("X: a\rb"), {400}),
    "no host": (request(host=""), {400}),
    "two hosts": (request("Host: y"), {400}),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400}),
    "another version": (request(line="GET /metrics HTTP/9.9"), {400}),
    "a method nobody knows": (request(line="BREW /metrics HTTP/1.1"), {400}),
    "a method in small letters": (request(line="get /metrics HTTP/1.1"), {400}),
    "CONNECT": (request(line="CONNECT example.org:443 HTTP/1.1"), {400}),
    "a body": (request("Content-Length: 5", body="hello"), {413}),
    "a body that never comes": (request("Content-Length: 50000000"), {413}),
    "a chunked body": (request("Transfer-Encoding: chunked", body="5\r\nhello\r\n0\r\n\r\n"), {413}),
    "a body of HEAD": (request("Content-Length: 1", line="HEAD / HTTP/1.1", body="x"), {413}),
    "POST with a body": (request("Content-Length: 5", line="POST /metrics HTTP/1.1", body="hello"), {405}),
    "a long line": (request("Connection: close", line=f"GET /{'a' * 9000} HTTP/1.1"), {400, 414}),
    "large headers": (request(f"X: {'a' * 20000}"), {431}),
    "large headers in pieces": (request(*[f"X{n}: {'a' * 400}" for n in range(60)]), {431}),
    "many headers": (request(*[f"X{n}: a" for n in range(150)]), {431}),
    "a header without end": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000, {431}),
    "a line without end": (b"GET /" + b"a" * 40_000, {431}),
    "a name without end": (b"GET / HTTP/1.1\r\n" + b"a" * 40_000, {431}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_refused_closes_and_carries_the_headers(plain: Listening, name: str) -> None:
    sent, expected = REQUESTS[name]
    hidden = b"GET /-/healthy HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    with plain.connect() as connection:
        connection.sendall(sent + (hidden if sent.endswith(b"\r\n\r\n") or b"hello" in sent else b""))
        answer = everything(connection)
    assert status(answer) in expected
    assert b"healthy" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    assert "connection: close" in head
    assert "\r\nserver:" not in head
    for header, value in HEADERS.items():
        assert f"\r\n{header}: {value.lower()}" in head


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://elsewhere.example/metrics", 200),
        ("http://elsewhere.example", 400),
        ("/metrics?x=1", 200),
        ("/%6detrics", 200),
        ("//metrics", 404),
        ("/../metrics", 404),
        ("/x/../metrics", 404),
        ("/%2e%2e/etc/passwd", 404),
        ("/..%2fetc/passwd", 404),
        ("/-%2fready", 200),
        ("/metrics%00", 404),
        ("/metrics%0d%0aX:y", 404),
        ("/metrics/", 404),
        ("/metrics;x", 404),
        ("/%", 404),
        ("/%ff", 404),
        ("*", 404),
        ("metrics", 400),
    ],
)
def test_paths_are_taken_as_they_are(plain: Listening, target: str, expected: int) -> None:
    answer = plain.say(request("Connection: close", line=f"GET {target} HTTP/1.1"))
    assert status(answer) == expected
    assert b"X:y" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/metrics", "/", "/-/ready", "/-/healthy"])
def test_only_get_and_head_are_answered(plain: Listening, method: str, path: str) -> None:
    answer = plain.say(request("Connection: close", line=f"{method} {path} HTTP/1.1"))
    assert status(answer) == 405
    (allow,) = [line for line in answer.splitlines() if line.lower().startswith(b"allow:")]
    assert set(allow[6:].strip().split(b", ")) == {b"GET", b"HEAD"}


def test_keep_alive_pipelines_and_upgrades_are_harmless(plain: Listening) -> None:
    one = request(line="GET /-/healthy HTTP/1.1")
    answer = plain.say(one * 500 + request("Connection: close", line="GET /-/healthy HTTP/1.1"))
    assert answer.count(b"pgqueue-exporter is healthy.") == 501
    for upgrade in ("h2c", "websocket"):
        answer = plain.say(request(f"Upgrade: {upgrade}", "Connection: Upgrade"))
        assert status(answer) == 200
        assert b"connection: close" in answer
    assert status(plain.say(b"GET /metrics HTTP/1.0\r\n\r\n")) == 200


def healthy(connection: socket.socket) -> bool:
    found = b""
    while not found.endswith(b"is healthy.\n"):
        piece = connection.recv(65536)
        assert piece
        found += piece
    return status(found) == 200


def tls(directory: Path) -> tuple[dict[str, Any], ssl.SSLContext]:
    """A web configuration with a certificate of its own, and a client's context that trusts it."""
    ours = Certificates(directory)
    certificate, key = ours.issue()
    return {"tls_server_config": {"cert_file": str(certificate), "key_file": str(key)}}, ours.client()


@pytest.mark.parametrize("over_tls", [False, True])
def test_slow_clients_are_closed_and_leave_nothing(listening: Listen, tmp_path: Path, *, over_tls: bool) -> None:
    web, context = tls(tmp_path / "ours") if over_tls else (None, None)
    one = listening(web, hurried=True)
    assert status(one.get(context=context)) == 200
    time.sleep(1)
    files = one.files()

    def connected() -> socket.socket:
        return one.handshake(context) if context else one.connect()

    silent, dribbling, empty, deaf, between = (connected() for _ in range(5))
    raw = one.connect()  # over TLS: never begins
    over = threading.Event()

    def dribble() -> None:
        with contextlib.suppress(OSError):
            dribbling.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            while not over.wait(0.2):
                dribbling.sendall(b"X: y\r\n")

    def listen_to_nothing() -> None:
        # Asks for more than the buffers between take, and reads none of it.
        with contextlib.suppress(OSError):
            deaf.sendall(request() * 5000)

    threads = [threading.Thread(target=work, daemon=True) for work in (dribble, listen_to_nothing)]
    for thread in threads:
        thread.start()
    empty.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
    assert healthy(empty)
    empty.sendall(b"\r\n")
    between.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
    assert healthy(between)
    assert everything(silent) == b""
    assert status(everything(dribbling)) in {408, 0}
    assert everything(empty) == b""
    assert everything(raw) == b""
    # All but the one that waits between two scrapes.
    wait_for(lambda: one.files() == files + 1)
    over.set()
    between.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
    assert healthy(between)
    for connection in (silent, dribbling, empty, deaf, between, raw):
        connection.close()
    wait_for(lambda: one.files() == files)


@pytest.mark.parametrize("over_tls", [False, True])
def test_however_many_connect_a_scrape_gets_in(listening: Listen, tmp_path: Path, *, over_tls: bool) -> None:
    web, context = tls(tmp_path / "ours") if over_tls else (None, None)
    one = listening(web, hurried=over_tls, most=50)
    most = 50 if over_tls else 512
    scheme = "https" if over_tls else "http"
    with (
        httpx.Client(
            base_url=f"{scheme}://127.0.0.1:{one.port}", verify=context or True, trust_env=False, timeout=5
        ) as kept,
        contextlib.ExitStack() as open_ones,
    ):
        assert kept.get("/metrics").status_code == 200
        for number in range(most * 2):
            open_ones.enter_context(one.connect())
            if number % 100 == 0:
                assert status(one.get("/metrics", context=context)) == 200
        assert one.files() < most + 40
        # A scraper's own connection outlives those that never asked for anything.
        before = kept.get("/metrics")
        assert before.status_code == 200
        assert status(one.get("/metrics", context=context)) == 200
    assert one.printed().count("idle ones make room") == 1


def test_a_rate_is_limited_and_headers_are_set(listening: Listen) -> None:
    headers = {"X-Frame-Options": "", "Content-Security-Policy": "default-src 'self'", "X-XSS-Protection": "0"}
    one = listening({"rate_limit": {"interval": "1h", "burst": 3}, "http_server_config": {"headers": headers}})
    answers = [one.get("/") for _ in range(4)]
    assert [status(answer) for answer in answers] == [200, 200, 200, 429]
    for answer in answers:
        assert b"x-frame-options" not in answer
        assert b"content-security-policy: default-src 'self'\r\n" in answer
        assert b"x-xss-protection: 0\r\n" in answer
        assert b"strict-transport-security" not in answer
    one.configure({"rate_limit": {"interval": 0}})
    wait_for(lambda: status(one.get()) == 200, 5)


def test_a_file_that_cannot_be_used_ends_it_before_it_listens(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("basic_auth_users: {anna: S3cret}\nhttp_server_confg: {}\n")
    serve = ["serve", "--dsn", "postgresql://nobody@127.0.0.1:1/x", "--web.config.file", str(file)]
    for arguments in (serve, ["config", "check-web", str(file)]):
        done = subprocess.run(
            [sys.executable, "-m", "exporter", *arguments], cwd=REPOSITORY, capture_output=True, check=False, text=True
        )
        assert done.returncode == 2
        assert "2 faults" in done.stderr
        assert "did you mean 'http_server_config'?" in done.stderr
        assert "S3cret" not in done.stderr + done.stdout
    file.write_text(f"basic_auth_users: {{anna: {hashed('S3cret')}}}")
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "config", "check-web", str(file)],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "ok: http, 1 user\n")
    assert "cross the network in plain" in done.stderr
