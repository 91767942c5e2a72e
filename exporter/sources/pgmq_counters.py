"""pgmq's counters: steps of what Postgres counts by itself, the sequences and the statistics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import SourceError
from .pgmq_selects import SequenceRow, sequences_select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..model import Fault
    from .access import Access
    from .pgmq_queue import Queue
    from .postgres import Session


def read_sequences(
    session: Session, queues: Sequence[Queue], access: Access[Queue], until: float
) -> tuple[dict[int, int | None], list[Fault]]:
    """The last id of every sequence that could be read, None without the right to.

    A sequence that fails alone (locked, dropped) is asked alone, as long as it is not ``until`` (monotonic).
    """
    owners = {queue.tables.queue.shape.sequence: queue for queue in queues}
    sequences = [sequence for sequence in owners if sequence is not None]
    if not sequences:
        return {}, []
    faults: list[Fault] = []
    rows: list[SequenceRow] = []
    try:
        rows = session.read(sequences_select(sequences), SequenceRow)
    except SourceError as error:
        if error.reason == "connection":
            raise
        for sequence in sequences:
            if time.monotonic() >= until:
                break
            try:
                rows += session.read(sequences_select([sequence]), SequenceRow)
            except SourceError as alone:
                if alone.reason == "connection":
                    raise
                if alone.reason != "missing":
                    faults.append(access.fault_of(owners[sequence], alone))
    return {row.sequence: row.last_value for row in rows}, faults


def count(queue: Queue, born: frozenset[int], last_ids: Mapping[int, int | None], now: float) -> None:
    """Advance a queue's counters. Tables in ``born`` came to be since the last look; ``now`` is the server's clock."""
    leaves = queue.tables.queue.leaves
    queue.enqueued += _arrivals(queue, born, last_ids)
    moved = queue.dequeued.advance({leaf.relid: leaf.updated for leaf in leaves}, born)
    moved += queue.removed.advance({leaf.relid: leaf.deleted for leaf in leaves}, born)
    archive = queue.tables.archive
    if archive is not None:
        moved += queue.archived.advance({leaf.relid: leaf.inserted for leaf in archive.leaves}, born)
        signature = tuple((leaf.relid, leaf.inserted) for leaf in archive.leaves)
        if archive.timed and signature != queue.archive_signature:
            queue.archive_signature, queue.archive_changed = signature, now
    # Both statistics are flushed separately: their difference is right in the end, and only steps upwards.
    queue.completed = max(queue.completed, queue.removed.total - queue.archived.total)
    if moved:
        queue.progress = now


def _arrivals(queue: Queue, born: frozenset[int], last_ids: Mapping[int, int | None]) -> int:
    """The step in arrivals: ids drawn; without the right to the sequence, the inserts that statistics know of.

    Both go on side by side, so that one takes over where the other ended when the right comes or goes.
    """
    table = queue.tables.queue
    inserted = queue.inserted.advance({leaf.relid: leaf.inserted for leaf in table.leaves}, born)
    sequence = table.shape.sequence
    if sequence is None:
        return inserted
    new = table.root.relid in born
    known = queue.drawn.knows(sequence)
    if sequence not in last_ids:
        return 0 if known else inserted
    queue.last_id = last_ids[sequence]
    if queue.last_id is None:
        queue.drawn.forget()
        return inserted
    drawn = queue.drawn.advance({sequence: queue.last_id}, frozenset((sequence,)) if new else frozenset())
    return drawn if known or new else inserted
