"""The command line: each command takes input, calls one function, shows the answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from . import __version__, config, logs
from .collector import advising, check, roles, sampling
from .config.address import address as parse_address
from .errors import ExporterError
from .model import Sample
from .ping import ping
from .service import Service
from .sources import pinned


class _Group(click.Group):
    """Turns what a person can mend into one message and an exit code; anything else stays loud."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # click's own signature
        try:
            return super().invoke(ctx)
        except ExporterError as error:
            _complain(str(error))
            ctx.exit(error.exit_code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "rules"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "rules":
            return super().get_command(ctx, cmd_name)
        from .rulescli import rules_group  # noqa: PLC0415  # takes a while, and `ping` is run again and again

        return rules_group


def _complain(message: str) -> None:
    lines = f"pgqueue-exporter: {message}".splitlines()
    click.echo("\n".join(logs.printable(line) for line in lines), err=True)


def _show(text: str, *, newline: bool = True) -> None:
    """Print a result. Raises ExporterError where it cannot be written (a pipe that was closed is click's matter)."""
    try:
        click.echo(text, nl=newline)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What could not be written would be tried again, and complained of, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ExporterError(f"cannot write to standard output: {error.strerror}") from None


def _database_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--dsn", metavar="DSN", help="Connection string of one database, instead of a file.")(
        command
    )
    return click.option(
        "--config",
        "path",
        metavar="FILE",
        type=click.Path(),
        help="Configuration file (default: pgqueue.yml, if there).",
    )(command)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pgqueue-exporter")
def main() -> None:
    """Health of job queues that live in Postgres, for Prometheus.

    Without --config and --dsn, databases come from PGQUEUE_CONFIG, PGQUEUE_DSN, DATABASE_URL or ./pgqueue.yml.
    """


@main.command("serve")
@_database_options
@click.option("--listen", metavar="HOST:PORT", help="Where to listen (default: 127.0.0.1:9718).")
@click.option(
    "--web.config.file",
    "web_file",
    metavar="FILE",
    type=click.Path(),
    help="TLS, users and headers of the listener: a file as other exporters take it.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default: info.")
@click.option("--log-format", type=click.Choice(["logfmt", "json"]), default="logfmt", show_default=True)
def serve_command(
    path: str | None,
    dsn: str | None,
    listen: str | None,
    web_file: str | None,
    log_level: str | None,
    log_format: str,
) -> None:
    """Collect, and serve /metrics. SIGHUP reloads the configuration, SIGTERM stops."""
    Service(
        lambda: config.find(path, dsn), listen=listen, web_file=web_file, log_level=log_level, log_format=log_format
    ).run()


@main.command("ping", short_help="Ask a running exporter whether it is well.")
@click.argument("address", metavar="[HOST:PORT]", default="127.0.0.1:9718")
@click.option("--timeout", type=click.FloatRange(0.1, 60), default=3, show_default=True, help="Seconds, of each try.")
def ping_command(address: str, timeout: float) -> None:
    """Ask a running exporter whether it is well: for a container's health check.

    Over TLS as well as plain, and content where it asks for a login. Exit code 0 when it answers, else 1.
    """
    try:
        host, port = parse_address(address)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="HOST:PORT") from None
    _show(ping(host, port, timeout))


@main.command("check", short_help="Ask every database once what is there, and what is missing.")
@_database_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def check_command(path: str | None, dsn: str | None, *, as_json: bool) -> None:
    """Ask every database once: what is there, what is missing, what one collection costs.

    Exit code 0 when nothing is wrong, 1 when something is, 2 when the configuration cannot be used.
    """
    logs.quiet()
    reports = [check.examine(database) for database in config.find(path, dsn).databases]
    if as_json:
        _show(json.dumps([report.as_json() for report in reports], indent=2))
    else:
        _show("\n".join(line for report in reports for line in check.lines(report)))
    sys.exit(max(report.exit_code for report in reports))


