"""Writes what is generated: docs/metrics.md and docs/pgqueue.schema.json. CI runs it and compares."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from exporter import config, names  # the checkout, wherever it is

DOCS = Path(__file__).parents[1] / "docs"


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


if __name__ == "__main__":
    DOCS.mkdir(exist_ok=True)
    (DOCS / "metrics.md").write_text(metrics())
    (DOCS / "pgqueue.schema.json").write_text(json.dumps(config.json_schema(), indent=2) + "\n")
