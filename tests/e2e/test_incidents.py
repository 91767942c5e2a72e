"""Incidents, played for real: the right people get the right message on each channel, once, then the resolution."""

import re

import psycopg

from tests.e2e.jobs import Producer, Worker, enqueue
from tests.e2e.world import World, until


def test_workers_stop_and_come_back(world: World) -> None:
    dsn = world.database.dsn
    with world.incident() as incident, Producer(dsn, "mail", {"acme": 2, "globex": 1}):
        worker = Worker(dsn, "mail")
        worker.stop()
        incident.expect("urgent", "PGQueueStalled", "queue mail")
        incident.expect("tickets", "PGQueueReadyAgeHigh", "queue mail")
        for text in incident.texts("PGQueueReadyAgeHigh"):
            assert re.search(r"the oldest ready job has waited for \d+\.\d+s; the limit is 4s", text), text
            assert "runbooks/pgqueuereadyagehigh" in text
            assert "/#/silences/new?filter=" in text
        with Worker(dsn, "mail"):
            incident.expect_end()


def test_a_teams_queue_is_the_teams_business(world: World) -> None:
    dsn = world.database.dsn
    with world.incident() as incident:
        with Producer(dsn, "invoices", {"acme": 1, "globex": 1}):
            incident.expect("payments, urgently", "PGQueueStalled", "queue invoices")
            incident.expect("payments", "PGQueueReadyAgeHigh", "queue invoices")
        with Worker(dsn, "invoices"):
            incident.expect_end()


def test_a_poison_job_is_dequeued_again_and_again(world: World) -> None:
    dsn = world.database.dsn
    with world.incident() as incident, world.database.connect() as connection:
        enqueue(connection, "images", "acme")
        with Worker(dsn, "images", lease=0, dies=True, pause=0.3):
            incident.expect("tickets", "PGQueueRedeliveries", "queue images")
        with Worker(dsn, "images"):
            incident.expect_end()


def test_jobs_are_given_up_on(world: World) -> None:
    with world.incident() as incident, world.database.connect() as connection:
        enqueue(connection, "mail_dlq", "acme", 3)
        incident.expect("tickets", "PGQueueDeadLetters", "queue mail_dlq")
        connection.execute("SELECT pgmq.purge_queue('mail_dlq')")
        incident.expect_end()


def test_one_tenant_floods_a_queue(world: World) -> None:
    with world.incident() as incident, world.database.connect() as connection:
        enqueue(connection, "shared", "globex", 5)
        enqueue(connection, "shared", "acme", 400)
        incident.expect("tickets", "PGQueueTenantDominates", "queue shared, tenant acme")
        incident.expect("acme", "PGQueueTenantDominates", "queue shared, tenant acme")
        connection.execute("SELECT pgmq.purge_queue('shared')")
        incident.expect_end()


def test_a_transaction_holds_vacuum_back(world: World) -> None:
    with world.incident() as incident:
        with psycopg.connect(world.database.dsn) as connection:
            connection.execute("SELECT pg_current_xact_id()")
            incident.expect("tickets", "PGQueueVacuumBlocked", "database main")
            connection.rollback()
        incident.expect_end()


def test_a_killed_exporter_is_told_of_and_hides_no_backlog(world: World) -> None:
    dsn = world.database.dsn
    killed = world.exporters[0]
    with world.incident() as incident:
        killed.kill()
        incident.expect("tickets", "PGQueueExporterDown", f"exporter {killed.address}")
        with Producer(dsn, "reports", {"acme": 1}):
            incident.expect("urgent", "PGQueueStalled", "queue reports")
            incident.expect("tickets", "PGQueueReadyAgeHigh", "queue reports")
            killed.start()
            with Worker(dsn, "reports"):
                incident.expect_end()


def test_without_any_exporter_nothing_is_said_of_queues(world: World) -> None:
    with world.incident() as incident, world.database.connect() as connection:
        enqueue(connection, "mail_dlq", "acme", 3)
        incident.expect("tickets", "PGQueueDeadLetters", "queue mail_dlq")
        incident.allow("tickets", "PGQueueExporterDown")  # while the other is not yet seen to be gone, or already back
        for exporter in world.exporters:
            exporter.kill()
        for exporter in world.exporters:
            incident.expect("urgent", "PGQueueExporterDown", f"exporter {exporter.address}")
        until(lambda: "PGQueueDeadLetters" not in world.firing(), lambda: "it is remembered for longer than it is held")
        for exporter in world.exporters:
            exporter.start()
        until(lambda: "PGQueueDeadLetters" in world.firing(), lambda: "it is not seen again")
        connection.execute("SELECT pgmq.purge_queue('mail_dlq')")
        incident.expect_end()


def test_a_database_that_is_down_is_told_of_and_nothing_else(world: World) -> None:
    with world.incident() as incident:
        world.postgres.stop()
        incident.expect("urgent", "PGQueueDatabaseDown", "database main")
        world.postgres.start()
        incident.expect_end()
