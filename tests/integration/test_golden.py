"""The whole page of a known database; `PGQUEUE_RENEW_GOLDEN=1 make test ARGS=-kgolden` renews the golden file."""

import os
import re
from pathlib import Path

from exporter.collector.exposition import render
from exporter.model import Sample
from tests.exporter import Driver
from tests.pgmq_install import install_pgmq
from tests.servers import Database

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.txt"

#: What depends on the clock or on Postgres' pages: only that it is there is golden.
_VARIES = re.compile(
    r"^(pgqueue_\w*(?:age_seconds|timestamp_seconds|stalled_seconds|interval_seconds"
    r"|seconds_total|bytes|_rows)\{.*\}) .*$",
    re.MULTILINE,
)


def test_the_page_is_the_golden_one(database18: Database) -> None:
    install_pgmq(database18.dsn)
    with database18.connect() as sql:
        sql.execute("select pgmq.create('mail'), pgmq.create_unlogged('mail_dlq')")
        driver = Driver(database18.dsn)
        driver.collect()
        sql.execute("select pgmq.send('mail', '{}') from generate_series(1, 10)")
        sql.execute("select pgmq.send('mail', '{}', 600) from generate_series(1, 2)")
        sql.execute("select pgmq.read('mail', 600, 4)")
        sql.execute("select pgmq.archive('mail', 1), pgmq.delete('mail', 2)")
        sql.execute("select pg_stat_force_next_flush()")
        sql.execute("select 1")
    page = text(driver.recount().samples)
    driver.close()
    if os.environ.get("PGQUEUE_RENEW_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(page)
    assert page == GOLDEN.read_text()


def text(samples: tuple[Sample, ...]) -> str:
    """The page's text, with what varies left out."""
    whole = b"".join(part for block in render(samples) for part in (block.text_header, *block.pieces)).decode()
    return _VARIES.sub(r"\1 …", whole)
