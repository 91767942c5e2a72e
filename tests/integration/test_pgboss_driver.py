"""The driver of real pg-boss: what it does is read back from pg-boss's own tables by plain SQL."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.pgboss import POLICIES, PgBoss, PgBossError, Version
from tests.servers import Database

TWELVE: tuple[Version, ...] = ("12mid", "12")


def wait_for(what: Callable[[], object], patience: float = 15.0) -> None:
    until = time.monotonic() + patience
    while not what():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)


def states(database: Database, queue: str, schema: str = "pgboss") -> dict[str, int]:
    rows = database.run(f"SELECT state::text, count(*) FROM {schema}.job WHERE name = %s GROUP BY 1", [queue])
    return {str(state): int(count) for state, count in rows}


def one(database: Database, job: str | None, columns: str, schema: str = "pgboss") -> tuple[Any, ...]:
    [row] = database.run(f"SELECT {columns} FROM {schema}.job WHERE id = %s", [job])
    return row


def test_jobs_in_every_state(database: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version) -> None:
    boss = pgboss(pgboss_version, database.dsn)
    boss.create_queue("q", retryLimit=1)
    sent = {what: boss.send("q", {"what": what}) for what in ("cancelled", "failed", "retry", "completed", "active")}
    by_id = {job: what for what, job in sent.items()}
    for job in boss.fetch("q", 5):
        assert job.retry_count == 0
        assert by_id[job.id] == job.data["what"]
    assert boss.fail("q", str(sent["failed"])) == 1
    [again] = boss.fetch("q")
    assert (again.id, again.retry_count) == (sent["failed"], 1)
    assert boss.fail("q", again.id, output={"why": "told to"}) == 1
    assert boss.fail("q", str(sent["retry"])) == 1
    assert boss.complete("q", str(sent["completed"])) == 1
    assert boss.cancel("q", str(sent["cancelled"])) == 1
    created = boss.send("q", {"what": "created"}, priority=3)
    delayed = boss.send("q", {"what": "delayed"}, startAfter=3600)

    assert states(database, "q") == {
        "created": 2,
        "retry": 1,
        "active": 1,
        "completed": 1,
        "cancelled": 1,
        "failed": 1,
    }
    for what, sent_id in sent.items():
        state, ended = one(database, sent_id, "state::text, completed_on IS NOT NULL")
        assert state == what
        assert ended == (what in {"completed", "cancelled", "failed"})
    assert one(database, created, "start_after <= now(), priority") == (True, 3)
    assert one(database, delayed, "start_after > now() + interval '59 min'") == (True,)
    assert boss.errors == []


def test_what_ended_is_resumed_and_retried_by_hand(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("q", retryLimit=0)
    boss.insert("q", [{"data": n} for n in range(3)])
    first, second, third = (job.id for job in boss.fetch("q", 3))
    boss.cancel("q", first)
    boss.fail("q", second)
    boss.complete("q", third)
    assert boss.resume("q", first, third) == 1
    assert boss.retry("q", second, third) == 1
    assert states(database18, "q") == {"created": 1, "retry": 1, "completed": 1}
    assert boss.delete_job("q", third) == 1
    assert states(database18, "q") == {"created": 1, "retry": 1}


def test_a_dead_letter_is_a_new_job(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("dead")
    boss.create_queue("q", retryLimit=0, deadLetter="dead")
    job = boss.send("q", {"tenant": "a"})
    boss.fetch("q")
    boss.fail("q", str(job))
    assert states(database18, "q") == {"failed": 1}
    assert states(database18, "dead") == {"created": 1}
    if pgboss_version in TWELVE:
        assert database18.run("SELECT source_name, source_id::text FROM pgboss.job WHERE name = 'dead'") == [("q", job)]
        boss.redrive("dead")
        assert states(database18, "dead") == {}
        assert states(database18, "q") == {"failed": 1, "created": 1}


def test_workers_do_what_their_jobs_say(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("q", retryLimit=2)
    jobs = [{"do": "succeed"}, {"do": "fail"}, {"do": "nth", "n": 3}]
    boss.insert("q", [{"data": data} for data in jobs])
    for _ in range(3):
        boss.work("q")
    wait_for(lambda: states(database18, "q") == {"completed": 2, "failed": 1})
    work = boss.worked("q")
    assert (work.attempts, work.succeeded, work.failed) == (7, 2, 5)
    boss.off_work("q")


def test_what_expires_is_failed(database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    for queue in ("abandoned", "hanging"):
        boss.create_queue(queue, retryLimit=0, expireInSeconds=1)
    boss.send("abandoned")
    boss.send("hanging", {"do": "hang"})
    boss.fetch("abandoned")
    boss.work("hanging")
    wait_for(lambda: states(database18, "hanging") == {"failed": 1})
    assert boss.worked("hanging").hung == 1
    assert states(database18, "abandoned") == {"active": 1}
    boss.supervise()
    assert states(database18, "abandoned") == {"failed": 1}


def test_supervision_counts(database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("q")
    boss.insert("q", [{"data": {"n": n}} for n in range(3)])
    boss.fetch("q")
    began = database18.run("SELECT now()")
    boss.supervise()
    if pgboss_version == "10":
        read = "SELECT maintained_on >= %s, monitored_on >= %s FROM pgboss.version"
        assert database18.run(read, [*began[0], *began[0]]) == [(True, True)]
        return
    read = "SELECT queued_count, active_count, monitor_on >= %s FROM pgboss.queue WHERE name = 'q'"
    assert database18.run(read, began[0]) == [(2, 1, True)]
    boss.fetch("q")
    boss.supervise()  # at once again, after the second that pg-boss keeps between two counts
    assert database18.run(read, began[0]) == [(1, 2, True)]


def test_a_schedule_sends_its_jobs(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn, schedule=True)
    boss.create_queue("q")
    boss.schedule("q", "* * * * *", {"by": "schedule"})
    assert database18.run("SELECT name, cron FROM pgboss.schedule") == [("q", "* * * * *")]
    wait_for(lambda: states(database18, "q") == {"created": 1})
    boss.unschedule("q")
    assert database18.run("SELECT count(*) FROM pgboss.schedule") == [(0,)]


def test_policies_drop_and_block(database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    kept, fetched = {}, {}
    for policy in POLICIES[pgboss_version]:
        queue = f"q-{policy}"
        boss.create_queue(queue, policy)
        assert database18.run("SELECT policy FROM pgboss.queue WHERE name = %s", [queue]) == [(policy,)]
        key = {"singletonKey": "k"} if policy == "key_strict_fifo" else {}
        kept[policy] = sum(boss.send(queue, **key) is not None for _ in range(3))
        fetched[policy] = sum(len(boss.fetch(queue)) for _ in range(3))
    want = {"standard": 3, "short": 1, "singleton": 3, "stately": 1, "exclusive": 1, "key_strict_fifo": 3}
    assert kept == {policy: want[policy] for policy in kept}
    assert fetched == {policy: {"standard": 3}.get(policy, 1) for policy in kept}


@pytest.mark.parametrize("pgboss_version", TWELVE)
def test_a_child_is_blocked_until_its_parent_is_complete(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("q")
    ids = boss.flow([{"ref": "parent", "queue": "q"}, {"ref": "child", "queue": "q", "dependsOn": ["parent"]}])
    assert one(database18, ids["child"], "blocked, state::text") == (True, "created")
    [parent] = boss.fetch("q", 2)
    assert parent.id == ids["parent"]
    boss.complete("q", parent.id)
    boss.resolve_flow()
    assert one(database18, ids["child"], "blocked, state::text") == (False, "created")


@pytest.mark.parametrize("pgboss_version", TWELVE)
def test_groups_and_heartbeats(database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version) -> None:
    boss = pgboss(pgboss_version, database18.dsn)
    boss.create_queue("q", heartbeatSeconds=10)
    sent = boss.send("q", group={"id": "tenant-1"})
    boss.insert("q", [{"group": {"id": "tenant-2"}}])
    assert one(database18, sent, "group_id, heartbeat_seconds") == ("tenant-1", 10)
    assert {row[0] for row in database18.run("SELECT group_id FROM pgboss.job")} == {"tenant-1", "tenant-2"}
    [job, _] = boss.fetch("q", 2)
    before = one(database18, job.id, "heartbeat_on")
    assert boss.touch("q", job.id) == 1
    assert one(database18, job.id, "heartbeat_on") > before


def test_tables_of_a_queue_s_own_and_any_schema(
    database18: Database, pgboss: Callable[..., PgBoss], pgboss_version: Version
) -> None:
    first = pgboss(pgboss_version, database18.dsn, "jobs_a")
    second = pgboss(pgboss_version, database18.dsn, "jobs_b")
    own = first.create_queue("own", partition=True)
    assert own.startswith("j")
    assert own != "job_common"
    common = first.create_queue("common")
    assert (common == "job_common") == (pgboss_version != "10")
    first.insert("own", [{"data": n} for n in range(2500)])
    assert database18.run(f'SELECT count(*) FROM jobs_a."{own}"') == [(2500,)]
    second.create_queue("own")
    second.send("own")
    assert states(database18, "own", "jobs_b") == {"created": 1}
    if pgboss_version == "10":  # its own foreign key keeps a queue that has jobs
        with pytest.raises(PgBossError, match="foreign key"):
            first.delete_queue("own")
        first.delete_queued_jobs("own")
    first.delete_queue("own")
    assert database18.run("SELECT to_regclass(%s)", [f'jobs_a."{own}"']) == [(None,)]


def test_11_becomes_12_in_place(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    with pgboss("11", database18.dsn) as old:
        old.create_queue("q")
        old.create_queue("own", partition=True)
        old.insert("q", [{"data": n} for n in range(5)])
        assert old.schema_version == 26
        old.stop()
    new = pgboss("12", database18.dsn)
    assert new.schema_version == 46
    assert len(new.fetch("q", 5)) == 5
    # Indexes come in the background, after the start.
    wait_for(lambda: database18.run("SELECT count(*) FROM pgboss.bam WHERE status <> 'completed'") == [(0,)])
    assert database18.run("SELECT to_regclass('pgboss.job_common_i14') IS NOT NULL") == [(True,)]


def test_12_refuses_10_until_it_is_dropped(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    pgboss("10", database18.dsn).stop()
    with pytest.raises(PgBossError, match="start: "):
        pgboss("12", database18.dsn)
    database18.run("DROP SCHEMA pgboss CASCADE")
    new = pgboss("12", database18.dsn)
    new.create_queue("q")
    assert new.schema_version == 46


def test_an_instance_is_heard_and_goes(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    boss = pgboss("12", database18.dsn, instanceHeartbeatSeconds=1, instanceName="one")
    boss.create_queue("q")
    boss.work("q")
    wait_for(lambda: database18.run("SELECT jsonb_array_length(workers) FROM pgboss.instance") == [(1,)])
    boss.kill()
    silent = "SELECT stopped_on IS NULL AND heartbeat_on < now() - interval '2 s' FROM pgboss.instance"
    wait_for(lambda: database18.run(silent) == [(True,)])
    again = pgboss("12", database18.dsn, instanceName="two")
    again.stop()
    assert not again.running
    assert database18.run("SELECT stopped_on IS NOT NULL FROM pgboss.instance WHERE name = 'two'") == [(True,)]


def test_what_a_version_lacks_is_an_error(database18: Database, pgboss: Callable[..., PgBoss]) -> None:
    boss = pgboss("10", database18.dsn)
    boss.create_queue("q")
    with pytest.raises(PgBossError, match=r"pg-boss 10\.4\.2 has no group"):
        boss.send("q", group={"id": "a"})
    with pytest.raises(PgBossError, match="not a valid queue policy"):
        boss.create_queue("x", "exclusive")
