"""Asking a database once, thoroughly: what was found, what is missing, and what one collection costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .. import names
from ..errors import ExporterError
from .loop import Collection

if TYPE_CHECKING:
    from ..config import Database

ERROR: Final = "error"
WARNING: Final = "warning"
NOTE: Final = "note"


class Finding(NamedTuple):
    """One thing to know: how bad, about what, and what to do."""

    level: str
    about: str
    message: str


class Cost(NamedTuple):
    """What a part of one collection cost: database time in milliseconds."""

    part: str
    milliseconds: float


@dataclass
class Report:
    """What is known of one database."""

    database: str
    server: str = ""
    standby: bool = False
    pooler: bool = False
    pgmq: str = ""
    queues: list[str] = field(default_factory=list)
    selects: int = 0
    costs: list[Cost] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong (warnings and notes are not)."""
        return not any(finding.level == ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            **asdict(self),
            "ok": self.ok,
            "costs": [cost._asdict() for cost in self.costs],
            "findings": [finding._asdict() for finding in self.findings],
        }


def examine(database: Database) -> Report:
    """Connect, collect twice (the first time knows nothing yet), and say what was found. Never raises for the world."""
    report = Report(database.name)
    collection = Collection(database)
    try:
        _examine(collection, report)
    except ExporterError as error:
        report.findings.append(Finding(ERROR, "connection", str(error)))
    finally:
        collection.close()
    return report


def _examine(collection: Collection, report: Report) -> None:
    server = collection.session.connect()
    report.server = server_version(server.version)
    report.standby = server.standby
    report.pooler = collection.session.pooled
    if report.pooler:
        message = "connected through a pooler: every read is one transaction of its own, which any pooling mode allows"
        report.findings.append(Finding(NOTE, "connection", message))
    if server.standby:
        message = "this is a standby: it has no statistics of its own, so counters of reads and deletes stand still"
        report.findings.append(Finding(WARNING, "connection", message))
    collection.cycle()
    selects = collection.session.messages
    seconds = {tracked.labels: tracked.seconds for tracked in collection.parts}
    runs = {tracked.labels: tracked.runs for tracked in collection.parts}
    for tracked in collection.parts:
        if tracked.part.name not in (names.FULL_LOOK, names.VACUUM):
            tracked.due = float("-inf")
    collection.cycle()
    report.selects = collection.session.messages - selects
    report.costs = [
        Cost(tracked.part.name, round((tracked.seconds - seconds[tracked.labels]) * 1000, 2))
        for tracked in collection.parts
        if tracked.runs > runs[tracked.labels]
    ]
    for tracked in collection.parts:
        for fault in tracked.faults:
            about = f"queue {fault.queue}" if fault.queue else f"part {tracked.part.name}"
            report.findings.append(Finding(ERROR, about, fault.detail))
    _examine_pgmq(collection, report)
    report.findings = list(dict.fromkeys(report.findings))


def _examine_pgmq(collection: Collection, report: Report) -> None:
    if collection.database.pgmq.enabled is False:
        report.findings.append(Finding(NOTE, "pgmq", "switched off in the configuration"))
        return
    pgmq = collection.pgmq
    schema = collection.database.pgmq.schema_name
    if pgmq.present is False:
        report.findings.append(
            Finding(ERROR, "pgmq", f"no pgmq in schema {schema!r} of this database: nothing to watch")
        )
        return
    if pgmq.present is None:
        return  # could not be asked: told already
    version = pgmq.version(collection.session)
    report.pgmq = version or "plain SQL"
    report.queues = sorted(pgmq.queues)
    if not report.queues:
        report.findings.append(Finding(WARNING, "pgmq", "no queue is there, or none is included by the configuration"))
    for name in pgmq.shared:
        report.findings.append(
            Finding(WARNING, f"queue {name}", "shares its table with a queue whose name differs in capitals only")
        )
    for name, queue in pgmq.queues.items():
        about, table = f"queue {name}", queue.tables.queue
        if table.shape.sequence is not None and queue.last_id is None:
            message = "its sequence may not be read: arrivals are counted by statistics; grant select on the sequence"
            report.findings.append(Finding(WARNING, about, message))
        if not table.probed_by_vt:
            message = "has no index on vt: the ready age is exact only among the first count_limit jobs"
            report.findings.append(Finding(NOTE, about, message))
        if queue.tables.archive is not None and not queue.tables.archive.timed:
            message = "its archive does not tell when jobs were read (an older pgmq): no run times"
            report.findings.append(Finding(NOTE, about, message))


def server_version(number: int) -> str:
    """``150018`` as ``PostgreSQL 15.18``."""
    return f"PostgreSQL {number // 10000}.{number % 10000}"


def lines(report: Report) -> list[str]:
    """The report for people."""
    if not report.server:
        return [f"{report.database}", *_finding_lines(report)]
    where = "standby" if report.standby else "primary"
    how = "through a pooler" if report.pooler else "direct connection"
    text = [f"{report.database}: {report.server}, {where}, {how}"]
    if report.pgmq:
        kind = "installed as plain SQL" if report.pgmq == "plain SQL" else f"{report.pgmq} (extension)"
        plural = "" if len(report.queues) == 1 else "s"
        text.append(f"  pgmq {kind}, {len(report.queues)} queue{plural}")
    if report.costs:
        total = sum(cost.milliseconds for cost in report.costs)
        parts = ", ".join(f"{cost.part} {cost.milliseconds:.1f}" for cost in report.costs)
        text.append(f"  one collection: {report.selects} SELECTs, {total:.1f} ms of database time ({parts})")
    return [*text, *_finding_lines(report)]


def _finding_lines(report: Report) -> list[str]:
    if not report.findings:
        return ["  nothing is missing"]
    width = max(len(finding.about) for finding in report.findings)
    return [f"  {finding.level:<7}  {finding.about:<{width}}  {finding.message}" for finding in report.findings]
