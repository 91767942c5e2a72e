"""What alerts say: annotations, as templates of Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from ..names import DATABASE, QUEUE, SOURCE, TENANT
from .catalogue import Signal, Unit

#: ``%q`` writes Go's escapes, which are PromQL's: it survives every name.
_FORMAT: Final[Mapping[Unit, str]] = {
    "seconds": "humanizeDuration",
    "jobs": 'printf "%.0f"',
    "share": "humanizePercentage",
    "times": 'printf "%.1f"',
}
_QUEUE: Final = "Queue {{ $labels.queue }} ({{ $labels.source }}, database {{ $labels.database }})"
_SOURCE: Final = "Source {{ $labels.source }} (database {{ $labels.database }})"
_TENANT: Final = "{{ if $labels.tenant }}, tenant {{ $labels.tenant }}{{ end }}"

#: Alerts that explain why jobs wait: of the queue, of its source, of its database.
CAUSES: Final = (
    "PGQueueStalled",
    "PGQueueWorkersGone",
    "PGQueueFailuresHigh",
    "PGQueueRetryStorm",
    "PGQueueRedeliveries",
    "PGQueueRunDegraded",
    "PGQueueTenantDominates",
    "PGQueueUnreadyHead",
    "PGQueueVacuumBlocked",
    "PGQueueDeadRows",
    "PGQueueMaintenanceStale",
)


@dataclass(frozen=True, slots=True)
class Links:
    """Where runbooks and dashboards are. ``runbook`` may hold ``{alert}``; without ``dashboard`` alerts carry none."""

    runbook: str = "https://pgqueue-exporter.invalid/docs/runbooks/{alert}.md"
    dashboard: str = ""

    def of(self, alert: str, labels: tuple[str, ...]) -> dict[str, str]:
        """The links of an alert with these labels."""
        pattern = self.runbook if "{alert}" in self.runbook else f"{self.runbook.rstrip('/')}/{{alert}}.md"
        links = {"runbook_url": _literal(pattern.replace("{alert}", quote(alert.lower())))}
        if self.dashboard:
            board = "queue" if QUEUE in labels else "overview" if DATABASE in labels else "exporter"
            shown = [label for label in (DATABASE, SOURCE, QUEUE, TENANT) if label in labels]
            query = "&".join(f"var-{label}={{{{ $labels.{label} | urlquery }}}}" for label in shown)
            url = f"{_literal(self.dashboard).rstrip('/')}/d/pgqueue-{board}"
            links["dashboard_url"] = f"{url}?{query}" if query else url
        return links


def _literal(text: str) -> str:
    """Text of others as a template shows it: braces of its own open no action."""
    return text.replace("{{", '{{ "{{" }}')


def formatted(unit: Unit, what: str = "$value") -> str:
    """A value with its unit."""
    return f"{{{{ {what} | {_FORMAT[unit]} }}}}"


def looked_up(record: str, labels: tuple[str, ...], *plain: str) -> str:
    """The pipeline that makes a query for a record of the alert's own labels."""
    names = ",".join([*plain, *(f"{label}=%q" for label in labels)])
    return f"printf `{record}{{{names}}}` {' '.join(f'$labels.{label}' for label in labels)}"


def description(signal: Signal, severity: str, *, tenants: bool) -> str:
    """Who, what, and the limit in force. ``tenants``: the alert may be about a named tenant."""
    labels = signal.labels
    with_tenant = (*labels, TENANT)
    about = _QUEUE if QUEUE in labels else _SOURCE if SOURCE in labels else "Database {{ $labels.database }}"
    if signal.name == "dead_rows_ratio":
        about = f"{{{{ if $labels.queue }}}}{_QUEUE}{{{{ else }}}}{_SOURCE}{{{{ end }}}}"
    if tenants or signal.tenants == "each":
        about += _TENANT
    severity_is = f'severity="{severity}"'
    query = looked_up(signal.threshold, with_tenant if signal.tenants == "each" else labels, severity_is)
    find = f"{{{{ with {query} | query }}}}"
    if tenants:
        own = looked_up(signal.record("threshold", tenant=True), with_tenant, severity_is)
        choice = "{{ $q := QUERY }}{{ if $labels.tenant }}{{ $q = OWN }}{{ end }}{{ with query $q }}"
        find = choice.replace("QUERY", query).replace("OWN", own)
    limit = f"{find}{formatted(signal.unit, '. | first | value')}{{{{ end }}}}"
    return f"{about}{_says(signal)}; the limit is {limit}.{_then(signal)}"


