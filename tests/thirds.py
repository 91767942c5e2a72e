"""A third party in a database: a role nobody vouches for, and code of theirs that tells as whom it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.servers import Database

_END = "that is all"
_PATIENCE = 30.0

#: As much of pg-boss as is needed to be taken for it.
BOSS = {
    "version": "version int",
    "queue": "name text, table_name text, monitor_on timestamptz",
    "job": "id uuid, name text, state text",
    "schedule": "name text",
    "subscription": "event text",
}


@contextmanager
def third_in(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A connection of a new role that may make schemas, and hears what its own code tells."""
    name = database.server.add_user()
    database.run(f'grant create on database "{database.name}" to "{name}"')
    with database.connect(name) as connection:
        connection.execute("listen loot")
        yield connection


def make_tell(third: psycopg.Connection[Any], schema: str) -> None:
    """Makes the code: `tell(int)`, which is 1. Claimed to be immutable, it may stand in an index."""
    third.execute(
        f"""create function {schema}.tell(int) returns int language plpgsql immutable as
            $$ begin perform pg_notify('loot', current_user); return 1; end $$""".encode()
    )


def ran_as(third: psycopg.Connection[Any]) -> set[str]:
    """As whom else the code of a third ran, in all that was committed since this was last asked.

    Notifications come in the order of their commits, so a last one of our own is waited for, and nothing longer.
    """
    with psycopg.connect(third.info.dsn, password=third.info.password, autocommit=True) as connection:
        connection.execute("select pg_notify('loot', %s)", [_END])
    found: set[str] = set()
    for notice in third.notifies(timeout=_PATIENCE):
        if notice.payload == _END:
            return found - {third.info.user}
        found.add(notice.payload)
    raise AssertionError(f"the last notification did not come; before it, {found}")
