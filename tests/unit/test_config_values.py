"""How values are read: plain scalars, variables, values that must fit together, addresses, files of secrets."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter import config
from exporter.cli import main
from exporter.config import Config
from exporter.errors import ConfigError


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "pgqueue.yml"
    file.write_text(text)
    return config.load(file, environ)


def faults(tmp_path: Path, text: str, **environ: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environ)
    found = [(fault.path, fault.message) for fault in caught.value.faults]
    assert len(dict(found)) == len(found)
    return dict(found)


def database(*lines: str) -> str:
    return "\n    ".join(["databases:\n  - name: a\n    dsn: host=h", *lines])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("count_limit: 0777", "expected a whole number; found '0777'"),
        ("count_limit: 3:20", "expected a whole number; found '3:20'"),
        ("count_limit: 1_000", "expected a whole number; found '1_000'"),
        ("count_limit: 0x1F4", "expected a whole number; found '0x1F4'"),
        ("count_limit: 1.50", "expected a whole number; found 1.50"),
        ("count_limit: 10", "expected at least 100; found 10"),
        ("count_limit: 9000000", "expected at most 1000000; found 9000000"),
        ("interval: 0777", "expected a duration such as 200ms, 5s or 10m; found '0777'"),
        ("interval: 3:20", "expected a duration such as 200ms, 5s or 10m; found '3:20'"),
        ("interval: 10m", "expected at most 5m; found '10m'"),
        ("interval: \u0663s", "expected a duration such as 200ms, 5s or 10m; found '\u0663s'"),
        ("budget: 0:0", "expected a share such as 1% or 0.01; found '0:0'"),
        ("vacuum: yes", "expected true or false; found 'yes'"),
        ("vacuum: off", "expected true or false; found 'off'"),
        ("count_limit: !!int '500'", "a tag (!…) is not taken here; write the value without it, text in quotes"),
    ],
)
def test_a_plain_value_is_a_number_only_if_every_reader_takes_it_for_the_same(
    tmp_path: Path, line: str, told: str
) -> None:
    assert faults(tmp_path, database(line)) == {f"databases[0].{line.partition(':')[0]}": told}


def test_words_that_old_yaml_takes_for_truth_values_are_text(tmp_path: Path) -> None:
    (found,) = load(tmp_path, database("queues: {include: [no, on, y, 0777, 1:20, 2020-01-01]}")).databases
    assert found.queues.include == ("no", "on", "y", "0777", "1:20", "2020-01-01")
    told = faults(tmp_path, database("queues: {include: [true, 5, ~]}"))
    assert told["databases[0].queues.include[0]"] == "expected text (put it in quotes); found true"
    assert told["databases[0].queues.include[2]"] == "expected text (put it in quotes); found nothing"


def test_a_variable_that_stands_alone_and_unquoted_has_the_type_that_is_expected(tmp_path: Path) -> None:
    text = database(
        "count_limit: ${N}",
        "poison_limit: ${NONE:-7}",
        "vacuum: ${B}",
        "budget: ${SHARE}",
        "interval: ${I}",
        "pgmq:\n      enabled: ${B}",
        "queues:\n      include:\n      - ${N}",
    )
    variables = {"N": "5000", "B": "false", "SHARE": "0.02", "I": "9s", "L": "debug"}
    found = load(tmp_path, f"series_limit: ${{N}}\nlog_level: ${{L}}\n{text}", **variables)
    (first,) = found.databases
    assert (first.count_limit, first.poison_limit, first.vacuum, first.budget) == (5000, 7, False, 0.02)
    assert (first.interval, first.pgmq.enabled, first.queues.include) == (9, False, ("5000",))
    assert (found.series_limit, found.log_level) == (5000, "debug")


def test_a_quoted_or_composed_variable_is_text_and_its_value_is_not_shown(tmp_path: Path) -> None:
    shown = "expected a whole number; found '{}', filled in from the environment"
    text = database('count_limit: "${N}"', "poison_limit: ${M}")
    assert faults(tmp_path, text, N="5000", M="hunter2") == {
        "databases[0].count_limit": shown.format("${N}"),
        "databases[0].poison_limit": shown.format("${M}"),
    }
    assert faults(tmp_path, text.replace('"', ""), M="5") == {
        "databases[0].count_limit": "the environment variable N is not set"
    }


def test_values_that_must_fit_together_are_judged_where_they_are_in_force(tmp_path: Path) -> None:
    (found,) = load(tmp_path, f"defaults: {{lock_timeout: 5s}}\n{database('statement_timeout: 10s')}").databases
    assert (found.lock_timeout, found.statement_timeout) == (5, 10)


@pytest.mark.parametrize(
    ("defaults", "line", "path", "told"),
    [
        ("lock_timeout: 5s", "", "defaults.lock_timeout", "less than statement_timeout, which is 2s; found '5s'"),
        (
            "lock_timeout: 1s",
            "statement_timeout: 500ms",
            "databases[0].statement_timeout",
            "more than lock_timeout, which is 1s; found '500ms'",
        ),
        (
            "statement_timeout: 1s",
            "lock_timeout: 1s",
            "databases[0].lock_timeout",
            "less than statement_timeout, which is 1s; found '1s'",
        ),
        (
            "settle_max_writing: 10s",
            "",
            "defaults.settle_max_writing",
            "at least settle_max, which is 1m; found '10s'",
        ),
    ],
)
def test_values_that_do_not_fit_are_told_where_the_wrong_one_stands(
    tmp_path: Path, defaults: str, line: str, path: str, told: str
) -> None:
    assert faults(tmp_path, f"defaults: {{{defaults}}}\n{database(line)}") == {path: f"expected {told}"}


def test_all_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    text = "databases: [{name: a, lock_timeout: 5s, settle_max: 1h}]"
    assert set(faults(tmp_path, text)) == {
        "databases[0]",
        "databases[0].lock_timeout",
        "databases[0].settle_max",
    }


@pytest.mark.parametrize(
    "listen",
    ["[zz]:1", "[::1]:70000", "256.1.1.1:1", "1.2.3:1", "a b:1", "-a:1", "::1:1", "[::1", "h:", "h:1x", "h:\u0661"],
)
def test_what_is_no_address_to_listen_on(tmp_path: Path, listen: str) -> None:
    told = faults(tmp_path, f'listen: "{listen}"\n{database()}')["listen"]
    assert told.startswith("expected")
    assert told.endswith(f"found '{listen}'")


@pytest.mark.parametrize(
    "listen", ["[::1]:1", "[fe80::1%eth0]:0", ":9718", "localhost:65535", "a_b.c-d.:1", "0.0.0.0:1"]
)
def test_addresses_to_listen_on(tmp_path: Path, listen: str) -> None:
    assert load(tmp_path, f'listen: "{listen}"\n{database()}').listen == listen


@pytest.mark.parametrize("key", ["dsn_file", "password_file"])
@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), ("", "found nothing in it"), (" \n", "found nothing in it"), ("a\0", "something else")],
)
def test_a_file_of_a_secret_that_is_missing_or_empty_is_a_fault(
    tmp_path: Path, key: str, content: str | None, told: str
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    dsn = "dsn: host=h, " if key == "password_file" else ""
    text = f"interval: 1s\ndatabases: [{{name: a, {dsn}{key}: '{secret}'}}]"
    found = faults(tmp_path, text)
    assert set(found) == {"interval", f"databases[0].{key}"}
    assert told in found[f"databases[0].{key}"]
    assert str(secret) in found[f"databases[0].{key}"]


def test_a_file_with_no_connection_string_is_a_fault_that_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("hunter2\n")
    found = faults(tmp_path, f"databases: [{{name: a, dsn_file: '{tmp_path}/dsn'}}]")
    assert found["databases[0].dsn_file"].startswith("in the file: expected a connection string")
    assert "hunter2" not in found["databases[0].dsn_file"]


@pytest.mark.parametrize("name", ["", "\\0", "/", "hunter2"])
def test_what_is_no_name_of_a_file_is_a_fault(tmp_path: Path, name: str) -> None:
    (told,) = faults(tmp_path, f'databases: [{{name: a, dsn: host=h, password_file: "{name}"}}]').values()
    assert "hunter2" not in told


@pytest.mark.parametrize("command", [("check",), ("config", "check"), ("serve", "--listen", "nowhere")])
def test_every_command_refuses_a_missing_file_of_a_secret(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "pgqueue.yml"
    file.write_text("databases: [{name: a, dsn_file: /nowhere/dsn}]")
    result = CliRunner().invoke(main, [*command, "--config", str(file)])
    assert result.exit_code == 2
    assert "databases[0].dsn_file  cannot read the file /nowhere/dsn" in result.output
