"""A password is not shown in an error, wherever in the file it came to stand."""

import traceback
from pathlib import Path

import pytest

from exporter.config import load
from exporter.errors import ConfigError

MARK = "hunter2MARK"


@pytest.mark.parametrize(
    "text",
    [
        f"databases: postgresql://u:{MARK}@h/d",
        f"databases: [postgresql://u:{MARK}@h/d]",
        f"databases: [host=h password={MARK}]",
        f"databases: [{{name: a, dsn: *{MARK}}}]",
        f"databases: [{{name: a, dsn: !{MARK} x}}]",
        f"databases: [{{name: a, dsn: !{MARK}!x y}}]",
        f"databases: [{{name: a, interval: postgresql://u:{MARK}@h/d, dsn: host=h}}]",
        f"databases:\n- name: a\n  dsn: host=h\n  password={MARK}: x\n",
        f"databases:\n- name: a\n  dsn: postgresql://u: {MARK}@h/d\n",
        f"databases: [{{name: a, dsn: {{{MARK}: 1, {MARK}: 2}}}}]",
        f"databases: [{{name: a, dsn: {{x: {{{MARK}: 1, {MARK}: 2}}}}}}]",
        f"databases: [{{name: a, dsn: host=h, password_file: {{{MARK}: 1, {MARK}: 2}}}}]",
        f"databases: [{{name: a, dsn: {{[{MARK}]: 1}}}}]",
        f"databases: [{{name: a, dsn_file: {MARK}}}]",
        f"listen: postgresql://u:{MARK}@h/d\ndatabases: [{{name: a, dsn: host=h}}]",
        f"databases: [{{name: a, dsn: host=h, dead_letter_queues: {{patterns: ['postgresql://u:{MARK}@h/d']}}}}]",
        f"databases: [&a {{name: 'host=h password={MARK}', dsn: host=h}}, *a]",
    ],
)
def test_a_password_is_not_shown_wherever_it_stands(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pgqueue.yml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    shown = "".join([str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)])
    assert MARK not in shown


def test_a_connection_string_in_place_of_its_files_name_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "pgqueue.yml"
    file.write_text(f"databases: [{{name: a, dsn_file: 'postgresql://u:{MARK}@h/d'}}]")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert MARK not in str(caught.value)
