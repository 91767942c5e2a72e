"""The functions for pg-boss's list of queues and its housekeeping: no job is read, but when recurring ones came."""

from __future__ import annotations

from typing import Final

from . import pgboss_pieces as pieces
from .functions import Found, Function
from .pgboss_maintenance import TASKS, VersionRow, WarningsRow, WorkersRow
from .pgboss_pieces import Pieces, executed, selecting
from .pgboss_schedule import ScheduleRow
from .pgboss_selects import function_of
from .pgboss_tables import SEND_IT, Listed
from .relations import Relation
from .statements import SCHEMA, identifier, literal, raw, statement

#: Columns of ``queue`` that not every version has.
_FACTS: Final = {
    "policy": "text",
    "dead_letter": "text",
    "partition": "bool",
    **dict.fromkeys(("retry_limit", "deletion_seconds", "deferred_count", "queued_count", "ready_count"), "int"),
    **dict.fromkeys(("active_count", "failed_count", "blocked_count"), "int"),
}


def functions(schema: str) -> list[Function]:
    """Those of one schema."""
    return [
        Function(
            function_of(schema, "relations"),
            "What Postgres itself knows of the tables: catalogue and statistics, no row of theirs.",
            Relation,
            {},
            lambda: statement("relations", schema=schema, which=statement("pgboss_tables", schema=schema)),
        ),
        executed(
            schema,
            "queues",
            "The queues, and pg-boss's own counters of them.",
            Listed,
            {},
            _queues(schema),
            selecting("pgboss_queues", queue_table=identifier(schema, "queue")),
            {name: "integer" for name, kind in _FACTS.items() if kind == "int"},
        ),
        executed(
            schema,
            "version",
            "The version, and when pg-boss's own passes last ran.",
            VersionRow,
            {},
            {**pieces.columns(schema, "version"), "tasks": _tasks()},
            selecting("pgboss_version", version_table=identifier(schema, "version")),
            {"version": "integer", "tasks": "double precision[]"},
        ),
        executed(
            schema,
            "schedules",
            "Recurring jobs, and when each last came.",
            ScheduleRow,
            {},
            _schedules(schema),
            selecting("pgboss_schedules", schedule=identifier(schema, "schedule")),
        ),
        executed(
            schema,
            "warnings",
            "How many warnings pg-boss recorded in a window of time, by type.",
            WarningsRow,
            {"after": "double precision", "until": "double precision"},
            {},
            selecting("pgboss_warnings", warning=identifier(schema, "warning")),
        ),
        executed(
            schema,
            "workers",
            "How many processes run workers.",
            WorkersRow,
            {},
            {},
            selecting("pgboss_workers", instance=identifier(schema, "instance")),
        ),
    ]


def _queues(schema: str) -> Pieces:
    facts = {name: pieces.either(name, name, f"null::{kind} as {name}") for name, kind in _FACTS.items()}
    table = Found(
        raw(
            "case when 'table_name' = any (_have) then 'table_name as table_name' when 'partition_name' = any (_have)"
            " then 'partition_name as table_name' else 'null::text as table_name' end"
        )
    )
    times = {name: pieces.either(name, name, "null::timestamptz") for name in ("monitor_on", "maintain_on")}
    return {**pieces.columns(schema, "queue"), "table_name": table, **facts, **times}


def _tasks() -> Found:
    names = ", ".join(f"'{column}'" for column in TASKS)
    return Found(
        raw(
            "'array[' || coalesce((select string_agg(format('extract(epoch from %I)::float8', t.name), ', '"
            f" order by t.place) from unnest(array[{names}]) with ordinality t(name, place)"
            " where t.name = any (_have)), '') || ']::float8[]'"
        )
    )


def _schedules(schema: str) -> Pieces:
    queue, job = identifier(schema, "queue").as_string(None), identifier(schema, "job").as_string(None)
    place, shape = (identifier(SCHEMA, function_of(schema, what)).as_string(None) for what in ("place", "shape"))
    send_it, parent = literal(SEND_IT).as_string(None), literal(job).as_string(None)
    keyed = "array[s.name || '__' || s.key, replace(s.name, '_', '\\_') || '__' || s.key]"
    return {
        **pieces.columns(schema, "schedule"),
        "table": Found(
            raw(
                f"{shape}(case when exists (select from {queue} q where q.name = {send_it})"
                f" then {place}({send_it}) else to_regclass({parent})::oid end) ->> 'table'"
            )
        ),
        "key": pieces.either("key", "s.key", "''"),
        "kind": pieces.either("kind", "s.kind", "'cron'"),
        "singleton_keys": pieces.either("key", keyed, "array[s.name]"),
    }
