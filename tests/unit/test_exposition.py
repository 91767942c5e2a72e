"""The page's text: what the parsers of prometheus-client read back is what went in."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter import names
from exporter.collector.exposition import render, series
from exporter.model import Distribution, Sample

BOUNDS = (*(str(float(bound)) for bound in names.BUCKETS), "+Inf")

Read = dict[tuple[str, frozenset[tuple[str, str]]], float]


def as_text(samples: list[Sample]) -> str:
    return b"".join(part for block in render(samples) for part in (block.text_header, *block.pieces)).decode()


def as_openmetrics(samples: list[Sample]) -> str:
    blocks = render(samples)
    parts = [part for block in blocks for part in (block.openmetrics_header, *block.pieces)]
    return b"".join((*parts, b"# EOF\n")).decode()


def read(page: str, *, openmetrics: bool) -> Read:
    """What a parser finds."""
    found = {}
    families = parse_openmetrics(page) if openmetrics else parse_text(page)  # type: ignore[no-untyped-call]  # an untyped library
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def meant(samples: list[Sample]) -> Read:
    """What a parser should find."""
    found: Read = {}
    for metric, values, value in samples:
        labels = frozenset(zip(metric.labels, values, strict=True))
        if isinstance(value, Distribution):
            for bound, count in zip(BOUNDS, (*value.cumulative, value.observations), strict=True):
                found[f"{metric.name}_bucket", labels | {("le", bound)}] = count
            found[f"{metric.name}_sum", labels] = value.total
            found[f"{metric.name}_count", labels] = value.observations
        else:
            found[metric.name, labels] = value
    return found


def same(one: Read, other: Read) -> bool:
    return one.keys() == other.keys() and all(
        value == other[key] or (math.isnan(value) and math.isnan(other[key])) for key, value in one.items()
    )


nasty = st.text(max_size=12) | st.text(alphabet='\\"\n\r\t n{},=#%\u2028ü', max_size=8)
whole = st.integers(0, 2**53)
measured = st.floats(min_value=0, allow_infinity=False)
any_number = st.floats() | st.integers(-(2**53), 2**53) | st.booleans()


@st.composite
def distributions(draw: st.DrawFn) -> Distribution:
    counts = sorted(draw(st.lists(st.integers(0, 10**6), min_size=len(BOUNDS), max_size=len(BOUNDS))))
    return Distribution(tuple(counts[:-1]), counts[-1], draw(measured))


VALUES: dict[names.Kind, st.SearchStrategy[float | Distribution]] = {
    "gauge": any_number,
    "counter": whole | measured,
    "histogram": distributions(),
}


@st.composite
def a_sample(draw: st.DrawFn) -> Sample:
    metric = draw(st.sampled_from(names.CATALOGUE))
    return Sample(metric, tuple(draw(nasty) for _ in metric.labels), draw(VALUES[metric.kind]))


# On a fresh machine the first draw builds Hypothesis's tables of characters, which takes seconds.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

pages = st.lists(a_sample(), max_size=30, unique_by=lambda sample: (sample.metric.name, sample.labels))


@patient
@given(pages)
def test_prometheus_text_is_read_back_as_it_went_in(samples: list[Sample]) -> None:
    assert same(read(as_text(samples), openmetrics=False), meant(samples))


@patient
@given(pages)
def test_openmetrics_is_read_back_as_it_went_in(samples: list[Sample]) -> None:
    assert same(read(as_openmetrics(samples), openmetrics=True), meant(samples))


@patient
@given(pages)
def test_the_number_of_series_is_the_number_of_lines(samples: list[Sample]) -> None:
    assert series(samples) == len(meant(samples))


def test_one_nasty_name_does_not_change_its_neighbours() -> None:
    samples = [
        Sample(names.JOBS_ESTIMATED, ("main", "pgmq", 'a"\\\n' if number == 700 else f"q{number}"), number)
        for number in range(1400)
    ]
    assert read(as_text(samples), openmetrics=False) == meant(samples)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (True, "1"),
        (7, "7"),
        (1.5, "1.5"),
        (1700000000.25, "1700000000.25"),
        (2**60, "1152921504606846976"),
        (1e20, "100000000000000000000"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
@pytest.mark.parametrize("before", [[], [1]], ids=["alone", "after another"])
def test_numbers_are_written_as_prometheus_likes_them(value: float, written: str, before: list[int]) -> None:
    samples = [Sample(names.UP, (str(place),), number) for place, number in enumerate([*before, value])]
    assert as_text(samples).splitlines()[-1] == f'pgqueue_up{{database="{len(before)}"}} {written}'


def test_a_lone_surrogate_does_not_cost_the_page() -> None:
    assert 'database="a?b"' in as_text([Sample(names.UP, ("a\ud800b",), 1)])


def test_databases_that_come_interleaved_are_grouped_in_the_catalogues_order() -> None:
    samples = [
        Sample(metric, (database, *("x" for _ in metric.labels[1:])), 1)
        for database in ("one", "two")
        for metric in (names.UP, names.OLDEST_JOB_AGE, names.JOBS)
    ]
    families = [line.split()[2] for line in as_text(samples).splitlines() if line.startswith("# TYPE")]
    assert families == [metric.name for metric in (names.JOBS, names.OLDEST_JOB_AGE, names.UP)]


def test_a_family_without_samples_is_left_out() -> None:
    assert as_text([]) == ""
    assert as_text([Sample(names.UP, ("main",), 1)]).count("# HELP") == 1


def test_other_threads_get_their_turn_between_pieces() -> None:
    pauses: list[None] = []
    samples = [Sample(names.UP, (str(number),), 1) for number in range(5000)]
    list(render(samples, lambda: pauses.append(None)))
    assert len(pauses) >= 10


def test_a_page_looks_like_this() -> None:
    cumulative = (0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3)
    samples = [
        Sample(names.ENQUEUED, ("main", "pgmq", "mail"), 5),
        Sample(names.RUN, ("main", "pgmq", "mail", "", "archived"), Distribution(cumulative, 4, 22000.5)),
        Sample(names.JOBS, ("main", "pgmq", "mail", "", "ready"), 3),
    ]
    buckets = "".join(
        f'pgqueue_job_run_seconds_bucket{{database="main",source="pgmq",queue="mail",tenant="",'
        f'outcome="archived",le="{bound}"}} {count}\n'
        for bound, count in zip(
            ["0.1", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "60.0", "300.0", "900.0", "3600.0", "21600.0", "+Inf"],
            (*cumulative, 4),
            strict=True,
        )
    )
    run = '{database="main",source="pgmq",queue="mail",tenant="",outcome="archived"}'
    lines = (
        'pgqueue_jobs{database="main",source="pgmq",queue="mail",tenant="",state="ready"} 3\n',
        'pgqueue_jobs_enqueued_total{database="main",source="pgmq",queue="mail"} 5\n',
        f"{buckets}pgqueue_job_run_seconds_sum{run} 22000.5\npgqueue_job_run_seconds_count{run} 4\n",
    )
    assert as_text(samples) == (
        f"# HELP pgqueue_jobs {names.JOBS.help}\n# TYPE pgqueue_jobs gauge\n{lines[0]}"
        f"# HELP pgqueue_jobs_enqueued_total {names.ENQUEUED.help}\n"
        f"# TYPE pgqueue_jobs_enqueued_total counter\n{lines[1]}"
        f"# HELP pgqueue_job_run_seconds {names.RUN.help}\n# TYPE pgqueue_job_run_seconds histogram\n{lines[2]}"
    )
    assert as_openmetrics(samples) == (
        f"# HELP pgqueue_jobs {names.JOBS.help}\n# TYPE pgqueue_jobs gauge\n{lines[0]}"
        f"# HELP pgqueue_jobs_enqueued {names.ENQUEUED.help}\n"
        f"# TYPE pgqueue_jobs_enqueued counter\n{lines[1]}"
        f"# HELP pgqueue_job_run_seconds {names.RUN.help}\n# TYPE pgqueue_job_run_seconds histogram\n"
        f"# UNIT pgqueue_job_run_seconds seconds\n{lines[2]}"
        "# EOF\n"
    )
