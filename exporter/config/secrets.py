"""Secrets: never shown, read when they are needed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from ..errors import ConfigError, ConfigFault
from .document import harmless, no_pipe
from .dsn import problem

_LARGEST: Final = 65_536

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


def is_reference(text: str) -> bool:
    """Whether a text is one ``${NAME}`` and nothing else."""
    return _REFERENCE.fullmatch(text) is not None


def has_reference(text: str) -> bool:
    """Whether something in a text is taken from the environment."""
    return _REFERENCE.search(text) is not None


def expand(text: str, environ: Mapping[str, str], missing: Callable[[str], None]) -> str:
    """``${NAME}`` and ``${NAME:-default}`` from the environment; ``$${`` is a literal ``${``."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        found = environ.get(name)
        if found is None and default is None:
            missing(name)
        return found or default or ""

    return _REFERENCE.sub(value, text)


def resolve(place: str, secret: Secret, environ: Mapping[str, str] | None = None) -> str:
    """The secret with its variables filled in. Raises ConfigError naming those that are not set."""
    unset: list[str] = []
    text = expand(secret.reveal(), os.environ if environ is None else environ, unset.append)
    if unset:
        raise ConfigError(place, [ConfigFault("", f"the environment variable {name} is not set") for name in unset])
    return text


def read_file(path: str) -> str:
    """The text in a secret's file. Raises ValueError with a sentence that names the file, never its content."""
    # A connection string or a password that was put where its file's name belongs is not repeated.
    named = f"the file {path}" if harmless(path) and "/" in path else "the file that is named here"
    try:
        with open(path, "rb", opener=no_pipe) as stream:
            text = stream.read(_LARGEST + 1).decode("utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot read {named}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"expected text in UTF-8 in {named}; found other bytes") from None
    except ValueError:
        raise ValueError("expected the name of a file; found a NUL character in it") from None
    if not text:
        raise ValueError(f"expected a secret in {named}; found nothing in it")
    if "\x00" in text or len(text) > _LARGEST:
        raise ValueError(f"expected a secret in {named}; found something else")
    return text


def read_dsn_file(path: str) -> str:
    """The connection string in a file. Raises ValueError with a sentence that shows nothing of it."""
    text = read_file(path)
    if wrong := problem(text):
        raise ValueError(f"in the file: {wrong}")
    return text


def wrong_with(key: str, value: str) -> str | None:
    """What is wrong now with a database's ``dsn``, ``dsn_file`` or ``password_file``; None for all else."""
    try:
        if key == "dsn_file":
            read_dsn_file(value)
        elif key == "password_file":
            read_file(value)
    except ValueError as error:
        return str(error)
    return problem(value) if key == "dsn" else None
