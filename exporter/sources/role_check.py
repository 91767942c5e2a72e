"""What `check` tells of the functions that `sql role` printed: whether they are those it would print now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from . import vouching
from .findings import ERROR, NOTE, WARNING, Finding
from .installed import FunctionRow, OwnerRow, functions_select, owner_select
from .role_owners import unknown_owners
from .role_sql import KINDS, expected
from .statements import SCHEMA, statement

if TYPE_CHECKING:
    from ..config import Database
    from ..model import Fault
    from .installed import Installed, Made
    from .postgres import Session
    from .role_sql import Kind

_AGAIN = "print and run them again: pgqueue-exporter sql role"


def findings(session: Session, database: Database) -> Iterator[Finding]:
    """Nothing where there are none, or where the role needs none, but a schema of somebody who is not trusted."""
    for row in session.read(owner_select(database), OwnerRow):
        message = (
            f"the schema {SCHEMA} belongs to {row.owner}, no superuser nor the owner of the database, nor of queues"
            " with `enabled: true`: no function in it is called"
        )
        yield Finding(ERROR, "functions", message)
    there = session.functions
    if not there:
        refused = [row for row in session.read(functions_select(database), FunctionRow) if not row.usable]
        if refused:
            message = (
                f"there are {len(refused)} in {SCHEMA}, and this role may call none of them:"
                " pgqueue-exporter sql role --role NAME gives them to it, and to no other"
            )
            yield Finding(WARNING, "functions", message)
        return
    known = expected(database)
    idle = sorted(there.keys() - known.keys())
    if idle:
        told = ", ".join(idle[:3]) + (", ..." if len(idle) > 3 else "")
        message = f"the configuration has no use for {len(idle)} of those that may be called ({told}); {_AGAIN}"
        yield Finding(WARNING, "functions", message)
    for kind in KINDS:
        wanted = {function.name for function in kind.functions(database)} if kind.wanted(database) else set()
        mine = {name: there[name] for name in wanted if name in there}
        if not _is_there(session, database, kind):
            continue
        if mine:
            made = {name: known[name][1] for name in mine}
            yield from _of_kind(session, database, kind, wanted, mine, made)
        elif wanted:
            message = f"there is none for {kind.name}, which is read directly: {_AGAIN}"
            yield Finding(NOTE, "functions", message)


def _is_there(session: Session, database: Database, kind: Kind) -> bool:
    """Whether there may be something for functions of a kind to read."""
    if kind.name not in ("pgmq", "pgboss"):
        return True
    pgmq = kind.name == "pgmq"
    if (database.pgmq.enabled if pgmq else database.pgboss.enabled) is True:
        return True
    schemas = [database.pgmq.schema_name] if pgmq else database.pgboss.schemas
    return any(session.read(statement("schema_owner", schema=schema), vouching.OwnerRow) for schema in schemas)


def advice(session: Session, faults: Iterable[Fault]) -> Iterator[Finding]:
    """What helps a role that was refused something and has no functions to call."""
    # Whom nobody vouches for is a refusal of our own, which says what to do.
    refused = any(fault.reason == "privilege" and "enabled: true" not in fault.detail for fault in faults)
    if refused and not session.functions:
        message = (
            "this role may not read what it is to watch: pgqueue-exporter sql role prints SQL for one that needs no"
            " such right, and can read no payload"
        )
        yield Finding(NOTE, "role", message)


def _of_kind(
    session: Session,
    database: Database,
    kind: Kind,
    wanted: set[str],
    mine: dict[str, Installed],
    made: dict[str, Made],
) -> Iterator[Finding]:
    about = f"functions of {kind.name}"
    yield Finding(NOTE, about, f"read through {SCHEMA} ({len(mine)} functions)")
    if kind.name != "vacuum":
        for what, owner in unknown_owners(session, database, kind):
            message = f"belongs to {owner}, whom they do not know, so they do not read it; if that is right, {_AGAIN}"
            yield Finding(ERROR, what, message)
    version = next(iter(mine.values())).made.version
    if not all(found.fits for found in mine.values()):
        yield Finding(ERROR, about, f"printed by version {version}, which this one cannot call; {_AGAIN}")
    elif any(found.made.tenants != made[name].tenants for name, found in mine.items()):
        message = f"they know tenants by other rules than the configuration, so tenants are not read; {_AGAIN}"
        yield Finding(ERROR, about, message)
    elif wanted - mine.keys() or any(found.made.text != made[name].text for name, found in mine.items()):
        yield Finding(WARNING, about, f"not as this version would make them (printed by {version}); {_AGAIN}")
