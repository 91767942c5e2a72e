"""Job tables in the configuration: the operator's SQL, as far as it can be judged without a server."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.config import Database, JobTable
from exporter.config.jobtables import Join, Relation, expression
from exporter.errors import ConfigError

ROOT = Path(__file__).parents[2]

HEAD = "databases:\n  - name: main\n    dsn: postgresql://h/d\n    job_tables:\n"


def faults(tmp_path: Path, *tables: str) -> dict[str, str]:
    file = tmp_path / "pgqueue.yml"
    file.write_text(HEAD + "".join(f"      - {{{table}}}\n" for table in tables))
    with pytest.raises(ConfigError) as caught:
        config.load(file, {})
    assert all(fault.line for fault in caught.value.faults)
    return {fault.path.removeprefix("databases[0].job_tables"): fault.message for fault in caught.value.faults}


def table(**keys: object) -> JobTable:
    return JobTable.model_validate({"name": "t", "table": "public.jobs", "queue": "queue", "finished": "ended", **keys})


def test_every_fault_is_told_with_its_path(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "name: A b, table: jobs, queue: 'a, b', finished: [], outcom: x",
        "name: b, table: public.jobs, queue: q; drop table x, finished: [a, 'b -- c'], source: kafka, retries: never",
        "name: c, table: public.jobs, finished: '(a', outcome: 'a)', attempt: 'x /* y', time_zone: CET, lag: 5",
        "name: d, table: public.jobs, queue: q, finished: f, tenant: t, join: runs on true",
        "name: e, table: public.jobs, queue: q, finished: f, join: a.b c on c.d = job.e",
        "name: f, table: public.jobs, queue: q, finished: f, retries: attempt",
    )
    assert found == {
        "[0].name": "expected small letters, digits, - and _; found 'A b'",
        "[0].table": "expected schema.table such as public.jobs; found 'jobs'",
        "[0].queue": "expected a single expression, without ,; found 'a, b'",
        "[0].finished": "expected at least one; found an empty list",
        "[0].outcom": "unknown key; did you mean 'outcome'?",
        "[1].queue": "expected a single expression, without ;; found 'q; drop table x'",
        "[1].finished[1]": "expected an expression without comments; found 'b -- c'",
        "[1].source": "expected pgmq, pgboss, pgboss:<schema> or none; found 'kafka'",
        "[1].retries": "expected 'outcome' or 'attempt'; found 'never'",
        "[2].queue": "missing; it must be given",
        "[2].finished[0]": "expected as many closing as opening parentheses; found '(a'",
        "[2].outcome": "expected as many closing as opening parentheses; found 'a)'",
        "[2].attempt": "expected an expression without comments; found 'x /* y'",
        "[2].time_zone": "expected 'UTC'; found 'CET'",
        "[2].lag": "expected a duration such as 200ms, 5s or 10m; write 5s; found 5",
        "[3].join": "expected schema.table alias on condition, such as public.runs run on run.id = job.run_id; "
        "found 'runs on true'",
        "[4]": "expected tenant beside join; found join alone",
        "[5]": "expected attempt beside retries: attempt; found none",
    }


def test_names_of_job_tables_differ(tmp_path: Path) -> None:
    one = "name: a, table: public.jobs, queue: q, finished: f"
    assert "found 'a' twice" in faults(tmp_path, one, one)[""]


@pytest.mark.parametrize(
    "text",
    [
        "job.queue",
        "'a;b -- ) /* , $$'",
        "\"odd;name\" || ')'",
        "coalesce(a, (b), 'it''s')",
        "case when a > 0 then 'x' else 'y' end",
        "job.data ->> 'queue'",
    ],
)
def test_what_is_an_expression(text: str) -> None:
    assert expression(text) == text


@pytest.mark.parametrize(
    "text", ["", " ", "a;", "a)(b", ")", "(", "a, b", "a--", "a/*", "$$a$$", "$x$a$x$", "'a", '"a', "e'\\''", "a\0"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        expression(text)


@given(st.text("a'\"();-/*$\\e, ", max_size=30))
def test_what_is_taken_ends_where_it_seems_to(text: str) -> None:
    """Outside of quotes: nothing that ends a statement, opens a comment or closes what it has not opened."""
    try:
        taken = expression(text)
    except ValueError:
        return
    quoted, depth = "", 0
    for before, character in zip(" " + taken, taken, strict=False):
        if quoted:
            quoted = "" if character == quoted else quoted
        elif character in "'\"":
            quoted = character
        else:
            depth += {"(": 1, ")": -1}.get(character, 0)
            assert depth >= 0
            assert character != ";"
            assert before + character not in ("--", "/*")
    assert not quoted
    assert depth == 0


def test_names_are_read_as_postgres_reads_them() -> None:
    assert table(table="Public.Jobs").relation == Relation("public", "jobs")
    assert table(table='"My schema"."a""b"').relation == Relation("My schema", 'a"b')
    joined = table(tenant="r.x", join='public."Runs" AS R\n ON r.id = job.run').joined
    assert joined == Join(Relation("public", "Runs"), "r", "r.id = job.run")


def test_which_queues_are_known_beforehand_and_described() -> None:
    assert table(queue="'it''s'").named_queues == ("it's",)
    assert table(queues=["mail", "re*", "x?"]).named_queues == ("mail",)
    assert table(queue="'mail'", queues=["other"]).named_queues == ()
    first = {"name": "a", "table": "x.y", "queue": "q", "finished": "f", "queues": ["mail*"]}
    second = {**first, "name": "b", "queues": ["*"]}
    alone = {**first, "name": "c", "source": "none"}
    database = Database.model_validate({"name": "d", "dsn": "host=x", "job_tables": [alone, first, second]})
    tables = [database.job_table_of("pgmq", "mailing"), database.job_table_of("pgmq", "other")]
    assert [found and found.name for found in tables] == ["a", "b"]
    assert database.described_by_job_table("jobtable:c", "mail")
    assert not database.described_by_job_table("pgboss", "mail")


def test_outcomes_that_an_expression_cannot_say_are_not_shown() -> None:
    by_case = table(outcome="case when ok then 'completed' else 'failed' end")
    assert by_case.can_say("failed")
    assert not by_case.can_say("cancelled")
    assert table(outcome="job.outcome").can_say("cancelled")


def test_the_example_for_meshhook_loads_and_is_the_one_of_the_demo() -> None:
    example = config.load(ROOT / "examples" / "meshhook.yml", {"DATABASE_URL": "host=x"}).databases[0]
    demo = config.load(ROOT / "exporter" / "demo" / "pgqueue.yml", {"PGQUEUE_DEMO_DSN": "host=x"}).databases[0]
    assert example.job_tables == demo.job_tables
