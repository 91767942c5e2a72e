"""Pages: rendered once a change, swapped whole, one gzip member each."""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter import __version__, names
from exporter.collector import pages as module
from exporter.collector.pages import OpenGzip, Page, Pages, Tail
from exporter.model import Sample

NOTHING = Tail.of(b"")


def jobs(database: str, count: int, value: float = 1) -> tuple[Sample, ...]:
    return tuple(Sample(names.JOBS, (database, "pgmq", f"q{number}", "", "ready"), value) for number in range(count))


def text(page: Page) -> str:
    return gzip.decompress(page.text_gzip.closed(NOTHING)).decode()


def openmetrics(page: Page) -> str:
    return gzip.decompress(page.openmetrics_gzip.closed(NOTHING)).decode()


def value(page: Page, metric: names.Metric) -> float:
    """The value of the one series of a metric."""
    families = text_string_to_metric_families(text(page))
    (found,) = [sample.value for family in families for sample in family.samples if sample.name == metric.name]
    return found


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_there_is_a_page_before_anything_was_collected() -> None:
    page = Pages(1234).current
    assert page.databases == frozenset()
    assert value(page, names.SERIES_LIMIT) == 1234
    assert value(page, names.CONFIG_RELOAD_SUCCESS) == 1
    assert f'pgqueue_exporter_build_info{{version="{__version__}",python="' in text(page)


def test_all_databases_stand_on_one_page_each_family_once(pages: Pages) -> None:
    pages.publish("one", jobs("one", 2))
    pages.publish("two", jobs("two", 3))
    until(lambda: pages.current.databases == {"one", "two"})
    assert text(pages.current).count('pgqueue_jobs{database="') == 5
    assert text(pages.current).count("# TYPE pgqueue_jobs gauge") == 1


def test_a_database_that_is_forgotten_leaves_the_page(pages: Pages) -> None:
    pages.publish("one", jobs("one", 2))
    pages.publish("two", jobs("two", 3))
    until(lambda: pages.current.databases == {"one", "two"})
    pages.publish("one", None)
    until(lambda: pages.current.databases == {"two"})
    assert 'database="one"' not in text(pages.current)
    pages.publish("never published", None)


def test_the_number_of_series_is_that_of_the_page_itself_included(pages: Pages) -> None:
    pages.publish("main", jobs("main", 100))
    until(lambda: bool(pages.current.databases))
    lines = [line for line in text(pages.current).splitlines() if not line.startswith("#")]
    assert len(lines) == pages.current.series == value(pages.current, names.SERIES)


def test_both_formats_hold_the_same_samples(pages: Pages) -> None:
    pages.publish("main", jobs("main", 700))
    until(lambda: bool(pages.current.databases))
    plain = [line for line in text(pages.current).splitlines() if not line.startswith("#")]
    assert plain == [line for line in openmetrics(pages.current).splitlines() if not line.startswith("#")]
    assert "# EOF" not in openmetrics(pages.current), "the tail brings it"


def test_a_refused_reload_shows_until_one_succeeds(pages: Pages) -> None:
    pages.reload_succeeded(success=False)
    until(lambda: value(pages.current, names.CONFIG_RELOAD_SUCCESS) == 0)
    pages.reload_succeeded(success=True)
    until(lambda: value(pages.current, names.CONFIG_RELOAD_SUCCESS) == 1)


def test_changes_that_come_while_a_page_is_rendered_make_one_more_page(monkeypatch: pytest.MonkeyPatch) -> None:
    pages, rendered = Pages(1), []
    entered, go_on = threading.Event(), threading.Event()
    render = pages._render

    def slow(databases: dict[str, tuple[Sample, ...]], reloaded: int) -> Page:
        entered.set()
        assert go_on.wait(10)
        rendered.append(databases)
        return render(databases, reloaded)

    monkeypatch.setattr(pages, "_render", slow)
    pages.start()
    assert entered.wait(10)
    for number in range(5):
        pages.publish(f"d{number}", jobs(f"d{number}", 1))
    go_on.set()
    until(lambda: len(pages.current.databases) == 5)
    pages.stop()
    assert len(rendered) == 2


def test_a_page_that_cannot_be_rendered_is_loud_and_the_next_one_is_tried(
    pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    pages.publish("main", (Sample(names.UP, ("one label", "too many"), 1),))
    until(lambda: "rendering failed" in caplog.text)
    assert pages.current.databases == frozenset()
    pages.publish("main", (Sample(names.UP, ("main",), 1),))
    until(lambda: pages.current.databases == {"main"})


def test_a_reader_never_sees_half_a_change(pages: Pages) -> None:
    stop = threading.Event()

    def publish() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            pages.publish("main", jobs("main", 1500, number))

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        seen: set[str] = set()
        deadline = time.monotonic() + 10
        while len(seen) < 5 and time.monotonic() < deadline:
            page = text(pages.current)
            values = {line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith("pgqueue_jobs{")}
            assert len(values) <= 1
            seen |= values
    finally:
        stop.set()
        publisher.join()
    assert len(seen) == 5


def opened(pieces: list[bytes]) -> OpenGzip:
    member = module._Member()
    for piece in pieces:
        member.add([piece], module._deflated([piece]))
    return member.opened()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=5), st.binary(max_size=300))
def test_a_page_and_its_tail_are_one_gzip_member(pieces: list[bytes], tail: bytes) -> None:
    page, behind = opened(pieces), Tail.of(tail)
    decoder = zlib.decompressobj(31)
    assert decoder.decompress(page.closed(behind)) + decoder.flush() == b"".join((*pieces, tail))
    assert decoder.eof, "decoders that know one member only (curl, browsers) find its end, and a right checksum"
    assert decoder.unused_data == b""
    assert b"".join(page.plain()) == b"".join(pieces)
    assert page.size == len(b"".join(pieces))


def test_a_page_in_plain_comes_in_pieces() -> None:
    pages = Pages(1)
    page = pages._render({"main": jobs("main", 20_000)}, 1)
    pieces = list(page.text_gzip.plain())
    assert b"".join(pieces).decode() == text(page)
    assert max(map(len, pieces)) < 500_000
