"""What a plan says of a read by time: the indexes that serve it, or the table that it would read whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .postgres import statement

if TYPE_CHECKING:
    from .postgres import Session


class Scan(NamedTuple):
    """One scan of a plan: schema and name of its table, and of its index (None: none) with what bounds the scan."""

    schema: str
    table: str
    by: str | None
    condition: str


class LeadRow(NamedTuple):
    """A row of ``jobtable_indexes.sql``."""

    schema: str
    name: str
    leads_with: str


def scans(plan: Mapping[str, Any], schema: str = "", table: str = "") -> Iterator[Scan]:
    """All scans of tables in a plan (EXPLAIN's, VERBOSE, in JSON)."""
    schema, table = plan.get("Schema", schema), plan.get("Relation Name", table)
    if "Index Name" in plan:
        # An index's own definition names its columns without the table.
        condition = re.sub(rf'(?<![\w"])(?:{_either(plan.get("Alias", ""))})\.', "", plan.get("Index Cond", ""))
        yield Scan(schema, table, plan["Index Name"], condition)
    elif plan["Node Type"] in ("Seq Scan", "Sample Scan"):
        yield Scan(schema, table, None, "")
    for below in plan.get("Plans", ()):
        yield from scans(below, schema, table)


def _either(name: str) -> str:
    """A pattern of a name, with and without quotes."""
    quoted = '"' + name.replace('"', '""') + '"'
    return f"{re.escape(name)}|{re.escape(quoted)}"


def read_leads(session: Session, found: list[Scan]) -> dict[tuple[str, str], str]:
    """What each of the scans' indexes leads with."""
    indexes = sorted({(scan.schema, scan.by) for scan in found if scan.by is not None})
    if not indexes:
        return {}
    schemas, index_names = zip(*indexes, strict=True)
    select = statement("jobtable_indexes", schemas=list(schemas), index_names=list(index_names))
    return {(row.schema, row.name): row.leads_with for row in session.read(select, LeadRow)}


def ranged(scan: Scan, leads: Mapping[tuple[str, str], str]) -> bool:
    """Whether a scan reads a range of what its index leads with, from a first to a last value."""
    if scan.by is None:
        return False
    lead = leads.get((scan.schema, scan.by), "")
    lead = lead[1:-1] if lead.startswith("(") and lead.endswith(")") else lead
    return bool(lead) and all(
        re.search(rf'(?<![\w"]){re.escape(lead)}\)* {comparison} ', scan.condition) for comparison in (">", "<=")
    )


def whole(found: list[Scan], leads: Mapping[tuple[str, str], str]) -> str | None:
    """The table that would be read whole for want of an index (``schema.table``), None when none would."""
    for scan in found:
        if scan.by is None:
            return f"{scan.schema}.{scan.table}"
    if not found or any(ranged(scan, leads) for scan in found):
        return None
    return f"{found[0].schema}.{found[0].table}"
