"""How long Prometheus takes to evaluate the rules: 50 queues of 50 tenants, two exporters, 200 overrides."""

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread

from exporter import names, rulefiles, rulegen
from exporter.rulefiles import Options

ROOT = Path(__file__).parents[1]
QUEUES, TENANTS, OVERRIDES = 50, 50, 200
SECONDS = 150


def page() -> str:
    """A page of one exporter, about as large as that of a real one."""
    lines = []
    began = time.time()
    for queue in range(QUEUES):
        labels = f'database="main",source="pgmq",queue="queue_{queue}"'
        lines.append(f'pgqueue_queue_info{{{labels},role="work",dead_letter_queue="",dead_letter_for=""}} 1')
        for tenant in [*(f"tenant-{number}" for number in range(TENANTS)), "_other"]:
            of = f'{labels},tenant="{tenant}"'
            lines += [
                f'pgqueue_jobs{{{of},state="{state}"}} {random.randint(0, 99)}' for state in ("ready", "in_flight")
            ]
            lines.append(f"pgqueue_oldest_ready_age_seconds{{{of}}} {random.randint(1, 400)}")
            for outcome in ("completed", "failed"):
                lines.append(f'pgqueue_jobs_finished_total{{{of},outcome="{outcome}"}} {int(began * random.random())}')
            lines.append(f"pgqueue_jobs_retried_total{{{of}}} {int(began * random.random())}")
            if tenant[-1] in "05":
                for le in [*(f"{bound:g}" for bound in names.BUCKETS), "+Inf"]:
                    for metric in ("run", "wait"):
                        lines.append(f'pgqueue_job_{metric}_seconds_bucket{{{of},le="{le}"}} {int(began)}')
        for metric in ("oldest_in_flight_age_seconds", "stalled_seconds", "unready_head_jobs", "redelivered_jobs"):
            lines.append(f"pgqueue_{metric}{{{labels}}} {random.randint(0, 9)}")
        for metric in ("enqueued", "dequeued"):
            lines.append(f"pgqueue_jobs_{metric}_total{{{labels}}} {int(began)}")
        for table in ("queue", "archive"):
            lines += [f'pgqueue_table_{kind}_rows{{{labels},table="{table}"}} 200000' for kind in ("dead", "live")]
        lines.append(f"pgqueue_queue_collection_timestamp_seconds{{{labels}}} {began}")
    lines.append('pgqueue_up{database="main"} 1')
    return "\n".join(lines) + "\n"


def thresholds() -> str:
    """Two signals each, half with a tenant, a tenth globs."""
    lines = ["version: 1", "overrides:"]
    sources = ("pgmq", "pgm?", "pg*", "p*")  # each match once, and none after one that takes all of it
    for number in sorted(range(OVERRIDES), key=lambda number: number % 10 == 0):  # globs come last
        queue = f'"queue_{number // 10 % 5}*"' if number % 10 == 0 else f"queue_{number % QUEUES}"
        source = f', source: "{sources[number // 50]}"'
        tenant = f", tenant: tenant-{number // 4 % TENANTS}" if number % 2 else source
        lines.append(f"- match: {{queue: {queue}{tenant}}}")
        age, backlog = random.randint(10, 200), random.randint(10, 900)
        lines.append(f"  ready_age: {{warning: {age}s, critical: {age * 8}s}}")
        ratio = f"failure_ratio: {{warning: {age % 40 + 1}%, critical: {age % 40 + 50}%}}"
        lines.append(f"  {ratio if number % 4 > 1 else f'backlog: {{warning: {backlog}, critical: {backlog * 9}}}'}")
    return "\n".join(lines) + "\n"


class Page(BaseHTTPRequestHandler):
    """Serves the page."""

    text = b""

    def do_GET(self) -> None:
        """Send it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def ask(port: int, query: str) -> list[tuple[dict[str, str], float]]:
    """An instant vector."""
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=30) as answer:
        return [(one["metric"], float(one["value"][1])) for one in json.load(answer)["data"]["result"]]


def bench() -> None:
    """Measure and print, a row a group."""
    random.seed(1)
    program = next(
        str(path)
        for path in (ROOT / ".tools/go/bin/prometheus", ROOT / ".tools/unpacked/usr/bin/prometheus")
        if path.exists()
    )
    Page.text = page().encode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    Thread(target=server.serve_forever, daemon=True).start()
    folder = Path(tempfile.mkdtemp(prefix="pgqueue-rules-"))
    (folder / "thresholds.yml").write_text(thresholds())
    found = rulefiles.load(folder / "thresholds.yml")
    (folder / "pgqueue.rules.yml").write_text(rulegen.prometheus(rulegen.groups(found, Options().links)))
    target = f"127.0.0.1:{server.server_port}"
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 5s, evaluation_interval: 5s}\nrule_files: [pgqueue.rules.yml]\nscrape_configs:\n"
        f"- job_name: pgqueue\n  static_configs: [{{targets: ['{target}', 'localhost:{server.server_port}']}}]\n"
        "- job_name: prometheus\n  static_configs: [{targets: ['127.0.0.1:19290']}]\n"
    )
    arguments = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        "--web.listen-address=127.0.0.1:19290",
        "--log.level=error",
    ]
    process = subprocess.Popen([program, *arguments])
    durations: dict[str, list[float]] = {}
    try:
        time.sleep(60)
        until = time.monotonic() + SECONDS - 60
        while time.monotonic() < until:
            for labels, seconds in ask(19290, "prometheus_rule_group_last_duration_seconds"):
                durations.setdefault(re.sub(r".*;", "", labels["rule_group"]), []).append(seconds)
            time.sleep(5)
        series = ask(19290, 'scrape_samples_scraped{job="pgqueue"}')
        cpu = ask(19290, 'rate(process_cpu_seconds_total{job="prometheus"}[1m])')
        missed = ask(19290, "sum(prometheus_rule_group_iterations_missed_total)")
        failures = ask(19290, "sum(prometheus_rule_evaluation_failures_total)")
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
    about = f"{len(found.overrides)} overrides, {series[0][1]:.0f} series a page, {failures[0][1]:.0f} failures"
    print(
        f"{about}; load {os.getloadavg()[0]:.1f}, Prometheus uses {cpu[0][1]:.2f} cores, scrapes included; "
        f"{missed[0][1]:.0f} evaluations missed"
    )
    for name, seconds_ in sorted(durations.items(), key=lambda item: -median(item[1])):
        print(f"{name:30} {1000 * median(seconds_):7.1f} ms   most {1000 * max(seconds_):7.1f}")
    print(f"{'sum':30} {1000 * sum(median(one) for one in durations.values()):7.1f} ms")
