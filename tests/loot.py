"""What the code of a role that is not trusted told, and as whom it ran."""

from __future__ import annotations

from typing import Any

import psycopg

_END = "that is all"
_PATIENCE = 30.0


def ran_as(third: psycopg.Connection[Any]) -> set[str]:
    """As whom else the code of the role that listens to `loot` ran, in all that was committed until now.

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
