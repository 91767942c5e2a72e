"""What is known of every alert, once: names, levels, windows and words; the signals themselves stand in ``signals``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ..names import DATABASE, QUEUE, SOURCE, TENANT

WARNING: Final = "warning"
CRITICAL: Final = "critical"
#: In the order in which rules are written.
SEVERITIES: Final = (WARNING, CRITICAL)
#: Of the alert that says that alerting works.
NONE: Final = "none"
SEVERITY: Final = "severity"
OFF: Final = "off"

#: What a value of 1 means.
Unit = Literal["seconds", "jobs", "share", "times"]

#: How long an alert of a signal stays after its value came back, unless the file says otherwise. Longer than the time
#: after which PGQueueExporterDown fires: an exporter's death must not look like the end of its queues' alerts.
KEEP_FIRING_FOR: Final = "10m"

JOB: Final = "job"
LONG: Final = "long"
SHORT: Final = "short"
SLO: Final = "slo"


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that can be too large, and what is said of it.

    ``labels``: those of the judged value, beside ``job``, without the tenant. ``match``: what an override may name.
    ``tenants``: ``no``; ``named`` judges tenants that limits name apart from their queue; ``each`` judges each tenant.
    ``warning``, ``critical``, ``for_``, ``floor``: the defaults, as the file would say them. ``says``: the description
    between the queue and the limit; ``{value}`` is the value in its unit.
    """

    name: str
    alert: str
    unit: Unit
    summary: str
    says: str
    warning: str
    critical: str
    for_: str
    labels: tuple[str, ...] = (DATABASE, SOURCE, QUEUE)
    tenants: Literal["no", "named", "each"] = "no"
    floor: str | None = None
    floor_unit: Unit = "jobs"
    floor_is: str = ""
    #: The group it is evaluated in, where it shares one.
    group: str = ""
    #: From so large a limit on, it could never be exceeded.
    least_impossible: float | None = None
    #: The record that limits hang on, where the value itself is not always there.
    anchor: str = ""
    #: What follows the limit in the description.
    then: str = ""
    #: Whether the value counts from the start of each exporter at most: a restart of all of them begins it anew.
    own_start: bool = False
    #: How long it stays. What begins anew must exceed the warning's limit within that time, to go on as what it was.
    keep: str = KEEP_FIRING_FOR

    @property
    def match(self) -> tuple[str, ...]:
        """The labels that an override of this signal may name."""
        return (*self.labels, TENANT) if self.tenants != "no" else self.labels

    @property
    def level(self) -> str:
        """The first part of the record's names: what one value is about."""
        fixed = [label for label in self.labels if label not in {DATABASE, SOURCE, QUEUE}]
        about = QUEUE if QUEUE in self.labels else SOURCE if SOURCE in self.labels else DATABASE
        return "_".join([about, *fixed])

    @property
    def value(self) -> str:
        """The record that is judged; one tenant's where each is."""
        return self.record("value", tenant=self.tenants == "each")

    @property
    def threshold(self) -> str:
        """The record of the limits in force, labelled with the severity."""
        return self.record("threshold", tenant=self.tenants == "each")

    def record(self, operation: str, *, tenant: bool = False, instance: bool = False) -> str:
        """``queue_tenant:pgqueue_ready_age:value`` and its like."""
        level = f"{self.level}_tenant" if tenant else self.level
        return f"{'instance_' if instance else ''}{level}:pgqueue_{self.name}:{operation}"


SLO_ALERT: Final = "PGQueueSLOBurn"
SLO_SUMMARY: Final = "The error budget of an SLO burns too fast."


@dataclass(frozen=True, slots=True)
class Burn:
    """A pair of windows: share of the budget that may go in the long one, and what that is worth."""

    long: str
    short: str
    hours: float
    budget: float
    severity: str
    for_: str


#: The four standard windows (Google's SRE workbook, chapter 5); their factors follow from the SLO's own window.
BURNS: Final = (
    Burn("1h", "5m", 1, 0.02, CRITICAL, "2m"),
    Burn("6h", "30m", 6, 0.05, CRITICAL, "15m"),
    Burn("1d", "2h", 24, 0.10, WARNING, "1h"),
    Burn("3d", "6h", 72, 0.10, WARNING, "3h"),
)


@dataclass(frozen=True, slots=True)
class Watch:
    """One alert of the watcher's own: what fires it stands in ``watch.py``. ``labels``: those that it carries.

    ``keep``: whether it stays for a while. What mutes all others does not: it would mute what comes next.
    """

    alert: str
    severities: tuple[str, ...]
    labels: tuple[str, ...]
    for_: str
    summary: str
    keep: bool = True


EXPORTER_DOWN: Final = "PGQueueExporterDown"
WATCHES: Final[tuple[Watch, ...]] = (
    Watch(EXPORTER_DOWN, SEVERITIES, (JOB, "instance"), "5m", "An exporter does not answer.", keep=False),
    Watch("PGQueueExporterAbsent", (CRITICAL,), (JOB,), "10m", "Prometheus knows no exporter.", keep=False),
    Watch("PGQueueDatabaseDown", (CRITICAL,), (JOB, DATABASE), "2m", "No exporter can read the database.", keep=False),
    Watch("PGQueueDataStale", (WARNING,), (JOB, DATABASE, SOURCE, "part", QUEUE), "5m", "Queue data is old."),
    Watch(
        "PGQueueCollectionFailing",
        (WARNING,),
        (JOB, DATABASE, SOURCE, "part"),
        "10m",
        "A part of the collection fails.",
    ),
    Watch(
        "PGQueueRowsHidden",
        (WARNING,),
        (JOB, DATABASE, SOURCE, QUEUE),
        "5m",
        "Row-level security hides rows from the exporter.",
    ),
    Watch(
        "PGQueueBudgetStretched",
        (WARNING,),
        (JOB, DATABASE, SOURCE, "part"),
        "15m",
        "A part of the collection costs more than its budget.",
    ),
    Watch(
        "PGQueueSeriesLimit",
        (WARNING,),
        (JOB, "instance", DATABASE),
        "15m",
        "The page is at its ceiling and shows fewer tenants.",
    ),
    Watch(
        "PGQueueConfigReloadFailing",
        (WARNING,),
        (JOB, "instance"),
        "10m",
        "An exporter refuses its changed configuration.",
    ),
    Watch("PGQueueRulesFailing", (WARNING,), ("rule_group",), "5m", "Rules of the queue alerts fail.", keep=False),
    Watch("PGQueueWatchdog", (NONE,), (), "0s", "The alerting path works.", keep=False),
)

#: The limits that are loaded: a series 1 with the label ``sha``.
RULES_INFO: Final = "pgqueue:rules:info"
#: The keys that annotations may have, in their order; dashboard_url only where a base is given.
ANNOTATIONS: Final = ("summary", "description", "runbook_url", "dashboard_url")
