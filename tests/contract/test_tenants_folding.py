"""Odd tenants on real Postgres: folded there as the exporter does, and nobody has the label of another."""

from __future__ import annotations

import sys

from exporter import names
from exporter.folding import fold, odd
from exporter.sources.tenancy import FOLD
from tests.exporter import Driver
from tests.outcomes import by_tenant
from tests.servers import Database, Server, flush

#: The numbers are the same through the functions of `sql role`.
BOTH_WAYS = True


def test_postgres_folds_the_characters_that_the_exporter_does(server: Server) -> None:
    database = server.create_database()
    rows = database.run(
        f"""select n from generate_series(1, {sys.maxunicode}) n, lateral (select 'a' || chr(n) || 'b' as v offset 0) s
             where n not between 55296 and 57343 and {FOLD} <> v"""
    )
    assert {row[0] for row in rows} == {
        code for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code < 0xE000 and odd(f"a{chr(code)}b")
    }
    for value in ("x" * 128, "x" * 129, "{}", "[", "a{", "folded:", "folded:0123456789abcdef", "tag\U000e0041", "é"):
        with database.connect() as connection:
            assert connection.execute(f"select {FOLD} from (select %s::text as v) s", [value]).fetchone() == (
                fold(value),
            )
    server.drop_database(database.name)


def test_nobody_hides_how_long_a_folded_tenant_waits(pgmq_database: Database) -> None:
    with pgmq_database.connect() as connection:
        connection.execute("select pgmq.create('mail')")
        values = [character * 200 for character in "abcdefgh"]
        for value in values:
            for tenant, age in ((value, 3600), (fold(value), 1)):
                connection.execute(
                    """insert into pgmq.q_mail (vt, enqueued_at, message)
                       select now() - make_interval(secs => %s), now() - interval '2 h',
                              jsonb_build_object('project_id', %s::text)""",
                    [age, tenant],
                )
        flush(connection)
    driver = Driver(pgmq_database.dsn, tenants={"from": [{"message": "project_id"}]})
    driver.collect()
    # Once more, for by now the folded ones are those that must be named.
    for page in (driver.recount(), driver.recount()):
        ages = by_tenant(page, names.OLDEST_READY_AGE)
        jobs = by_tenant(page, names.JOBS, state=names.READY)
        for value in values:
            assert ages[fold(value)] >= 3600
            assert jobs[fold(value)] == jobs[fold(fold(value))] == 1
            assert ages[fold(fold(value))] < 1800
    driver.close()
