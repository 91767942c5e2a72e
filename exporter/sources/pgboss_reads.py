"""How far the tables of pg-boss's jobs have been read, and when each last moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .fence import SLACK, Settling

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .pgboss_tables import JobTable


@dataclass(slots=True)
class Read:
    """How far the jobs of one table have been read. Times are the server's, but ``read_at``."""

    until: float
    settling: Settling[float] = field(default_factory=Settling)
    #: When its statistics last moved; None once everything up to then was read.
    changed: float | None = None
    signature: object = None
    next_expiry: float | None = None
    read_at: float = float("-inf")

    def start_over(self) -> None:
        """Another server: its transactions and statistics are its own. What was read stays read."""
        self.settling, self.signature = Settling(), None


class Reads(dict[int, Read]):
    """Those of a schema's tables, by relation id."""

    def take_statistics(
        self, tables: Mapping[int, JobTable], known: Collection[int], now: float, *, standby: bool
    ) -> None:
        """Note which of the ``tables`` watched now moved: only those are read. Tables not ``known`` are forgotten."""
        for relid, table in tables.items():
            read = self[relid]
            archived = table.archive.inserted if table.archive is not None else 0
            signature = (table.statistics(), archived)
            # A standby's statistics are of what it did itself.
            if signature != read.signature or standby:
                read.signature, read.changed = signature, now
        for relid in self.keys() - tables.keys():
            if relid in known:
                # Not watched for a while: what happens meanwhile is passed over, what was read is not read twice.
                self[relid].until = max(self[relid].until, now - SLACK)
            else:
                del self[relid]
