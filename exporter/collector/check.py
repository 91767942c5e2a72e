"""Asking a database once, thoroughly: what was found, what is missing, and what one collection costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ExporterError
from ..logs import printable
from ..sources import pinned, role_check
from ..sources.findings import ERROR, NOTE, WARNING, Finding, Found
from .loop import Collection

if TYPE_CHECKING:
    from ..config import Database


class Cost(NamedTuple):
    """What a part of one collection cost: database time in milliseconds."""

    source: str
    part: str
    milliseconds: float


@dataclass
class Report:
    """What is known of one database."""

    database: str
    server: str = ""
    standby: bool = False
    pooler: bool = False
    sources: list[Found] = field(default_factory=list)
    selects: int = 0
    costs: list[Cost] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    #: Of the error that kept it from being asked at all: 2 when it is the configuration's.
    exit_code: int = 0

    @property
    def queues(self) -> list[str]:
        """All queues of all sources."""
        return [queue for found in self.sources for queue in found.queues]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong (warnings and notes are not)."""
        return not any(finding.level == ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        told = asdict(self)
        del told["exit_code"]
        return {
            **told,
            "ok": self.ok,
            "costs": [cost._asdict() for cost in self.costs],
            "sources": [found._asdict() for found in self.sources],
            "findings": [finding._asdict() for finding in self.findings],
        }


def examine(database: Database) -> Report:
    """Connect, collect twice (the first time knows nothing yet), and say what was found. Never raises for the world."""
    report = Report(database.name, findings=pinned.findings(database))
    collection = Collection(database)
    try:
        _examine(collection, report)
    except ExporterError as error:
        report.findings.append(Finding(ERROR, "connection", str(error)))
        report.exit_code = error.exit_code
    finally:
        collection.close()
    if not report.ok:
        report.exit_code = report.exit_code or 1
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
    report.findings += role_check.findings(collection.session, collection.database)
    collection.cycle()
    selects = collection.session.messages
    seconds = {tracked.labels: tracked.seconds for tracked in collection.parts}
    runs = {tracked.labels: tracked.runs for tracked in collection.parts}
    # What it costs when every part runs and every queue is counted: nothing else is known of the days to come.
    for source in collection.sources:
        source.recount()
    for tracked in collection.parts:
        tracked.due = float("-inf")
    collection.cycle()
    report.selects = collection.session.messages - selects
    report.sources, findings = findings_of(collection)
    report.findings += findings
    there = {"", *(found.source for found in report.sources)}
    report.costs = [
        Cost(*tracked.labels, round((tracked.seconds - seconds[tracked.labels]) * 1000, 2))
        for tracked in collection.parts
        if tracked.runs > runs[tracked.labels] and tracked.source.label in there
    ]


def findings_of(collection: Collection) -> tuple[list[Found], list[Finding]]:
    """What a collection that was made found of its sources, and what to know about it, once each.

    Raises SourceError when the database does not answer.
    """
    sources: list[Found] = []
    findings: list[Finding] = []
    for tracked in collection.parts:
        for fault in tracked.faults:
            about = f"queue {fault.queue}" if fault.queue else f"part {tracked.part.name}"
            findings.append(Finding(ERROR, about, fault.detail))
    findings += role_check.advice(
        collection.session, [fault for tracked in collection.parts for fault in tracked.faults]
    )
    for source in collection.sources:
        found, more = source.examine(collection.session, collection.database)
        findings += more
        if found is not None:
            sources.append(found)
    if not any(found.present for found in sources):
        looked_for = " and ".join(f"no {found.looked_for}" for found in sources) or "every source is switched off"
        findings.append(Finding(ERROR, "sources", f"{looked_for}: nothing to watch"))
    return [found for found in sources if found.present], list(dict.fromkeys(findings))


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
    for found in report.sources:
        if found.present:
            plural = "" if len(found.queues) == 1 else "s"
            text.append(f"  {found.source}: {found.version}, {len(found.queues)} queue{plural}")
    if report.costs:
        total = sum(cost.milliseconds for cost in report.costs)
        parts = ", ".join(f"{cost.source} {cost.part}".strip() + f" {cost.milliseconds:.1f}" for cost in report.costs)
        selects = "1 SELECT" if report.selects == 1 else f"{report.selects} SELECTs"
        text.append(f"  a collection that counts every queue: {selects}, {total:.1f} ms of database time ({parts})")
    return [*text, *_finding_lines(report)]


def _finding_lines(report: Report) -> list[str]:
    if not report.findings:
        return ["  nothing is missing"]
    told = [(finding.level, printable(finding.about), printable(finding.message)) for finding in report.findings]
    width = max(len(about) for _, about, _ in told)
    return [f"  {level:<7}  {about:<{width}}  {message}" for level, about, message in told]
