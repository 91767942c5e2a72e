"""Which plans read a range of an index, and which would read a table whole."""

from typing import Any

from exporter.sources.jobtable_plan import scans, whole

COND = "((job.ended > '2026-01-01'::timestamptz) AND (job.ended <= '2026-01-02'::timestamptz))"


def scan(node: str = "Index Scan", index: str | None = "by_end", condition: str = COND, **more: Any) -> dict[str, Any]:
    found = {"Node Type": node, "Schema": "public", "Relation Name": "jobs", "Alias": "job", **more}
    return {**found, "Index Name": index, "Index Cond": condition} if index else found


def unserved(plan: dict[str, Any], lead: str = "ended") -> str | None:
    return whole(list(scans(plan)), {("public", "by_end"): lead, ("public", "other"): "id"})


def test_a_range_of_what_the_index_leads_with() -> None:
    assert unserved({"Node Type": "Aggregate", "Plans": [scan()]}) is None
    assert unserved(scan("Index Only Scan")) is None
    bitmap = {"Node Type": "Bitmap Heap Scan", "Schema": "public", "Relation Name": "jobs", "Alias": "job"}
    below = {"Node Type": "Bitmap Index Scan", "Index Name": "by_end", "Index Cond": COND.replace("job.", "")}
    assert unserved({**bitmap, "Plans": [below]}) is None
    assert unserved(scan(condition=COND.replace("job.ended", "(LEAST(job.a, job.b))")), "LEAST(a, b)") is None
    assert unserved(scan(condition=COND.replace("job.", '"a b".'), Alias="a b")) is None


def test_what_is_read_whole() -> None:
    assert unserved(scan("Seq Scan", None)) == "public.jobs"
    assert unserved(scan(condition="")) == "public.jobs"
    assert unserved(scan(condition=COND), lead="queue") == "public.jobs"
    assert unserved(scan(condition=COND), lead="ende") == "public.jobs"
    assert unserved(scan(condition=COND), lead="nded") == "public.jobs"
    assert unserved(scan(condition="(job.ended > '2026-01-01'::timestamptz)")) == "public.jobs"
    part = scan("Seq Scan", None) | {"Relation Name": "part"}
    assert unserved({"Node Type": "Append", "Plans": [scan(), part]}) == "public.part"


def test_looking_up_by_another_index_is_no_reading_of_the_whole() -> None:
    looked_up = scan(index="other", condition="(id = job.id)") | {"Relation Name": "runs", "Alias": "runs"}
    assert unserved({"Node Type": "Nested Loop", "Plans": [scan(), looked_up]}) is None


def test_nothing_to_read_is_served() -> None:
    assert unserved({"Node Type": "Result"}) is None
    assert unserved({"Node Type": "Foreign Scan", "Schema": "public", "Relation Name": "far"}) is None
