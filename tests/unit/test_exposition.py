"""The page's text is what Prometheus' own parsers read back."""

import gzip

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from exporter import names
from exporter.api.app import accepts_gzip, prefers_openmetrics
from exporter.collector.exposition import render
from exporter.model import Distribution, Sample

label = st.text(max_size=20).filter(
    lambda text: not set(text) & {"\r", "\x00", "\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"}
)


def page(samples: list[Sample], *, openmetrics: bool) -> str:
    text = ""
    for block in render(samples):
        header = block.openmetrics_header if openmetrics else block.text_header
        text += b"".join((header, *block.pieces)).decode()
    return text + ("# EOF\n" if openmetrics else "")


@given(label, label, st.floats(allow_nan=False), st.integers(0, 10**15))
def test_what_goes_in_is_read_back_in_both_formats(queue: str, tenant: str, value: float, count: int) -> None:
    jobs = Sample(names.JOBS, ("main", "pgmq", queue, tenant, names.READY), value)
    enqueued = Sample(names.ENQUEUED, ("main", "pgmq", queue), count)
    for openmetrics, families in ((False, text_families), (True, openmetrics_families)):
        read = {
            sample.name: sample
            for family in families(page([enqueued, jobs], openmetrics=openmetrics))
            for sample in family.samples
        }
        assert read["pgqueue_jobs"].value == value
        assert read["pgqueue_jobs"].labels["queue"] == queue
        assert read["pgqueue_jobs"].labels["tenant"] == tenant
        assert read["pgqueue_jobs_enqueued_total"].value == count


def test_a_histogram_has_cumulative_buckets_a_sum_and_a_count() -> None:
    run = Distribution((1, *(2,) * (len(names.BUCKETS) - 1)), 3, 7.5)
    text = page([Sample(names.RUN, ("main", "pgmq", "mail", "", names.ARCHIVED), run)], openmetrics=True)
    (family,) = openmetrics_families(text)  # type: ignore[no-untyped-call]  # untyped library
    values = {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}
    assert values["pgqueue_job_run_seconds_bucket", "0.1"] == 1
    assert values["pgqueue_job_run_seconds_bucket", "+Inf"] == 3
    assert values["pgqueue_job_run_seconds_count", None] == 3
    assert values["pgqueue_job_run_seconds_sum", None] == 7.5


def test_content_negotiation() -> None:
    prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    assert prefers_openmetrics(prometheus)
    assert not prefers_openmetrics("text/plain,application/openmetrics-text;q=0.5")
    assert not prefers_openmetrics("*/*")
    assert accepts_gzip("gzip, deflate")
    assert not accepts_gzip("gzip;q=0")
    assert not accepts_gzip("")


def test_gzip_members_one_after_the_other_are_one_stream() -> None:
    assert gzip.decompress(gzip.compress(b"a\n") + gzip.compress(b"b\n")) == b"a\nb\n"
