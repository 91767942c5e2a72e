"""The commands under `rules`: each takes input, calls one function, shows the answer."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from . import config, names, prometheus, rulefiles
from .collector import sampling
from .config.values import duration
from .rulefiles import Options
from .rulegen import Links
from .rulegen.catalogue import RULES_INFO
from .rulegen.explain import changes, explained
from .rulegen.known import by_glob, unmatched
from .rulegen.promql import quoted
from .rulegen.render import loaded
from .rulegen.thresholds import Thresholds

DEFAULT: Final = "rules/thresholds.yml"


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float:
    """Seconds from a duration such as 15d; without one: no end."""
    try:
        return float("inf") if value is None else duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _link(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """An address; a placeholder that stands for nothing would be in the link of every alert."""
    known = ["{alert}"] if parameter.name == "runbook_url" else []
    for found in re.findall(r"\{\w*\}", value or ""):
        if found not in known:
            raise click.BadParameter(f"{found} stands for nothing" + (": expected {alert}" if known else ""))
    return value


def _thresholds_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--thresholds",
        "path",
        metavar="FILE",
        type=click.Path(path_type=Path),
        default=DEFAULT,
        show_default=True,
        help="The file that people edit.",
    )(command)


def _rules_options(command: Callable[..., None]) -> Callable[..., None]:
    """Where rules come from, and what beside the thresholds decides them."""
    for option in (
        click.option("--retention", callback=_seconds, metavar="DURATION", help="What Prometheus keeps, such as 15d."),
        click.option(
            "--dashboard-url",
            callback=_link,
            metavar="URL",
            envvar="PGQUEUE_DASHBOARD_URL",
            help="Grafana's address: alerts then link to the dashboards.",
        ),
        click.option(
            "--runbook-url",
            callback=_link,
            metavar="URL",
            envvar="PGQUEUE_RUNBOOK_URL",
            help="Where the runbooks are: a base, or a pattern with {alert}.",
        ),
    ):
        command = option(command)
    return _thresholds_option(command)


def _files_options(command: Callable[..., None]) -> Callable[..., None]:
    """As above, and the files that the rules are in."""
    for option in (
        click.option(
            "--format",
            "form",
            type=click.Choice(list(rulefiles.RULES)),
            default="prometheus",
            show_default=True,
            help="Plain rules, or a PrometheusRule of the Prometheus Operator.",
        ),
        click.option(
            "--directory",
            metavar="DIR",
            type=click.Path(path_type=Path),
            help="Where the rules are (default: beside the thresholds).",
        ),
    ):
        command = option(command)
    return _rules_options(command)


def _options(given: dict[str, Any]) -> Options:
    links = Links(dashboard=given["dashboard_url"] or "")
    if given["runbook_url"]:
        links = Links(given["runbook_url"], links.dashboard)
    return Options(given.get("form", "prometheus"), links, given["retention"])


@click.group("rules", short_help="Make and check Prometheus' rules from a file of thresholds.")
def rules_group() -> None:
    """Make Prometheus' rules from one file of thresholds; check, prove and explain them."""


@rules_group.command("init", short_help="Write a thresholds.yml with every default, explained.")
@click.argument("directory", type=click.Path(path_type=Path), default=Path(DEFAULT).parent)
def init_command(directory: Path) -> None:
    """Write a thresholds.yml with every default, explained, into DIRECTORY (default: rules). Nothing is overwritten."""
    for file in rulefiles.init(directory):
        click.echo(f"wrote {file}")


@rules_group.command("build")
@_files_options
def build_command(path: Path, directory: Path | None, **given: Any) -> None:  # noqa: ANN401  # as click gives them
    """Write the rules and the file of pinned tenants. On any fault the files stay as they were."""
    for file in rulefiles.build(path, directory or path.parent, _options(given)):
        click.echo(f"wrote {file}")
    if said := by_glob(rulefiles.load(path)):
        click.echo(f"pgqueue-exporter: {said}", err=True)
    if not given["runbook_url"]:
        click.echo("pgqueue-exporter: links to runbooks lead nowhere yet: give --runbook-url", err=True)


