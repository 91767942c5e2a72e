"""Writes what is generated: pages and tables of docs, its JSON schemas, and the rules. `make docs` runs it."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

sys.path.insert(0, str(Path(__file__).parents[1]))

from exporter import config, names, rulefiles, rulegen  # the checkout, wherever it is
from exporter.config import JobTable, model
from exporter.config.values import duration, share, written
from exporter.rulegen.catalogue import ANNOTATIONS, BURNS, OFF, RULES_INFO, SLO_ALERT, WATCHES
from exporter.rulegen.signals import SIGNALS

DOCS = Path(__file__).parents[1] / "docs"
RULES = rulefiles.generated(DOCS.parent / "rules" / "thresholds.yml", rulefiles.Options())


def metrics() -> str:
    """The page that lists every metric, from the catalogue."""
    lines = [
        "# Metrics",
        "",
        "<!-- Generated from exporter/names.py by `make docs`; do not edit. -->",
        "",
        "Counters start at 0 with the exporter. `tenant` is empty until tenants are configured.",
        "",
        "| metric | type | labels | unit | meaning |",
        "|---|---|---|---|---|",
    ]
    for metric in names.CATALOGUE:
        labels = " ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.help} |")
    bounds = ", ".join(f"{bound:g}" for bound in names.BUCKETS)
    return "\n".join([*lines, "", f"Histogram bounds, in seconds: {bounds}.", ""])


_ALERTS = """# Alerts

<!-- Generated from exporter/rulegen by `make docs`; do not edit. -->

Every alert carries the label `severity` (`critical`, `warning`; `none` only for the watchdog), the labels below, `job`,
labels that your Prometheus adds to its targets (but `instance` and `pod`, unless they are named), and what `labels` of
[thresholds.yml](thresholds.md) adds for routing, such as `team`. Warning and critical have the same alert name and,
but for `severity`, the same labels; each is there only where some limit of it is not `off`. Annotations: %s (the last
only with `rules build --dashboard-url`). Runbooks: `docs/runbooks/` and the alert's name in lower case.

## On queues, sources and databases

Records: the value that is judged, and the limits in force for it, one series a severity. Of signals that judge named
tenants apart, the value carries `severity` too; `queue_tenant:…:value` and `queue_tenant:…:threshold` are of these
tenants alone.
"""


def alerts() -> str:
    """The page that lists every alert, from the catalogue."""

    def names_of(labels: tuple[str, ...]) -> str:
        return " ".join(f"`{label}`" for label in labels)

    lines = [
        _ALERTS % ", ".join(f"`{key}`" for key in ANNOTATIONS),
        "| alert | signal | warning | critical | for | labels | value, limit | says |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for signal in SIGNALS:
        labels = names_of(signal.labels)
        labels += {"no": "", "named": " (`tenant`, of tenants that limits name)", "each": " `tenant`"}[signal.tenants]
        critical = "" if signal.critical == OFF else signal.critical
        warning = "" if signal.warning == OFF else signal.warning
        lines.append(
            f"| `{signal.alert}` | `{signal.name}` | {warning} | {critical} | {signal.for_} | {labels} "
            f"| `{signal.value}` `{signal.threshold}` | {signal.summary} |"
        )
    lines += [
        "",
        "## On SLOs",
        "",
        f"`{SLO_ALERT}`: labels `database` `source` `queue` `slo` `long` `short`.",
        "",
        "| long | short | severity | for | of the budget |",
        "|---|---|---|---|---|",
        *(f"| {burn.long} | {burn.short} | {burn.severity} | {burn.for_} | {burn.budget:.0%} |" for burn in BURNS),
        "",
        "## On the watcher itself",
        "",
        "| alert | severity | for | labels | says |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{watch.alert}` | {', '.join(watch.severities)} | {watch.for_} | {names_of(watch.labels)} "
        f"| {watch.summary} |"
        for watch in WATCHES
    ]
    return "\n".join([*lines, "", f"`{RULES_INFO}` is 1, with the label `sha` of the rules that are loaded.", ""])


def configuration() -> str:
    """The page of the configuration: its introduction as it stands, and the table of every key, from the models."""
    introduction, mark, _ = (DOCS / "configuration.md").read_text().partition("do not edit below -->\n")
    lines = ["", "| key | type | default | what it does | example |", "|---|---|---|---|---|"]
    for path, field in _keys(model.Config, ""):
        default = "required" if field.is_required() else _written(field, field.default)
        example = f"`{field.examples[0]}`" if field.examples else default
        lines.append(f"| `{path}` | {_type(field)} | {default} | {field.description} | {example} |")
    return "\n".join([introduction + mark.rstrip(), *lines, ""])


def _keys(at: type[BaseModel], above: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in at.model_fields.items():
        path = above + (field.alias or name)
        if name == "databases":
            yield from _keys(model.Tuning, "*.")
            yield path, field
            own = {
                key: field for key, field in model.Database.model_fields.items() if key not in model.Tuning.model_fields
            }
            yield from ((f"databases[].{key}", field) for key, field in own.items())
            yield from _keys(JobTable, "databases[].job_tables[].")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{path}.")
        else:
            yield path, field


def _kind(field: FieldInfo) -> str:
    validators = [getattr(part, "func", None) for part in field.metadata]
    return "duration" if duration in validators else "share" if share in validators else ""


def _type(field: FieldInfo) -> str:
    text = str(field.annotation)
    words = {"int": "whole number", "bool": "true or false", "str": "text", "float": "number"}
    kind = _kind(field) or words.get(getattr(field.annotation, "__name__", ""), "text")
    if "Literal" in text:
        kind = "auto, true or false" if "bool" in text else ", ".join(re.findall(r"'([^']+)'", text))
    elif "dict" in text:
        kind = "text: text"
    elif "Database" in text:
        kind = "list of databases"
    elif "JobTable" in text:
        kind = "list of job tables"
    elif "TenantOf" in text:
        kind = "list of places"
    elif "tuple" in text:
        kind = "list of text"
    bounds = []
    for attribute, word in (("ge", "from"), ("gt", "above"), ("le", "to")):
        bounds += [
            f"{word} {_bound(field, getattr(part, attribute))}" for part in field.metadata if hasattr(part, attribute)
        ]
    return f"{kind}, {' '.join(bounds)}" if bounds else kind


def _bound(field: FieldInfo, value: float) -> str:
    return {"duration": written, "share": "{:.0%}".format}.get(_kind(field), "{:,}".format)(value)


def _written(field: FieldInfo, value: Any) -> str:
    if value is None:
        return "none"
    if _kind(field):
        return f"`{_bound(field, value)}`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def generated() -> dict[str, str]:
    """The content of every generated file, by its name in docs."""
    return {
        "metrics.md": metrics(),
        "alerts.md": alerts(),
        "configuration.md": configuration(),
        "pgqueue.schema.json": json.dumps(config.json_schema(), indent=2) + "\n",
        "thresholds.schema.json": json.dumps(rulegen.json_schema(), indent=2) + "\n",
        "../rules/pgqueue.rules.yml": RULES["pgqueue.rules.yml"],
        "../rules/pinned.tenants": RULES["pinned.tenants"],
    }


if __name__ == "__main__":
    for name, text in generated().items():
        (DOCS / name).write_text(text)
