"""What `rules check --prometheus` says of addresses, and of what answers there: always a sentence, never a password."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from exporter import prometheus
from exporter.errors import ExporterError


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Something that says the same to whoever connects: its place, and what it was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def http(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def refusal(url: str) -> str:
    with pytest.raises(ExporterError) as caught:
        prometheus.query(url, "up")
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:90x",
        "http://127.0.0.1:0",
        "http://[::1",
        "http://a b:9090",
        "http://",
        "127.0.0.1:9090",
        "file:///x",
        "http://h\ré",
    ],
)
def test_an_address_that_is_none_is_refused_in_a_sentence(url: str) -> None:
    assert "is no address of a Prometheus: expected http://…" in refusal(url)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"E\x00\x00\x00\x88SFATAL\x00",
        b"",
        http("{}"),
        http("null"),
        http("<html>"),
        http('{"data": {"result": [{"metric": {}, "value": []}]}}'),
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}",
    ],
)
def test_what_answers_and_is_no_prometheus_is_said_to_be_none(answer: bytes) -> None:
    with answering(answer) as (place, _):
        assert refusal(f"http://{place}").startswith(("what answers at http://127", "Prometheus at http://127"))


def test_a_user_and_a_password_in_the_address_are_those_of_basic_authentication() -> None:
    body = json.dumps({"data": {"result": [{"metric": {"a": "b"}, "value": [0, "1"]}]}})
    with answering(http(body)) as (place, asked):
        assert prometheus.query(f"http://me:p%40ss%3A@{place}/under/", "up") == [({"a": "b"}, 1.0)]
    head = asked[0].decode()
    assert head.startswith("POST /under/api/v1/query ")
    assert f"Authorization: Basic {base64.b64encode(b'me:p@ss:').decode()}" in head


def test_a_password_is_not_shown_and_not_sent_elsewhere() -> None:
    with answering(http("", "401 Unauthorized")) as (place, _):
        assert refusal(f"http://me:hidden@{place}") == f"Prometheus at http://{place} answers 401"
    for url in ("http://me:hidden@127.0.0.1:9", "http://me:hidden@127.0.0.1:90x", "http://me:hid den@h", "me:hidden@h"):
        told = refusal(url)
        assert "hidden" not in told
        assert "hid " not in told
    with answering(http("{}")) as (place, asked):
        moved = f"HTTP/1.1 302 Found\r\nLocation: http://{place}/\r\nContent-Length: 0\r\n\r\n".encode()
        with answering(moved) as (here, _):
            refusal(f"http://me:hidden@{here}")
    assert b"Authorization" not in asked[0]
