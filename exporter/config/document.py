"""A YAML file as plain values that remember the line they stood on; every fault of its form told at once."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from ..errors import ConfigError, ConfigFault
from .values import plain

_LARGEST: Final = 1_000_000
_MOST_NODES: Final = 100_000
_DEEPEST: Final = 50

#: What may be shown of a file: nothing that looks like a connection string, under whatever key it was put.
#: (A bcrypt hash, or a key, is none either.)
_HARMLESS: Final = re.compile(r"(?!.*(?:://|\$2[abxy]?\$|-----BEGIN))[^=@]{0,200}")
#: Keys whose values are secrets, or name them; misspelt ones too. Nothing below such a key is shown.
_SECRET: Final = re.compile(r"dsn|passw|basic_?auth", re.IGNORECASE)
#: Characters of YAML that its parser quotes; anything else that it quotes may be a piece of a password.
_TOKEN: Final = re.compile(r"[\[\]{},:?&*!|>%@`\\#-]|\\t|<[a-z ]+>")

_PLAIN: Final = "plain"
_TEXT: Final = "tag:yaml.org,2002:str"
_TAGS: Final = {_PLAIN, _TEXT, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}

Path_ = tuple[str | int, ...]


def dotted(path: Path_) -> str:
    """``databases[0].queues.include`` from its steps."""
    text = ""
    for step in path:
        key = step if isinstance(step, int) or harmless(step) else "…"
        text += f".{key}" if text and isinstance(step, str) and key != "…" else f"[{key}]" if text else str(key)
    return text


def harmless(text: str) -> bool:
    """Whether a text from the file may be shown."""
    return text.isprintable() and _HARMLESS.fullmatch(text) is not None


def is_secret(step: str | int) -> bool:
    """Whether nothing may be shown of what stands under this key."""
    return isinstance(step, str) and _SECRET.search(step) is not None


def shown(value: Any) -> str:  # noqa: ANN401  # whatever stood in the file
    """A value from the file, short, and without anything that looks like a connection string."""
    if isinstance(value, dict):
        return "keys and values"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not harmless(value):
        return "text that is not shown"
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…'"


@dataclass
class Document:
    """A file's values, and for each path the line where it stands."""

    where: str
    value: Any
    lines: dict[Path_, int] = field(default_factory=dict)
    #: Numbers and truth values as they were written.
    texts: dict[Path_, str] = field(default_factory=dict)
    faults: list[ConfigFault] = field(default_factory=list)

    def fault(self, path: Path_, message: str) -> ConfigFault:
        """A fault at a path, with the line of the nearest place that is in the file."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        told = next((path[:place] for place, step in enumerate(path, 1) if is_secret(step)), path)
        return ConfigFault(dotted(told), message, self.lines.get(known))

    def at(self, path: Path_) -> Any:  # noqa: ANN401  # whatever stood in the file
        """What stands at a path, before variables were filled in; None when nothing does."""
        value = self.value
        for step in path:
            if isinstance(value, str):
                return value  # one expression where a list of them may stand
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def no_pipe(path: str, flags: int) -> int:
    """An opener for what is read again and again: never waits for a writer. Raises OSError, of a pipe too."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ESPIPE, "Is a pipe")
    return descriptor


def read(file: Path, expected: str = "databases:") -> Document:  # noqa: C901  # one sentence for each way in which a file is no YAML
    """Parse a file with keys such as ``expected``. Raises ConfigError with one sentence when it is no YAML mapping."""
    where = str(file)

    def refuse(message: str) -> ConfigError:
        return ConfigError(where, [ConfigFault("", message)])

    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise refuse("is not a file name") from None
    if len(content) > _LARGEST:
        raise refuse(f"is larger than {_LARGEST:,} bytes: not a configuration")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 text (byte {error.start})") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
        document = Document(where, None)
        if node is None:
            raise refuse(f"is empty; expected at least `{expected}`")
        document.value = _Reader(document).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise refuse(f"is not YAML{place}: {_unquoted(error.problem or error.context or '')}") from None
    except yaml.YAMLError as error:
        raise refuse(f"is not YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, OverflowError):
        raise refuse("is nested too deeply") from None
    except _TooMuchError as error:
        raise refuse(str(error)) from None
    if not isinstance(document.value, dict):
        found = "text" if isinstance(document.value, str) else shown(document.value)
        raise refuse(f"expected keys such as `{expected}`; found {found}")
    return document


def _unquoted(problem: str) -> str:
    """The parser's problem without what it quotes of the file, but for YAML's own characters."""
    parts = problem.split("'")
    return problem if all(_TOKEN.fullmatch(part) for part in parts[1::2]) else f"{parts[0]}…{parts[-1]}"


class _TooMuchError(Exception):
    """More than a configuration would ever hold."""


class _Loader(yaml.SafeLoader):
    """Leaves unquoted scalars to ``plain``: PyYAML reads them as YAML 1.1, in which 0777 is 511 and ``no`` is false."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:  # noqa: ANN401  # PyYAML's own signature
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # as PyYAML has it


class _Reader:
    """Turns nodes into values; aliases count each time they are used, so that they cannot explode."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0

    def value(self, node: yaml.Node, path: Path_) -> Any:  # noqa: ANN401  # YAML holds anything
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise _TooMuchError("holds too many values (aliases count each time they are used)")
        if len(path) > _DEEPEST:
            raise _TooMuchError("is nested too deeply")
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _TAGS:
            message = "a tag (!…) is not taken here; write the value without it, text in quotes"
            self._document.faults.append(self._document.fault(path, message))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, place)) for place, child in enumerate(node.value)]
        value = plain(node.value) if node.tag == _PLAIN else node.value
        if isinstance(value, bool | int | float):
            self._document.texts[path] = node.value[:60]
        return value

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag not in {_PLAIN, _TEXT}:
                message = f"a key here is not text (line {key_node.start_mark.line + 1})"
                self._document.faults.append(self._document.fault(path, message))
                continue
            below = (*path, key)
            self._document.lines[below] = key_node.start_mark.line + 1
            if key in found:
                self._document.faults.append(self._document.fault(below, "this key stands here twice"))
            found[key] = self.value(value_node, below)
        return found