_HELD: Final = (
    "{{ with INFO | query }}, the dead letter queue of {{ . | first | label "
    '"dead_letter_for" }}, holds VALUE jobs'
    "{{ else }} has no dead letter queue; VALUE jobs failed in the last hour{{ end }}"
)
_DRAINING: Final = (
    ": {{ with BACKLOG | query }}{{ . | first | value | printf "
    '"%.0f" }}{{ end }} jobs are ready and {{ if eq (printf "%.0f" $value) "+Inf" }}no more finish than arrive'
    "{{ else }}draining them takes {{ $value | humanizeDuration }}{{ end }}"
)
#: Some sources know what finishes and not what arrives. Digits: a job in five minutes is 0.0033 a second, not 0.00.
_RATE: Final = (
    '{{ $r := . | first | value }}{{ if lt $r 1.0 }}{{ printf "%.2g" $r }}{{ else }}{{ printf "%.2f" $r }}{{ end }}'
)
_FLOW: Final = (
    "{{ $in := ENQUEUED | query }}{{ $out := FINISHED | query }}{{ if or $in $out }} In the whole queue"
    "{{ with $in }} RATE jobs a second arrive{{ end }}{{ if and $in $out }} and{{ end }}"
    "{{ with $out }} RATE{{ if not $in }} jobs a second{{ end }} finish{{ end }}"
    '{{ with DRAIN | query }}{{ if eq (. | first | value | printf "%.0f") "+Inf" }}, so that it does not drain'
    "{{ else }}, so that draining takes {{ . | first | value | humanizeDuration }}{{ end }}{{ end }}.{{ end }}"
).replace("RATE", _RATE)
_CAUSES: Final = (
    "{{ with QUERY | query }} Firing too: {{ range $i, $a := sortByLabel "
    '"alertname" . }}{{ if $i }}, {{ end }}{{ $a | label "alertname" }}{{ end }}.{{ end }}'
)


def _says(signal: Signal) -> str:
    if signal.says == "dead_letters":
        info = looked_up("pgqueue_queue_info", signal.labels, 'role="dead_letter"')
        return _HELD.replace("INFO", info).replace("VALUE", formatted("jobs"))
    if signal.says == "drain":
        return _DRAINING.replace("BACKLOG", looked_up(signal.anchor, signal.labels))
    return ": " + signal.says.replace("{value}", formatted(signal.unit))


def _then(signal: Signal) -> str:
    if not signal.then:
        return ""
    firing = f'ALERTS{{alertstate="firing",alertname=~"{"|".join(CAUSES)}",database=%q'
    causes = f'{firing},source=%q,queue=%q}} or {firing},source=%q,queue=""}} or {firing},source=""}}'
    given = "$labels.database $labels.source $labels.queue $labels.database $labels.source $labels.database"
    text = _CAUSES.replace("QUERY", f"printf `group by (alertname) ({causes})` {given}")
    if signal.then != "flow":
        return text
    flow = _FLOW.replace("FINISHED", looked_up("queue:pgqueue_drain_time_finished:rate5m", signal.labels))
    flow = flow.replace("ENQUEUED", looked_up("queue:pgqueue_drain_time_enqueued:rate5m", signal.labels))
    return flow.replace("DRAIN", looked_up("queue:pgqueue_drain_time:value", signal.labels)) + text
