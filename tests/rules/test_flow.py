"""What a backlog's alert says of arrivals and ends: whole sentences, and no rate of 0.00 where there is one."""

from pathlib import Path

from exporter import rulegen
from exporter.rulegen.signals import SIGNAL
from tests.rules.bench import Bench, groups, replicated, thresholds
from tests.rules.cases import QUEUE, Series, info
from tests.rules.claims import firing, group

BACKLOG = SIGNAL["backlog"]
JOBS: Series = ("pgqueue_jobs", {**QUEUE, "state": "ready"}, "5000x60")
IN = ("pgqueue_jobs_enqueued_total", QUEUE)
OUT = ("pgqueue_jobs_finished_total", {**QUEUE, "outcome": "completed"})

#: What is known of the flow, and how the text goes on after the limit.
KNOWN: dict[str, tuple[list[Series], str]] = {
    "both": (
        [(*IN, "0+120x60"), (*OUT, "0+60x60")],
        " In the whole queue 2.00 jobs a second arrive and 1.00 finish, so that it does not drain.",
    ),
    "both, and it drains": (
        [(*IN, "0+60x60"), (*OUT, "0+90x60")],
        " In the whole queue 1.00 jobs a second arrive and 1.50 finish, so that draining takes 2h 46m 40s.",
    ),
    "only what finishes": ([(*OUT, "0+60x60")], " In the whole queue 1.00 jobs a second finish."),
    "only what arrives": ([(*IN, "0+60x60")], " In the whole queue 1.00 jobs a second arrive."),
    "hardly any": (
        [(*IN, "0+60x60"), (*OUT, "0x10 0+0.2x50")],
        " In the whole queue 1.00 jobs a second arrive and 0.0033 finish, so that it does not drain.",
    ),
    "none": (
        [(*IN, "0+60x60"), (*OUT, "7x60")],
        " In the whole queue 1.00 jobs a second arrive and 0 finish, so that it does not drain.",
    ),
    "nothing": ([], ""),
}


def test_the_text_of_a_backlog_is_whole_whatever_is_known_of_the_flow(tmp_path: Path, each_promtool: Path) -> None:
    bench = Bench(tmp_path, each_promtool)
    made = rulegen.prometheus(groups(thresholds({"defaults": {"backlog": {"critical": "off"}}}, tmp_path)))
    for name, (series, flow) in KNOWN.items():
        text = f"Queue mail (pgmq, database main): 5000 jobs are ready; the limit is 1000.{flow}"
        told = firing("PGQueueWatchdog", {"job": "pgqueue", **QUEUE}, text, summary=BACKLOG.summary)
        told["exp_annotations"]["runbook_url"] = told["exp_annotations"]["runbook_url"].replace(
            "pgqueuewatchdog", BACKLOG.alert.lower()
        )
        bench.add(name, made, [group(name, replicated([JOBS, info(), *series]), (BACKLOG.alert, 20, [told]))])
    assert bench.broken() == {}
