"""What answers over HTTP: negotiation, encodings, readiness, and headers on everything."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.testclient import TestClient

from exporter import __version__, names
from exporter.api.app import OPENMETRICS, TEXT, accepts_gzip, create_app, prefers_openmetrics
from exporter.api.process import ProcessMetrics
from exporter.collector.pages import Pages
from exporter.config import Web
from exporter.model import Sample

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.fixture
def databases() -> list[str]:
    return ["main"]


@pytest.fixture
def client(pages: Pages, databases: list[str]) -> TestClient:
    # Asks for nothing that a test does not ask for.
    return TestClient(create_app(pages, lambda: databases, Web), headers={"Accept-Encoding": "identity"})


def collected(pages: Pages, *databases: str) -> None:
    for database in databases:
        pages.publish(database, (Sample(names.UP, (database,), 1),))
    deadline = time.monotonic() + 10
    while not pages.current.databases >= set(databases):
        assert time.monotonic() < deadline
        time.sleep(0.002)


def raw(client: TestClient, accept: str = "", encoding: str = "gzip") -> tuple[dict[str, str], bytes]:
    """The headers, and the body as it came over the wire."""
    with client.stream("GET", "/metrics", headers={"Accept": accept, "Accept-Encoding": encoding}) as answer:
        return dict(answer.headers), b"".join(answer.iter_raw())


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        (PROMETHEUS_3, True),
        (PROMETHEUS_2_42, True),
        ("application/openmetrics-text", True),
        ("Application/OpenMetrics-Text; Q=0.5", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.6", False),
        ("application/openmetrics-text;q=nonsense", False),
        ("application/openmetrics-text;q=nan", False),
        (";;,,;q=1", False),
    ],
)
def test_the_format_is_the_one_that_is_preferred(client: TestClient, accept: str, *, openmetrics: bool) -> None:
    assert prefers_openmetrics(accept) is openmetrics
    headers, _ = raw(client, accept)
    assert headers["content-type"] == (OPENMETRICS if openmetrics else TEXT)
    assert headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("accept_encoding", "taken"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("GZip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("br, *", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("br", False),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(client: TestClient, accept_encoding: str, *, taken: bool) -> None:
    assert accepts_gzip(accept_encoding) is taken
    headers, body = raw(client, encoding=accept_encoding)
    assert headers.get("content-encoding") == ("gzip" if taken else None)
    assert (gzip.decompress(body) if taken else body).startswith(b"# HELP pgqueue_")
    assert headers["content-length"] == str(len(body))


def test_the_pages_own_and_the_processs_metrics_come_in_one_gzip_member(client: TestClient, pages: Pages) -> None:
    collected(pages, "main")
    for accept, parse in (("", parse_text), (PROMETHEUS_3, parse_openmetrics)):
        _, body = raw(client, accept)
        decoder = zlib.decompressobj(31)
        page = decoder.decompress(body).decode()
        assert decoder.eof
        assert decoder.unused_data == b""
        found = {family.name for family in parse(page)}
        assert {"pgqueue_up", "pgqueue_series", "python_info"} < found
        assert page.count("# EOF") == (1 if accept else 0)
        assert page.endswith("# EOF\n") or not accept


def test_plain_and_gzip_say_the_same(client: TestClient, pages: Pages) -> None:
    collected(pages, "main")
    for accept in ("", PROMETHEUS_3):
        _, plain = raw(client, accept, "identity")
        _, compressed = raw(client, accept, "gzip")
        assert plain == gzip.decompress(compressed)


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_head_says_what_get_would(client: TestClient, pages: Pages, path: str, encoding: str) -> None:
    collected(pages, "main")
    headers = {"Accept-Encoding": encoding}
    get, head = client.get(path, headers=headers), client.head(path, headers=headers)
    assert (head.status_code, head.headers) == (get.status_code, get.headers)


def test_scrapes_within_a_second_share_the_processs_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr("exporter.api.process.time.monotonic", lambda: clock)
    process = ProcessMetrics()
    first = process.tail(openmetrics=False)
    clock += 0.9
    assert process.tail(openmetrics=False) is first
    assert process.tail(openmetrics=True) is not first
    clock += 0.2
    assert process.tail(openmetrics=False) is not first


def test_healthy_while_nothing_was_collected(client: TestClient) -> None:
    assert client.get("/-/healthy").status_code == 200


def test_ready_once_every_database_is_on_the_page(client: TestClient, pages: Pages, databases: list[str]) -> None:
    databases[:] = ["main", "reports", "audit"]
    collected(pages, "reports")
    answer = client.get("/-/ready")
    assert (answer.status_code, answer.text) == (503, "Not ready: no collection yet of audit, main.\n")
    collected(pages, "main", "audit")
    assert client.get("/-/ready").status_code == 200


def test_a_database_added_by_a_reload_is_waited_for(client: TestClient, pages: Pages, databases: list[str]) -> None:
    collected(pages, "main")
    assert client.get("/-/ready").status_code == 200
    databases.append("new")
    assert "new" in client.get("/-/ready").text


def test_the_landing_page_leads_everywhere_and_escapes_names(client: TestClient, databases: list[str]) -> None:
    databases[:] = ["<script>alert(1)</script>"]
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
    assert __version__ in page.text
    for path in ("/metrics", "/-/ready", "/-/healthy"):
        assert f'href="{path}"' in page.text


@pytest.mark.parametrize("path", ["/nothing", "/metrics/", "/docs", "/-/reload"])
def test_what_is_not_there_is_404_in_short(client: TestClient, path: str) -> None:
    answer = client.get(path, follow_redirects=False)
    assert (answer.status_code, answer.text) == (404, "Not Found.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/metrics", "/", "/-/ready", "/-/healthy"])
def test_only_get_and_head(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.text) == (405, "Method Not Allowed.\n")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/ready", "/-/healthy", "/nothing"])
def test_every_answer_carries_the_headers_of_caution(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in headers
