"""The SELECT of the queues that pg-boss lists, whatever its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pgboss_selects import function_of
from .pgboss_tables import Schema, select_column
from .postgres import raw, statement

if TYPE_CHECKING:
    from .postgres import Query


def queues_select(schema: Schema) -> Query:
    """The queues that pg-boss lists."""
    have = schema.columns("queue")
    table_name = "table_name" if "table_name" in have else "partition_name"
    return statement(
        "pgboss_queues",
        function_of(schema.name, "queues"),
        queue_table=schema.table("queue"),
        policy=select_column(have, "policy", "text"),
        dead_letter=select_column(have, "dead_letter", "text"),
        table_name=raw(f"{table_name} as table_name" if table_name in have else "null::text as table_name"),
        partition=select_column(have, "partition", "bool"),
        retry_limit=select_column(have, "retry_limit", "int"),
        deletion_seconds=select_column(have, "deletion_seconds", "int"),
        deferred_count=select_column(have, "deferred_count", "int"),
        queued_count=select_column(have, "queued_count", "int"),
        ready_count=select_column(have, "ready_count", "int"),
        active_count=select_column(have, "active_count", "int"),
        failed_count=select_column(have, "failed_count", "int"),
        blocked_count=select_column(have, "blocked_count", "int"),
        monitor_on=raw("monitor_on" if "monitor_on" in have else "null::timestamptz"),
        maintain_on=raw("maintain_on" if "maintain_on" in have else "null::timestamptz"),
    )
