"""Of every source too: queues that come, go and have odd names, locked tables, a database that is away."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from exporter import names
from exporter.collector.exposition import render
from exporter.sources.fence import SLACK
from tests.exporter import Collected
from tests.sources.base import Source
from tests.watching import series, watching

Later = Callable[[float], None]


def test_a_queue_that_is_made_is_there_with_its_first_jobs(source: Source) -> None:
    with watching(source) as watch:
        source.create("mail")
        source.send("mail", 3)
        source.ends[names.COMPLETED]("mail", source.take("mail"))
        if source.knows.drops:
            watch.look()
        watch.account()


#: What is not known any more of a queue that was dropped.
OF_TABLES = (
    names.QUEUE_COLLECTION_TIMESTAMP,
    names.RETRY_LIMIT,
    names.TABLE_BYTES,
    names.TABLE_DEAD_ROWS,
    names.TABLE_LIVE_ROWS,
    names.TABLE_LAST_VACUUM,
)


def test_a_queue_that_is_dropped_is_zero_for_two_minutes_and_gone(source: Source, later: Later) -> None:
    source.create("mail", "other")
    with watching(source) as watch:
        source.send("mail", 3)
        source.ends[names.COMPLETED]("mail", source.take("mail", 2)[:1])
        before = series(watch.account(), source, "mail")
        source.drop("mail")
        told = series(watch.collect(), source, "mail")
        assert told.keys() == {key for key in before if key[0] not in OF_TABLES or not source.knows.drops}
        for key, value in told.items():
            if key[0] is names.QUEUE_INFO:
                assert value == 1
            else:
                assert value == (0 if key[0].kind == "gauge" else before[key]), key
        watch.look("other")
        later(121)
        page = watch.collect()
        assert bool(series(page, source, "mail")) != source.knows.drops
        watch.compare(page, "other")
        source.create("mail")
        source.send("mail", 2)
        source.wait_until(source.now() + SLACK)
        page = watch.collect()
        assert page.one(names.ENQUEUED, queue="mail") == before[names.ENQUEUED, ()] + 2
        if source.knows.states:
            assert page.jobs("mail") == (2, 0, 0)


def test_queues_of_every_name(source: Source) -> None:
    source.create(*source.odd_names)
    with watching(source) as watch:
        for queue in source.odd_names:
            source.send(queue, 2)
            source.ends[names.COMPLETED](queue, source.take(queue))
        page = watch.account()
        told = {sample.labels.get(names.QUEUE, "") for family in families(page) for sample in family.samples}
        assert told - {""} == set(source.odd_names)


def families(page: Collected) -> list[Metric]:
    """The page as somebody else reads it."""
    text = b"".join(part for block in render(page.samples) for part in (block.text_header, *block.pieces)).decode()
    return list(text_string_to_metric_families(text))


#: How each metric has been met so far, of whatever source: type, help and labels.
MET: dict[str, tuple[str, str, frozenset[str]]] = {}


def test_a_metric_has_one_type_help_and_set_of_labels_whatever_the_source(source: Source) -> None:
    source.create("mail")
    with watching(source) as watch:
        source.send("mail", 2)
        source.ends[names.COMPLETED]("mail", source.take("mail"))
        page = watch.account()
    catalogue = {metric.name.removesuffix("_total"): metric for metric in names.CATALOGUE}
    for family in families(page):
        metric = catalogue[family.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        for sample in family.samples:
            about = (family.type, family.documentation, frozenset(sample.labels) - {"le"})
            assert MET.setdefault(family.name, about) == about
            if sample.labels.get(names.QUEUE):
                assert (sample.labels[names.DATABASE], sample.labels[names.SOURCE]) == ("main", source.label)


def test_what_was_not_read_for_a_minute_is_absent(source: Source, later: Later) -> None:
    source.create("mail")
    with watching(source) as watch:
        source.send("mail", 3)
        source.ends[names.COMPLETED]("mail", source.take("mail", 2)[:1])
        watch.account()
        parts = {tracked.part.name for tracked in watch.driver.collection.parts}
        later(61)
        page = watch.driver.collect(without=tuple(parts))
        left = {key[0] for key in series(page, source, "mail")}
        assert left == ({names.QUEUE_INFO, names.QUEUE_COLLECTION_TIMESTAMP} if source.knows.drops else set())
        assert page.one(names.UP) == 1
        assert page.of(names.COLLECTION_TIMESTAMP, source=source.label)
        page = watch.collect(without=(names.FINISHED,))
        assert page.of(names.RUN) == page.of(names.WAIT) == {}
        if source.knows.states:
            assert page.one(names.JOBS, state=names.READY) == 1
        watch.account()


def test_an_outage_is_told_and_caught_up_with(source: Source) -> None:
    source.create("mail")
    name = source.database.name
    with watching(source) as watch, source.database.server.connect() as elsewhere:
        source.send("mail", 3)
        watch.account()
        elsewhere.execute(f"alter database {name} with allow_connections false")
        try:
            elsewhere.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where datname = %s and application_name like 'pgqueue-exporter%%'",
                [name],
            )
            source.send("mail", 2)
            source.ends[names.COMPLETED]("mail", source.take("mail"))
            source.flush()
            assert watch.driver.collect().one(names.UP) == 0
        finally:
            elsewhere.execute(f"alter database {name} with allow_connections true")
        assert watch.look().one(names.UP) == 1
        watch.account()


def test_a_locked_table_is_told_and_the_others_go_on(source: Source, later: Later) -> None:
    source.create("mail", "other")
    with watching(source, stale_after="5m") as watch:
        source.send("mail", 3)
        before = series(watch.account(), source, "mail")
        with source.lock("mail"):
            if source.apart:
                source.send("other", 2)
            later(61)  # so that a job table is looked at, which otherwise waits for the one who holds the lock
            source.flush()
            page = watch.driver.collect()
            assert 0 in page.of(names.COLLECTION_SUCCESS, source=source.part_label).values()
            assert sum(page.of(names.COLLECTION_ERRORS, source=source.part_label, reason="lock").values()) > 0
            assert page.one(names.UP) == 1
            assert series(page, source, "mail").keys() == before.keys()
            if source.apart:
                watch.compare(page, "other", counters=False)
        source.send("mail")
        later(122)
        page = watch.account()
        assert 0 not in page.of(names.COLLECTION_SUCCESS).values()
