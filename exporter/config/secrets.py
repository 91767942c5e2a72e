"""Secrets: never shown, read when they are needed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from ..errors import ConfigError, ConfigFault
from .document import harmless

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Secret:
    """A string that does not show itself: the text of the file, ``${VARIABLES}`` unresolved."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401  # pydantic's protocol
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.str_schema(strict=True, min_length=1),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _secret: "***"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: GetJsonSchemaHandler) -> dict[str, Any]:  # noqa: ANN401  # pydantic's protocol
        return {"type": "string", "minLength": 1}


def expand(text: str, environ: Mapping[str, str], missing: Callable[[str], None]) -> str:
    """``${NAME}`` and ``${NAME:-default}`` from the environment; ``$${`` is a literal ``${``."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        if environ.get(name, "" if default is None else default) or name in environ:
            return environ.get(name) or default or ""
        if default is not None:
            return default
        missing(name)
        return ""

    return _REFERENCE.sub(value, text)


def resolve(place: str, secret: Secret, environ: Mapping[str, str] | None = None) -> str:
    """The secret with its variables filled in. Raises ConfigError naming those that are not set."""
    unset: list[str] = []
    text = expand(secret.reveal(), os.environ if environ is None else environ, unset.append)
    if unset:
        raise ConfigError(place, [ConfigFault("", f"the environment variable {name} is not set") for name in unset])
    return text


def read_file(place: str, path: str) -> str:
    """The one line in a secret's file. Raises ConfigError naming the file, never its content."""
    # A connection string that was put where its file's name belongs is not repeated.
    shown = path if harmless(path) else "the file (its name is not shown: it looks like a connection string)"
    try:
        text = Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(place, [ConfigFault("", f"cannot read {shown}: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError(place, [ConfigFault("", f"{shown} is not UTF-8 text")]) from None
    if not text or "\x00" in text or len(text) > 65536:
        raise ConfigError(place, [ConfigFault("", f"{shown} is empty or not a secret's text")])
    return text
