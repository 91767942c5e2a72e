"""What several unit tests begin with."""

from collections.abc import Iterator

import pytest

from exporter.collector.pages import Pages


@pytest.fixture
def pages() -> Iterator[Pages]:
    """Pages that are being rendered, of no database yet."""
    made = Pages(50_000)
    made.start()
    yield made
    made.stop()
