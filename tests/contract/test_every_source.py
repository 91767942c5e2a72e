"""The same behaviours of every source: each series that it promises equals plain SQL, and no other is there."""

from __future__ import annotations

import contextlib
from typing import get_args

import pytest

from exporter import names
from exporter.sources.fence import SLACK
from tests.sources.base import FAR, Source
from tests.sources.knows import KNOWS, Kind
from tests.sources.pgboss import PgBossSource
from tests.watching import Watch, counters, series, watching


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
    """Also where a job has been ready for longer, so that the longest-ready one stays who it is."""
    source.create("mail", "busy")
    with watching(source) as watch:
        source.send("busy")
        due = source.now() + 1
        source.send("mail", 2, at=due)
        source.send("busy", 2, at=due)
        page = watch.look()
        assert source.now() < due, "this machine is too slow for this test"
        source.wait_until(due)
        later = watch.look()
        if source.knows.states:
            assert (page.jobs("mail"), later.jobs("mail")) == ((0, 2, 0), (2, 0, 0))
            assert (page.jobs("busy"), later.jobs("busy")) == ((1, 2, 0), (3, 0, 0))
            assert page.one(names.OLDEST_READY_AGE, queue="mail") == 0 < later.one(names.OLDEST_READY_AGE, queue="mail")


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
    source.create("mail")
    source.send("mail", 8)
    outcomes = [outcome for outcome in source.ends if outcome != names.DEAD_LETTERED]
    jobs = source.take("mail", 6)
    for outcome in outcomes:
        source.ends[outcome]("mail", [jobs.pop()])
    source.flush()
    source.wait_until(source.now() + 2 * SLACK)
    with contextlib.closing(Watch(source)) as watch:
        page = watch.look()
        assert set(counters(page, source).values()) == {0}
        watch.account()
        source.send("mail", 2)
        for outcome in outcomes:
            source.ends[outcome]("mail", [jobs.pop()])
        page = watch.account()
        assert page.one(names.ENQUEUED) == 2
        assert {value for value in page.of(names.FINISHED_JOBS).values() if value} == {1}


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


def test_a_queue_stalls_while_nobody_takes_its_jobs(source: Source) -> None:
    source.create("mail")
    with watching(source) as watch:
        source.send("mail", 3)
        page = watch.look()
        if names.STALLED not in source.knows.metrics:
            assert page.of(names.STALLED) == {}
            return
        # Up to the last look that would have seen a dequeue: a moment before, on a busy machine.
        assert 0 < page.one(names.STALLED) <= page.one(names.OLDEST_READY_AGE)
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
        assert page.of(names.QUEUE_INFO, queue="__pgboss__send-it") == {}
        # Its record deleted, as pg-boss does after a while: what was seen is remembered.
        source.sql.execute("delete from pgboss.job where name = '__pgboss__send-it'")
        page = watch.look()
        assert 8 * 60 <= page.one(names.SCHEDULE_OVERDUE, schedule="") <= 11 * 60
