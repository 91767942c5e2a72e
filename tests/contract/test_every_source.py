"""The same behaviours of every source: each series that it promises equals plain SQL, and no other is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter import names
from exporter.collector.exposition import render
from exporter.sources.fence import SLACK
from tests.exporter import Collected
from tests.servers import Server
from tests.sources.base import FAR, Source
from tests.sources.jobtable import DescribedSource, JobTableSource
from tests.sources.knows import KNOWS, Kind
from tests.sources.pgboss import PgBossSource
from tests.sources.pgmq import PgmqSource
from tests.watching import Watch, counters, series, watching

Later = Callable[[float], None]

#: Every kind on PostgreSQL 18, and the newest of each on 15.
ON_15: tuple[Kind, ...] = ("pgmq 1.13", "pg-boss 12", "job table")
PLACES = [(kind, 18) for kind in KNOWS] + [(kind, 15) for kind in ON_15]


def made(kind: Kind, server: Server) -> Source:
    """That source in a database of its own."""
    database = server.create_database()
    if kind == "job table":
        return JobTableSource(kind, database)
    if kind == "pgmq with a job table":
        return DescribedSource(kind, database)
    return (PgmqSource if kind.startswith("pgmq") else PgBossSource)(kind, database)


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: f"{place[0]} on {place[1]}")
def system(request: pytest.FixtureRequest) -> Iterator[Source]:
    """One queue system for all tests of it: installing pg-boss takes longer than a test."""
    kind, version = request.param
    server: Server = request.getfixturevalue(f"postgres{version}")
    source = made(kind, server)
    yield source
    source.close()
    server.drop_database(source.database.name)


@pytest.fixture
def source(system: Source) -> Iterator[Source]:
    """The same without queues."""
    yield system
    system.clear()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """As if so many seconds had passed for the exporter."""
    clock = time.monotonic

    def pass_by(seconds: float) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: clock() + seconds)

    return pass_by


def test_every_kind_says_what_it_knows() -> None:
    assert set(KNOWS) == set(get_args(Kind))


def test_an_empty_queue_has_zeros_where_zero_is_known(source: Source) -> None:
    source.create("mail", "other")
    with watching(source) as watch:
        page = watch.account()
        for key, value in series(page, source, "mail").items():
            if key[0] in (names.JOBS, names.FINISHED_JOBS, names.RETRIED):
                assert value == 0


def test_jobs_in_every_state(source: Source) -> None:
    source.create("mail", "other")
    with watching(source) as watch:
        source.send("mail", 5)
        source.send("mail", 2, at=source.now() + FAR)
        source.send("other")
        watch.look()
        source.take("mail", 2)
        watch.look()
        source.take("mail", 1)
        page = watch.account()
        if source.knows.states:
            assert page.jobs("mail") == (2, 2, 3)
            assert page.jobs("other") == (1, 0, 0)


def test_ages_are_those_of_the_oldest(source: Source) -> None:
    source.create("mail")
    with watching(source) as watch:
        source.send("mail", 2)
        watch.account()
        source.take("mail", 1)
        source.shift("mail", 700)
        page = watch.look()
        if names.OLDEST_IN_FLIGHT_AGE in source.knows.metrics:
            assert page.one(names.OLDEST_IN_FLIGHT_AGE) > 700
        if names.OLDEST_JOB_AGE in source.knows.metrics:
            assert page.one(names.OLDEST_JOB_AGE) > 700 > page.one(names.OLDEST_READY_AGE)
        source.take("mail", 1)
        watch.look()


def test_what_is_due_is_ready_without_any_write(source: Source) -> None:
    source.create("mail")
    with watching(source) as watch:
        due = source.now() + 1
        source.send("mail", 2, at=due)
        page = watch.look()
        assert source.now() < due, "this machine is too slow for this test"
        source.wait_until(due)
        later = watch.look()
        if source.knows.states:
            assert (page.jobs("mail"), later.jobs("mail")) == ((0, 2, 0), (2, 0, 0))
            assert page.one(names.OLDEST_READY_AGE) == 0 < later.one(names.OLDEST_READY_AGE)


def test_a_job_whose_worker_is_gone(source: Source) -> None:
    source.create("mail")
    source.create("again", retries=1)
    with watching(source) as watch:
        lapsed = max(source.crash("mail"), source.crash("again"))
        watch.look()
        source.wait_until(lapsed)
        page = watch.look()
        if names.JOBS_EXPIRED in source.knows.metrics:
            assert page.one(names.JOBS_EXPIRED, queue="mail") == 1
        elif source.knows.states:
            assert page.jobs("mail") == (1, 0, 0)
        source.clean_up()
        watch.account()


def test_jobs_end_in_every_way(source: Source) -> None:
    queues = {outcome: f"ends_{outcome}" for outcome in source.ends}
    for outcome, queue in queues.items():
        if outcome == names.DEAD_LETTERED:
            source.create(f"{queue}_dlq")
            source.create(queue, dead_letter=f"{queue}_dlq")
        else:
            source.create(queue)
    with watching(source) as watch:
        for queue in queues.values():
            source.send(queue, 6)
        watch.account()
        for seconds in (0, 4, 400):
            for outcome, queue in queues.items():
                jobs = source.take(queue, 2)
                if seconds:
                    source.shift(queue, seconds)
                source.ends[outcome](queue, jobs[:1])
                if seconds == 4:
                    watch.look(queue)
                if outcome in (names.COMPLETED, names.ARCHIVED, names.CANCELLED):
                    source.ends[outcome](queue, jobs[1:])
        page = watch.account()
        for outcome, queue in queues.items():
            assert page.one(names.FINISHED_JOBS, queue=queue, outcome=outcome) >= 3
            assert sum(page.of(names.FINISHED_JOBS, queue=queue).values()) == page.one(
                names.FINISHED_JOBS, queue=queue, outcome=outcome
            ), "outcomes are disjoint"


def test_an_attempt_that_failed_is_tried_again(source: Source) -> None:
    source.create("mail", retries=2)
    with watching(source) as watch:
        source.send("mail", 3)
        for _ in range(2):
            source.retry("mail", source.take("mail", 3)[:2])
            watch.look()
        source.ends[names.COMPLETED]("mail", source.take("mail", 3))
        page = watch.account()
        if source.knows.retried:
            assert page.one(names.RETRIED) > 0


def test_workers_that_succeed_fail_and_try_again(source: Source) -> None:
    source.create("orders_dlq")
    source.create("orders", dead_letter="orders_dlq", retries=1)
    source.create("mail", retries=1)
    fates = ["succeed"] * 4 + ["fail"] * 2 + ["again"] * 2
    with watching(source) as watch:
        known = counters(watch.look(), source)
        with source.work("mail", fates) as mail, source.work("orders", fates) as orders:
            while not all([mail(), orders()]):
                told = counters(watch.collect(), source)
                assert all(told[key] >= value for key, value in known.items()), "a counter fell"
                known = told
        page = watch.account()
        for queue in ("mail", "orders"):
            assert sum(page.of(names.FINISHED_JOBS, queue=queue).values()) == len(fates)


def test_what_came_before_the_exporter_is_there_and_not_counted(source: Source) -> None:
    source.create("mail", retries=1)
    source.send("mail", 5)
    source.ends[names.COMPLETED]("mail", source.take("mail", 2)[:1])
    source.flush()
    source.wait_until(source.now() + 2 * SLACK)
    watch = Watch(source)
    page = watch.look()
    assert set(counters(page, source).values()) == {0}
    watch.account()
    source.send("mail", 2)
    source.ends[names.COMPLETED]("mail", source.take("mail"))
    page = watch.account()
    assert page.one(names.ENQUEUED) == 2
    watch.driver.close()


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled back"])
def test_what_commits_late_is_counted_once(source: Source, *, commit: bool) -> None:
    source.create("mail", "other")
    with watching(source) as watch:
        with source.late("mail", commit=commit):
            for _ in range(2):
                source.send("other")
                source.ends[names.COMPLETED]("other", source.take("other"))
                source.wait_until(source.now() + 2 * SLACK)
                page = watch.collect()
                assert sum(run.observations for run in page.of(names.RUN).values()) == 0, "all are behind the fence"
        watch.account()


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
        told = {labels[names.QUEUE] for _, labels, _ in written(page) if names.QUEUE in labels}
        assert told - {""} == set(source.odd_names)


def written(page: Collected) -> list[tuple[str, dict[str, str], float]]:
    """The samples as somebody else reads them off the page."""
    text = b"".join(
        part for block in render(page.samples) for part in (block.text_header, *block.pieces)
    ).decode()
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


#: How each metric has been met so far, of whatever source: type, help and labels.
MET: dict[str, tuple[str, str, frozenset[str]]] = {}


def test_a_metric_has_one_type_help_and_set_of_labels_whatever_the_source(source: Source) -> None:
    source.create("mail")
    with watching(source) as watch:
        source.send("mail", 2)
        source.ends[names.COMPLETED]("mail", source.take("mail"))
        page = watch.account()
    text = b"".join(part for block in render(page.samples) for part in (block.text_header, *block.pieces)).decode()
    catalogue = {metric.name.removesuffix("_total"): metric for metric in names.CATALOGUE}
    for family in text_string_to_metric_families(text):
        metric = catalogue[family.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        for sample in family.samples:
            about = (family.type, family.documentation, frozenset(sample.labels) - {"le"})
            assert MET.setdefault(family.name, about) == about
            if names.QUEUE in sample.labels and sample.labels[names.QUEUE]:
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
    with watching(source) as watch:
        source.send("mail", 3)
        before = series(watch.account(), source, "mail")
        with source.lock("mail"):
            source.send("other", 2)
            page = watch.collect()
            assert 0 in page.of(names.COLLECTION_SUCCESS, source=source.part_label).values()
            assert sum(page.of(names.COLLECTION_ERRORS, source=source.part_label, reason="lock").values()) > 0
            assert page.one(names.UP) == 1
            told = series(page, source, "mail")
            assert told.keys() == before.keys()
            if source.apart:
                watch.compare(page, "other", counters=False)
        source.send("mail")
        later(61)
        page = watch.account()
        assert 0 not in page.of(names.COLLECTION_SUCCESS).values()


def test_a_queue_stalls_while_nobody_takes_its_jobs(source: Source) -> None:
    source.create("mail")
    with watching(source) as watch:
        source.send("mail", 3)
        page = watch.look()
        if names.STALLED not in source.knows.metrics:
            assert page.of(names.STALLED) == {}
            return
        assert page.one(names.STALLED) == page.one(names.OLDEST_READY_AGE) > 0
        taken = source.now()
        source.take("mail")
        page = watch.look()
        assert page.one(names.STALLED) <= page.age(taken) < page.one(names.OLDEST_READY_AGE)
        assert watch.look().one(names.STALLED) > page.one(names.STALLED)


def test_a_job_that_waits_for_another_is_blocked(source: Source) -> None:
    source.create("mail")
    with watching(source) as watch:
        if names.BLOCKED not in source.knows.states:
            assert watch.look().of(names.JOBS, state=names.BLOCKED) == {}
            return
        assert isinstance(source, PgBossSource)
        source.block("mail")
        assert watch.look().one(names.JOBS, state=names.BLOCKED) == 1
        source.ends[names.COMPLETED]("mail", source.take("mail"))
        source.boss.resolve_flow()
        assert watch.account().jobs("mail") == (1, 0, 0)


def test_a_recurring_job_is_on_time_and_then_overdue(source: Source) -> None:
    source.create("with_underscore")
    with watching(source) as watch:
        if not isinstance(source, PgBossSource):
            assert watch.look().of(names.SCHEDULE_OVERDUE) == {}
            return
        source.recur("with_underscore")
        watch.account()
        source.miss("with_underscore", 10)
        # Who saw the last firing remembers it; for an exporter that starts now, this is all there is.
        assert watch.collect().one(names.SCHEDULE_OVERDUE, schedule="") == 0
    with watching(source) as watch:
        page = watch.look()
        assert 8 * 60 <= page.one(names.SCHEDULE_OVERDUE, schedule="") <= 11 * 60
