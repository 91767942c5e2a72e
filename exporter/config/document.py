"""A YAML file as plain values that remember the line they stood on; every fault of its form told at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from ..errors import ConfigError, ConfigFault

_LARGEST: Final = 1_000_000
_MOST_NODES: Final = 100_000
_DEEPEST: Final = 50

#: What may be shown of a file: nothing that looks like a connection string, under whatever key it was put.
_HARMLESS: Final = re.compile(r"(?!.*://)[^=@\n]{0,200}", re.DOTALL)
#: Characters of YAML that its parser quotes; anything else that it quotes may be a piece of a password.
_TOKEN: Final = re.compile(r"[\[\]{},:?&*!|>%@`\\#-]|\\t|<[a-z ]+>")

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
    return _HARMLESS.fullmatch(text) is not None


@dataclass
class Document:
    """A file's values, and for each path the line where it stands."""

    where: str
    value: Any
    lines: dict[Path_, int] = field(default_factory=dict)
    faults: list[ConfigFault] = field(default_factory=list)

    def fault(self, path: Path_, message: str) -> ConfigFault:
        """A fault at a path, with the line of the nearest place that is in the file."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        return ConfigFault(dotted(path), message, self.lines.get(known))


def read(file: Path) -> Document:  # noqa: C901  # one sentence for each way in which a file is no YAML
    """Parse a file. Raises ConfigError with one sentence when it is no YAML mapping at all."""
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
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = Document(where, None)
        if node is None:
            raise refuse("is empty; expected at least `databases:`")
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
        raise refuse(f"expected keys such as `databases:`; found {_kind(document.value)}")
    return document


def _unquoted(problem: str) -> str:
    """The parser's problem without what it quotes of the file, but for YAML's own characters."""
    parts = problem.split("'")
    return problem if all(_TOKEN.fullmatch(part) for part in parts[1::2]) else f"{parts[0]}…{parts[-1]}"


def _kind(value: Any) -> str:  # noqa: ANN401  # whatever stood in the file
    names = {
        list: "a list",
        str: "text",
        int: "a number",
        float: "a number",
        bool: "a truth value",
        type(None): "nothing",
    }
    return names.get(type(value), "something else")


class _TooMuchError(Exception):
    """More than a configuration would ever hold."""


class _Reader:
    """Turns nodes into values; aliases count each time they are used, so that they cannot explode."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._scalars = yaml.constructor.SafeConstructor()
        self._nodes = 0

    def value(self, node: yaml.Node, path: Path_) -> Any:  # noqa: ANN401  # YAML holds anything
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise _TooMuchError("holds too many values (aliases count each time they are used)")
        if len(path) > _DEEPEST:
            raise _TooMuchError("is nested too deeply")
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, place)) for place, child in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (ValueError, yaml.YAMLError):
            self._document.faults.append(self._document.fault(path, "this value cannot be read; put it in quotes"))
            return None

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag != "tag:yaml.org,2002:str":
                message = f"a key here is not text; put it in quotes (line {key_node.start_mark.line + 1})"
                self._document.faults.append(self._document.fault(path, message))
                continue
            below = (*path, key)
            self._document.lines[below] = key_node.start_mark.line + 1
            if key in found:
                self._document.faults.append(self._document.fault(below, "this key stands here twice"))
            found[key] = self.value(value_node, below)
        return found
