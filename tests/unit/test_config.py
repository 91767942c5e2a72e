"""The configuration: one frozen value, or every fault at once."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.config import Config, DeadLetterQueues
from exporter.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "pgqueue.yml"


def load(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "pgqueue.yml"
    file.write_text(text)
    return config.load(file, {})


def faults(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.exit_code == 2
    return {fault.path: fault.message for fault in caught.value.faults}


def test_the_example_loads_fits_the_schema_and_shows_the_defaults() -> None:
    shown = yaml.safe_load(EXAMPLE.read_text())
    schema = json.loads((ROOT / "docs" / "pgqueue.schema.json").read_text())
    jsonschema.validate(shown, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"databases": [{"name": "a", "dsn": "x", "intervall": "5s"}]}, schema)
    found, plain = config.load(EXAMPLE, {}).databases[0], config.from_dsn("postgresql://h/d").databases[0]
    assert {key: getattr(found, key) for key in shown["defaults"]} == {
        key: getattr(plain, key) for key in shown["defaults"]
    }
    keys = set(shown["defaults"]) | set(shown["databases"][0]) | {"dsn_file", "password_file"}
    assert keys == set(type(plain).model_fields)


def test_every_fault_is_told_at_once_with_its_path(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "listen: 5\nlog_levl: info\ndefaults: {interval: 5, budgt: 1%}\ndatabases:\n"
        "  - name: 1\n    dsn: postgresql://h/d\n    queues: {inclde: [a], include: x}\n"
        "  - {name: y, dsn: 'postgresql://h/${NOPE}', count_limit: 10.5, budget: 70%}\n",
    )
    assert found == {
        "listen": "expected text (put it in quotes); found 5",
        "log_levl": "unknown key; did you mean 'log_level'?",
        "defaults.interval": "expected a duration such as 200ms, 5s or 10m; write 5s; found 5",
        "defaults.budgt": "unknown key; did you mean 'budget'?",
        "databases[0].name": "expected text (put it in quotes); found 1",
        "databases[0].queues.inclde": "unknown key; did you mean 'include'?",
        "databases[0].queues.include": "expected a list; found 'x'",
        "databases[1].dsn": "the environment variable NOPE is not set",
        "databases[1].count_limit": "expected a whole number; found 10.5",
        "databases[1].budget": "expected at most 0.5; found '70%'",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "is empty"), ("[1]", "found a list"), ("a: [", "is not YAML at line"), ("a: 1\n\tb: 2", "at line 2")],
)
def test_what_is_no_configuration_gets_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_stands_twice_is_a_fault(tmp_path: Path) -> None:
    found = faults(tmp_path, "databases: [{name: a, dsn: host=x, dsn: host=y}]")
    assert found == {"databases[0].dsn": "this key stands here twice"}


def test_names_must_differ_and_one_connection_string_is_needed(tmp_path: Path) -> None:
    assert (
        "found 'a' twice"
        in faults(tmp_path, "databases: [{name: a, dsn: host=x}, {name: a, dsn: host=y}]")["databases"]
    )
    assert "found neither" in faults(tmp_path, "databases: [{name: a}]")["databases[0]"]


def test_a_secret_shows_itself_nowhere_and_is_read_anew(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("one\n")
    found = load(tmp_path, f"databases: [{{name: a, dsn: 'postgresql://u:hunter2@h/d', password_file: '{secret}'}}]")
    for shown in (repr(found), str(found), found.model_dump_json()):
        assert "hunter2" not in shown
    assert found.databases[0].conninfo() == "postgresql://u:hunter2@h/d"
    assert found.databases[0].password() == "one"
    secret.write_text("two\n")
    assert found.databases[0].password() == "two"
    secret.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        found.databases[0].password()


@given(st.one_of(st.binary(max_size=200), st.text("ab:[]{}&*!-?|>'\"\n\t #%@`,0.", max_size=80).map(str.encode)))
def test_no_bytes_raise_anything_but_a_config_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "pgqueue.yml"
    file.write_bytes(content)
    with pytest.raises(ConfigError):
        config.load(file, {})


def test_dead_letter_queues_belong_to_the_queue_before_the_suffix() -> None:
    plain, known = DeadLetterQueues(), {"mail", "mail_dlq", "lost_dlq"}
    assert plain.owner_of("mail_dlq", known) == ("mail",)
    assert plain.dead_letter_queue("mail", known) == "mail_dlq"
    assert plain.role("lost_dlq", known) == "dead_letter"
    assert plain.role("mail", known) == "work"
    named = DeadLetterQueues(names={"a": "dead", "b": "dead"})
    assert named.owner_of("dead", {"a", "b", "dead"}) == ("a", "b")


def test_ways_to_name_a_database() -> None:
    assert config.find(None, None, {"DATABASE_URL": "postgresql://h/d"}).databases[0].name == "main"
    with pytest.raises(ConfigError, match="exclude each other"):
        config.find("a.yml", "postgresql://h/d", {})


def test_the_schema_takes_a_variable_for_a_number_and_its_defaults_are_what_it_takes() -> None:
    schema = json.loads((ROOT / "docs" / "pgqueue.schema.json").read_text())
    keys = {"count_limit": "${N}", "vacuum": "${B:-true}", "interval": "${I}"}
    jsonschema.validate({"log_level": "${L}", "databases": [{"name": "a", "dsn": "host=h", **keys}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"databases": [{"name": "a", "dsn": "host=h", "count_limit": "5000"}]}, schema)
    for key, found in schema["properties"]["defaults"]["properties"].items():
        if "$ref" not in found:
            assert jsonschema.Draft202012Validator(found).is_valid(found["default"]), key
