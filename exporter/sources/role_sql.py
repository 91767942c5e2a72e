"""The SQL of `sql role`: a role that may call functions, and the functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import __version__
from . import jobtable_functions, pgboss_functions, pgmq_functions, vacuum_functions
from .functions import Function, digest
from .installed import INTERFACE, Made
from .pgmq_selects import TABLES
from .role_sound import SHARED, shared
from .statements import SCHEMA, Query, filled, identifier, literal, raw, script
from .tenant_rules import tenants_digest

if TYPE_CHECKING:
    from ..config import Database

#: Several exporters, `check` beside them, and one more.
CONNECTIONS: Final = 5

ROLE: Final = "pgqueue_exporter"


class Kind(NamedTuple):
    """The functions of one kind of source."""

    name: str
    wanted: Callable[[Database], bool]
    functions: Callable[[Database], list[Function]]
    helpers: Callable[[Database], list[Query]]
    mine: str
    """Which functions in the schema these are: a condition on ``p.proname``."""
    tables: Callable[[Database], Query]
    """Which tables they read: a condition on ``pg_class c``."""


def _pgmq_tables(database: Database) -> Query:
    return filled(
        "c.relnamespace = (select oid from pg_namespace where nspname = {schema}) and (c.relname = 'meta' or {queues})",
        schema=literal(database.pgmq.schema_name),
        queues=TABLES,
    )


KINDS: Final = (
    Kind(
        "pgmq",
        lambda database: database.pgmq.enabled is not False,
        pgmq_functions.functions,
        pgmq_functions.helpers,
        r"p.proname like 'pgmq\_%'",
        _pgmq_tables,
    ),
    Kind(
        "pgboss",
        lambda database: database.pgboss.enabled is not False,
        pgboss_functions.functions,
        pgboss_functions.helpers,
        r"p.proname like 'pgboss\_%'",
        pgboss_functions.tables,
    ),
    Kind(
        "jobtable",
        lambda database: bool(database.job_tables),
        jobtable_functions.functions,
        jobtable_functions.helpers,
        r"p.proname like 'jobtable\_%'",
        jobtable_functions.tables,
    ),
    Kind(
        "vacuum",
        lambda database: database.vacuum,
        lambda _database: vacuum_functions.functions(),
        lambda _database: [],
        "p.proname = 'vacuum'",
        lambda _database: raw("false"),
    ),
)


def expected(database: Database) -> dict[str, tuple[str, Made]]:
    """By name, the functions that the configuration asks for: SQL, and what its comment tells."""
    return {
        function.name: _made(function, database, kind)
        for kind in KINDS
        if kind.wanted(database)
        for function in kind.functions(database)
    }


def _made(function: Function, database: Database, kind: Kind) -> tuple[str, Made]:
    helpers = "".join(_text(helper) for helper in [*shared(), *kind.helpers(database)])
    tenants = tenants_digest(database, kind.name) if kind.name in ("pgmq", "pgboss") else digest("")
    made = Made(__version__, INTERFACE, tenants, digest(function.text("") + helpers))
    return function.text(made.comment()), made


def role_lines(database: Database, role: str = ROLE, sources: Iterable[str] = ()) -> str:
    """SQL that makes the role and the functions, or brings them up to date. ``sources``: only of these kinds.

    Without them, functions that the configuration has no use for any more are dropped.
    """
    some = tuple(sources)
    kinds = _chosen(database, some)
    names = {"schema": SCHEMA, "schema_name": identifier(SCHEMA), "role": role, "role_name": identifier(role)}
    parts = [
        script(
            "role_header",
            about=raw(_about(database, role)),
            connections=CONNECTIONS,
            kinds=raw(" or ".join([SHARED, *(kind.mine for kind in (kinds if some else KINDS))])),
            **names,
        ),
        *shared(),
    ]
    for kind in kinds:
        parts += kind.helpers(database)
        parts += [raw(_made(function, database, kind)[0]) for function in kind.functions(database)]
    tables = raw(" or ".join(f"({_text(kind.tables(database))})" for kind in kinds))
    parts.append(script("role_footer", tables=tables, **names))
    return "".join(_text(part) + "\n" for part in parts)


def drop_lines(database: Database, role: str = ROLE, sources: Iterable[str] = ()) -> str:
    """SQL that takes it all back, or with ``sources`` the functions of these kinds."""
    some = tuple(sources)
    kinds = raw(" or ".join(kind.mine for kind in _chosen(database, some)) if some else "true")
    names = {"schema": SCHEMA, "schema_name": identifier(SCHEMA), "role": role, "role_name": identifier(role)}
    rest = raw("commit;\n") if some else script("role_drop_rest", **names)
    about = f"-- pgqueue-exporter {__version__}: takes back what `sql role` made for {database.name!r}."
    return _text(script("role_drop", about=raw(about), kinds=kinds, rest=rest, schema=SCHEMA))


def _chosen(database: Database, sources: Iterable[str]) -> list[Kind]:
    wanted = tuple(sources)
    return [kind for kind in KINDS if (kind.name in wanted if wanted else kind.wanted(database))]


def _about(database: Database, role: str) -> str:
    lines = f"""\
pgqueue-exporter {__version__}: a role of its own for the database {database.name!r}, that can read no payload.

It may call the functions of the schema {SCHEMA}, and read no table. They run with the rights of whoever runs
this script, and give counts, times and the names of tenants: never a row, never a payload. Which part of a job is its
tenant stands in them: print and run this again when `tenants` in the configuration changes, and after an update of
the exporter; `check` tells when. New queues need nothing.

Run it as the owner of the queues' tables, who may also make roles (a superuser, or a role with CREATEROLE, such as
postgres on Supabase). It can be run again at any time, and changes nothing but this role and this schema:

    pgqueue-exporter sql role | psql -X -v ON_ERROR_STOP=1 CONNECTION

Then give the role a password, which is printed nowhere: in psql, \\password {role}"""
    return "\n".join(f"-- {line}".rstrip() for line in lines.splitlines())


def _text(query: Query) -> str:
    return query.as_string(None)