@rules_group.command("check")
@_files_options
@click.option(
    "--prometheus",
    "url",
    metavar="URL",
    help="Also: are these rules loaded there, and does all match? (http://user:password@… where it asks for them.)",
)
@click.option("--config", "config_file", metavar="FILE", type=click.Path(), help="Also: does all match a queue there?")
@click.option("--dsn", metavar="DSN", help="The same for one database, instead of a file.")
def check_command(
    path: Path,
    directory: Path | None,
    url: str | None,
    config_file: str | None,
    dsn: str | None,
    **given: Any,  # noqa: ANN401  # as click gives them
) -> None:
    """Make the rules anew and compare. Exit code 1, with a diff, when the files are others.

    With --prometheus, --config or --dsn, overrides that match nothing known there are told, with exit code 1.
    """
    options = _options(given)
    found = list(rulefiles.differences(path, directory or path.parent, options))
    thresholds = rulefiles.load(path, options.retention)
    if url is not None:
        made = rulefiles.generated(path, options)[rulefiles.RULES[options.form]]
        shas = {series.labels.get("sha") for series in prometheus.query(url, RULES_INFO)}
        if loaded(made) not in shas:
            found.append(f"Prometheus at {prometheus.server(url).base} has other rules loaded, or none: reload it")
        found += unmatched(thresholds, _in_prometheus(url, thresholds))
    if config_file is not None or dsn is not None:
        found += unmatched(thresholds, _in_databases(config_file, dsn))
    if found:
        click.echo("\n".join(found))
        sys.exit(1)
    click.echo("ok: the rules are what the thresholds make")


#: What tells every label that an override may match, and what a queue is for.
_TELLING: Final = (
    names.JOBS,
    names.QUEUE_INFO,
    names.TABLE_DEAD_ROWS,
    names.SOURCE_MAINTENANCE,
    names.SCHEDULE_OVERDUE,
    names.VACUUM_HORIZON_AGE,
)


def _in_prometheus(url: str, thresholds: Thresholds) -> Iterator[dict[str, str]]:
    job = f"{{job={quoted(thresholds.job)}}}"
    for metric in _TELLING:
        labels = ", ".join(label for label in metric.labels if label != "state")
        for series in prometheus.query(url, f"group by ({labels}) ({metric.name}{job})"):
            yield series.labels


def _in_databases(config_file: str | None, dsn: str | None) -> Iterator[dict[str, str]]:
    for database in config.find(config_file, dsn).databases:
        samples, faults = sampling.collect(database)
        for fault in faults:
            click.echo(f"pgqueue-exporter: {database.name}: {fault}", err=True)
        for sample in samples:
            if names.DATABASE in sample.metric.labels:
                yield dict(zip(sample.metric.labels, sample.labels, strict=True))


@rules_group.command("test", short_help="Let promtool check the rules and prove the limits.")
@_rules_options
@click.argument("tests", nargs=-1, type=click.Path(path_type=Path))
def test_command(path: Path, tests: tuple[Path, ...], **given: Any) -> None:  # noqa: ANN401  # as click gives them
    """Let promtool check the rules and prove that every limit is what the file says; and run TESTS of your own."""
    click.echo(rulefiles.prove(path, _options(given), tests))


@rules_group.command("explain", short_help="Say which limits apply to a queue, and where they come from.")
@click.argument("queue")
@_thresholds_option
@click.option("--tenant", help="As the label shows it.")
@click.option("--source", default="pgmq", show_default=True)
@click.option("--database", default="main", show_default=True)
def explain_command(queue: str, path: Path, tenant: str | None, source: str, database: str) -> None:
    """Say which limits apply to a queue, or to one tenant of it, and where in the file each comes from.

    A dead letter queue is judged by dead_letters alone, under its own name; a queue that has one, by all else.
    """
    labels = {names.QUEUE: queue, names.SOURCE: source, names.DATABASE: database}
    if tenant is not None:
        labels[names.TENANT] = tenant
    click.echo("\n".join(explained(rulefiles.load(path), labels)))


@rules_group.command("diff")
@click.argument("other", type=click.Path(path_type=Path))
@_thresholds_option
def diff_command(other: Path, path: Path) -> None:
    """Say what OTHER, another file of thresholds, would change. Exit code 1 when it would change anything."""
    found = changes(rulefiles.load(path), rulefiles.load(other))
    click.echo("\n".join(found) or "ok: both say the same")
    sys.exit(1 if found else 0)


@rules_group.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the file of thresholds, for editors."""
    click.echo(rulefiles.schema(), nl=False)