@main.command()
@_database_options
@click.option(
    "--format", "form", type=click.Choice(["table", "prometheus", "json"]), default="table", show_default=True
)
def sample(path: str | None, dsn: str | None, form: str) -> None:
    """Collect once and print what was found.

    Exit code 0 when everything could be asked, else 1 with why on standard error, 2 when the configuration cannot be
    used.
    """
    logs.quiet()
    samples: list[Sample] = []
    exit_code = 0
    for database in config.find(path, dsn).databases:
        try:
            found, faults = sampling.collect(database)
        except ExporterError as error:
            found, faults = (), [str(error)]
            exit_code = max(exit_code, error.exit_code)
        samples += found
        for fault in faults:
            _complain(f"{database.name}: {fault}")
            exit_code = max(exit_code, 1)
    if samples:
        _show(_FORMS[form](samples), newline=form != "prometheus")
    sys.exit(exit_code)


_FORMS: dict[str, Callable[[list[Sample]], str]] = {
    "table": sampling.as_table,
    "prometheus": sampling.as_text,
    "json": lambda samples: json.dumps(sampling.as_json(samples), indent=2),
}


@main.group("config")
def config_group() -> None:
    """Check the configuration file, or print its schema."""


@config_group.command("check", short_help="Say whether the configuration can be used.")
@_database_options
def config_check(path: str | None, dsn: str | None) -> None:
    """Say whether the configuration can be used, or everything that is wrong with it."""
    found = config.find(path, dsn)
    for finding in (finding for database in found.databases for finding in pinned.findings(database)):
        _complain(f"{finding.about}: {finding.message}")
    _show(f"ok: {', '.join(database.name for database in found.databases)}")


@config_group.command("check-web", short_help="Say whether a web configuration file can be used.")
@click.argument("path", metavar="FILE", type=click.Path())
def config_check_web(path: str) -> None:
    """Say whether a web configuration file (see `serve --web.config.file`) can be used, or what is wrong with it."""
    web = config.load_web(path)
    for note in web.config.notes:
        _complain(f"{path}: {note}")
    users = len(web.config.basic_auth_users)
    _show(f"ok: {'https' if web.tls else 'http'}, {users or 'no'} user{'' if users == 1 else 's'}")


@config_group.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    _show(json.dumps(config.json_schema(), indent=2))


@main.group("sql", short_help="Print SQL for people to read and run: indexes, a role.")
def sql_group() -> None:
    """Print SQL for people to read and run; the exporter never changes a database."""


@sql_group.command("indexes", short_help="Print indexes that would make watching cheaper.")
@_database_options
def sql_indexes(path: str | None, dsn: str | None) -> None:
    """Print indexes that would make watching cheaper, with what each gains. All are optional."""
    for database in config.find(path, dsn).databases:
        click.echo("\n".join(advising.index_lines(database)))


@sql_group.command("role", short_help="Print a role that can read no payload, and its functions.")
@_database_options
@click.option("--database", metavar="NAME", help="Which database of the configuration, where it has several.")
@click.option("--role", metavar="NAME", default=roles.ROLE, show_default=True, help="What the role is called.")
@click.option(
    "--source", "sources", multiple=True, type=click.Choice(roles.SOURCES), help="Only the functions of this source."
)
@click.option("--drop", is_flag=True, help="Print what takes it back.")
def sql_role(
    path: str | None, dsn: str | None, database: str | None, role: str, sources: tuple[str, ...], *, drop: bool
) -> None:
    """Print a role of the exporter's own that can read no payload, and the functions that it may call.

    The same SQL makes it and brings it up to date, on a server of your own and on Supabase.
    """
    _show(roles.sql_of(config.find(path, dsn), database, role, sources, drop=drop), newline=False)


@main.command(short_help="Show it on a Postgres of its own: an incident and its alert.")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen (default: 127.0.0.1:9718, or a free port).")
@click.option("--for", "seconds", type=float, metavar="SECONDS", help="Stop after so long (default: when interrupted).")
def demo(listen: str | None, seconds: float | None) -> None:
    """Show it on a Postgres of its own: queues, workers, an incident, and the exporter."""
    try:
        from .demo import run  # noqa: PLC0415  # needs the extra
    except ImportError as error:
        raise ExporterError(
            f"the demo needs {error.name}: pip install 'pgqueue-exporter[demo]', or run `make demo` in a checkout"
        ) from None
    sys.exit(run(listen=listen, seconds=seconds))
