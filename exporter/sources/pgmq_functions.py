"""pgmq's functions for a role that may read no table: every SELECT of a queue, with its tenants written in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .distributions import buckets, sums, zeros
from .functions import Found, Function
from .pgmq_counts import Seen
from .pgmq_queue import Probe
from .pgmq_selects import TABLES, FinishedRow, HeadRow, SequenceRow
from .pgmq_tables import Listed
from .pgmq_tenants import groups
from .relations import Relation
from .role_sound import guarded, names_in_schema, sound, sound_functions, vouched
from .statements import SCHEMA, Query, filled, identifier, joined, literal, raw, script, statement
from .tenancy import FOLD, NO_STATES, TenantRow
from .tenant_rules import odd_found, tenant_function

if TYPE_CHECKING:
    from ..config import Database

_TIME: Final = "timestamp with time zone"
_COUNTS: Final = {
    "queue": "text",
    "cap": "bigint",
    "id_from": "bigint",
    "poison": "bigint",
    "first": "bigint",
    "timed": "boolean",
}
_FINISHED: Final = {
    "queue": "text",
    "after": "double precision",
    "settled": "double precision",
    "slice": "double precision",
    "with_wait": "boolean",
}
_TENANTS: Final = {"queue": "text", "kept": "text[]", "most": "bigint", "waiting": "bigint"}

_KEY: Final = Found(raw("case when each_by_id[_n] then 'msg_id' else 'enqueued_at' end"), True)
_LAST_READ: Final = Found(
    raw("case when each_timed[_n] then 'last_read_at' else 'null::timestamptz as last_read_at' end")
)
_BUCKETS: Final = {"run_buckets": buckets("run"), "wait_buckets": buckets("wait")}


def helpers(database: Database) -> list[Query]:
    """What the functions call, and nobody else may."""
    schema = database.pgmq.schema_name
    table = script(
        "role_pgmq_table",
        name=identifier(SCHEMA, "pgmq_table"),
        of_name=sound("pgmq", "_of"),
        vouched_name=vouched("pgmq"),
        schema=schema,
        meta=identifier(schema, "meta"),
    )
    which = filled("(c.relname = 'meta' or {queues})", queues=TABLES)
    return [
        sound_functions("pgmq", [schema], which, names_in_schema("meta")),
        table,
        tenant_function(database, "pgmq_tenant", "pgmq", "message"),
    ]


def functions(database: Database) -> list[Function]:
    """All of them, in the order in which a cycle calls them."""
    schema = database.pgmq.schema_name
    return guarded([*_of_catalogue(schema), *_of_queues(schema), *_by_tenant(database)], "pgmq", schema)


def _of_catalogue(schema: str) -> list[Function]:
    return [
        Function(
            "pgmq_relations",
            "What Postgres itself knows of the tables: catalogue and statistics, no row of theirs.",
            Relation,
            {},
            lambda: statement("relations", schema=schema, which=TABLES),
        ),
        Function(
            "pgmq_queues", "The queues.", Listed, {}, lambda: statement("pgmq_queues", meta=identifier(schema, "meta"))
        ),
        Function(
            "pgmq_sequences",
            "The last ids drawn, of sequences of this schema only.",
            SequenceRow,
            {"sequences": "oid[]"},
            lambda sequences: statement(
                "pgmq_sequences", sequences=statement("role_sequences", schema=schema, sequences=sequences)
            ),
        ),
    ]


def _of_queues(schema: str) -> list[Function]:
    table, archive = _table("q_"), _table("a_")
    return [
        Function(
            "pgmq_head_by_vt",
            "When the longest-ready job became ready, and the lowest id with its time.",
            Probe,
            {"queue": "text", "id_from": "bigint", "ready_from": _TIME},
            _select("pgmq_head_by_vt", schema),
            {"table": table},
            together=True,
        ),
        Function(
            "pgmq_head_by_key",
            "The same of a queue without an index on vt.",
            Probe,
            {"queue": "text", "id_from": "bigint", "by_id": "boolean"},
            _select("pgmq_head_by_key", schema),
            {"table": table, "key": _KEY},
            together=True,
        ),
        Function(
            "pgmq_counts_by_vt",
            "Jobs by state, up to a limit.",
            Seen,
            {**_COUNTS, "leases": "bigint", "ready_from": _TIME, "unready_from": _TIME},
            _select("pgmq_counts_by_vt", schema),
            {"table": table, "last_read": _LAST_READ},
            together=True,
        ),
        Function(
            "pgmq_counts_by_key",
            "The same in one pass by id.",
            Seen,
            {**_COUNTS, "by_id": "boolean"},
            _select("pgmq_counts_by_key", schema),
            {"table": table, "key": _KEY, "last_read": _LAST_READ},
            together=True,
        ),
        Function(
            "pgmq_head_length",
            "How many jobs stand before the first ready one.",
            HeadRow,
            {"queue": "text", "id_from": "bigint", "cap": "bigint"},
            _select("pgmq_head_length", schema),
            {"table": table},
            together=True,
        ),
        Function(
            "pgmq_finished",
            "How many jobs were archived in a slice of time, and how long they ran and waited, in buckets.",
            FinishedRow,
            _FINISHED,
            _select("pgmq_finished", schema, **_BUCKETS),
            {"table": archive},
            together=True,
        ),
    ]


def _by_tenant(database: Database) -> list[Function]:
    schema = database.pgmq.schema_name
    sums_and_zeros = {"run_sums": sums("run_buckets"), "wait_sums": sums("wait_buckets"), "zeros": zeros()}
    return [
        Function(
            "pgmq_finished_tenants",
            "The same by tenant.",
            FinishedRow,
            {**_FINISHED, "kept": "text[]", "most": "bigint"},
            _select("pgmq_finished_tenants", schema, fold=raw(FOLD), **_BUCKETS, **sums_and_zeros),
            {"table": _table("a_"), "value": _tenant(schema)},
            together=True,
        ),
        _tenants(database, "pgmq_tenants_all", "Jobs by tenant.", {"id_from": "bigint", "cap": "bigint"}),
        _tenants(
            database,
            "pgmq_tenants_sample",
            "Jobs by tenant, of a sample of ids.",
            {"first": "bigint", "last": "bigint", "probes": "bigint"},
        ),
        _tenants(
            database,
            "pgmq_tenants_pages",
            "Jobs by tenant, of a sample of pages.",
            {"percent": "real", "cap": "bigint"},
        ),
        _tenants(
            database,
            "pgmq_tenants_oldest",
            "Jobs by tenant, of those that have waited longest.",
            {"ready_from": _TIME, "cap": "bigint"},
        ),
    ]


def _tenants(database: Database, name: str, about: str, bounds: dict[str, str]) -> Function:
    schema = database.pgmq.schema_name
    rows = _select(name, schema)

    def select(*, value: Query, **parts: Query) -> Query:
        found = groups(name, value, rows(**parts))
        return statement("tenants", fold=raw(FOLD), groups=found, **NO_STATES, **parts)

    return Function(
        name,
        about,
        TenantRow,
        {**_TENANTS, **bounds},
        select,
        {"table": _table("q_"), "value": _tenant(schema), "odd": odd_found()},
        {"tenants": "integer"},
        together=True,
    )


def _select(name: str, schema: str, **fixed: Query) -> Callable[..., Query]:
    """The exporter's own SELECT of that name, of a table in the schema."""

    def select(table: Query, **parts: Query) -> Query:
        return statement(name, table=joined(".", [identifier(schema), table]), **fixed, **parts)

    return select


def _table(prefix: str) -> Found:
    name = identifier(SCHEMA, "pgmq_table")
    return Found(filled("{name}(each_queue[_n], {prefix})", name=name, prefix=literal(prefix)), True)


def _tenant(schema: str) -> Found:
    place = filled("to_regclass(format('%I.%I', {schema}, _table))", schema=literal(schema))
    name = identifier(SCHEMA, "pgmq_tenant")
    return Found(filled("{name}(each_queue[_n], {place})", name=name, place=place))
