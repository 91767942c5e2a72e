"""From a file, a connection string or the environment to a Config, or to every fault at once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError, ConfigFault
from .document import Document, Path_, dotted, harmless, read
from .dsn import problem
from .model import Config, Database, Tuning
from .secrets import expand

#: Looked for in the working directory when nothing else is said.
DEFAULT_FILE: Final = "pgqueue.yml"

_SECRET_KEYS: Final = {"dsn", "password"}

_WAYS: Final = (
    "no database to watch: name a file (--config pgqueue.yml), a connection string (--dsn postgresql://…), or set "
    "PGQUEUE_CONFIG, PGQUEUE_DSN or DATABASE_URL"
)


def find(path: str | None, dsn: str | None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration that is meant: a file, else a connection string, else what the environment names.

    Order: ``path``, ``dsn``, PGQUEUE_CONFIG, PGQUEUE_DSN, DATABASE_URL, ``./pgqueue.yml``. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    if path and dsn:
        raise ConfigError("configuration", [ConfigFault("", "--config and --dsn exclude each other: give one of them")])
    if path:
        return load(path, environ)
    if dsn:
        return from_dsn(dsn)
    if environ.get("PGQUEUE_CONFIG"):
        return load(environ["PGQUEUE_CONFIG"], environ)
    for variable in ("PGQUEUE_DSN", "DATABASE_URL"):
        if environ.get(variable):
            return from_dsn(environ[variable])
    if Path(DEFAULT_FILE).exists():
        return load(DEFAULT_FILE, environ)
    raise ConfigError("configuration", [ConfigFault("", _WAYS)])


def from_dsn(dsn: str, name: str = "main") -> Config:
    """A configuration of one database, everything else as by default. Raises ConfigError."""
    if wrong := problem(dsn):
        raise ConfigError("connection string", [ConfigFault("", wrong)])
    # Taken as it is: `${` in a password given here is no variable.
    database = Database(name=name, dsn=dsn.replace("${", "$${"))
    return Config(databases=(database,))


def load(path: str | Path, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration in a YAML file. Raises ConfigError with every fault at once, each with path and line."""
    document = read(Path(path))
    faults = list(document.faults)
    expanded = _expand(document, document.value, (), os.environ if environ is None else environ, faults)
    defaults = expanded.pop("defaults", {})
    if not isinstance(defaults, dict):
        faults.append(document.fault(("defaults",), f"expected keys such as `interval:`; found {_shown(defaults)}"))
        defaults = {}
    faults += _check(document, Tuning, defaults, ("defaults",))
    databases = expanded.get("databases")
    if isinstance(databases, list):
        usable = {key: value for key, value in defaults.items() if key in Tuning.model_fields}
        expanded["databases"] = [_merged(usable, entry) if isinstance(entry, dict) else entry for entry in databases]
    try:
        config = Config.model_validate(expanded)
    except ValidationError as error:
        faults += _faults(document, Config, error, ())
        config = None
    unique = sorted(dict.fromkeys(faults), key=lambda fault: fault.line or 0)
    if unique or config is None:
        raise ConfigError(document.where, unique)
    return config


def _merged(defaults: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **entry}
    for key, value in defaults.items():
        own = entry.get(key)
        if isinstance(value, dict) and isinstance(own, dict):
            merged[key] = {**value, **own}
    return merged


def _expand(document: Document, value: Any, path: Path_, environ: Mapping[str, str], faults: list[ConfigFault]) -> Any:  # noqa: ANN401  # whatever stood in the file
    if isinstance(value, dict):
        return {key: _expand(document, below, (*path, key), environ, faults) for key, below in value.items()}
    if isinstance(value, list):
        return [_expand(document, below, (*path, place), environ, faults) for place, below in enumerate(value)]
    if not isinstance(value, str):
        return value

    def missing(name: str) -> None:
        faults.append(document.fault(path, f"the environment variable {name} is not set"))

    told = len(faults)
    expanded = expand(value, environ, missing)
    if path[-1:] == ("dsn",) and len(faults) == told and (wrong := problem(expanded)):
        faults.append(document.fault(path, wrong))
    # A secret keeps its references, which are resolved anew at every connection.
    return value if path and path[-1] in _SECRET_KEYS else expanded


def _check(document: Document, model: type[BaseModel], value: Any, path: Path_) -> list[ConfigFault]:  # noqa: ANN401  # whatever stood in the file
    try:
        model.model_validate(value)
    except ValidationError as error:
        return _faults(document, model, error, path)
    return []


def _faults(document: Document, model: type[BaseModel], error: ValidationError, above: Path_) -> list[ConfigFault]:
    faults = []
    details = error.errors(include_url=False)
    for detail in details:
        path: Path_ = (*above, *_steps(detail["loc"]))
        if detail["type"] == "too_short" and _at(document, path):
            continue  # those that are there have faults of their own
        if len(path) > 2 and path[0] == "databases" and path not in document.lines:
            inherited = ("defaults", *path[2:])
            if inherited in document.lines:
                continue  # told once, where it stands
        faults.append(document.fault(path, _message(document, model, detail, path)))
    return faults


def _steps(location: tuple[str | int, ...]) -> Path_:
    """Pydantic's location without the names it gives to the arms of a union."""
    return tuple(step for step in location if isinstance(step, int) or not step.startswith(("literal[", "bool")))


def _message(document: Document, model: type[BaseModel], detail: Any, path: Path_) -> str:  # noqa: ANN401  # whatever stood in the file
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        keys = _keys(model, path[:-1])
        close = difflib.get_close_matches(str(path[-1]), keys, n=1)
        return "unknown key" + (
            f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(sorted(keys))}"
        )
    if kind == "missing":
        return "missing; it must be given"
    if kind == "value_error":
        message = str(context.get("error", detail["msg"]))
        return (
            message
            if "found" in message or not path or _is_block(document, path)
            else f"{message}; found {_found(document, path)}"
        )
    if path[-1:] == ("enabled",):
        return f"expected auto, true or false; found {_found(document, path)}"
    return f"{_EXPECTED.get(kind, _plain)(context, detail['msg'])}; found {_found(document, path)}"


def _plain(_context: Any, message: str) -> str:  # noqa: ANN401  # whatever stood in the file
    return message[:1].lower() + message[1:]


_EXPECTED: Final[dict[str, Any]] = {
    "string_type": lambda _c, _m: "expected text (put it in quotes)",
    "string_too_short": lambda _c, _m: "expected some text",
    "string_too_long": lambda c, _m: f"expected at most {c['max_length']} characters",
    "int_type": lambda _c, _m: "expected a whole number",
    "bool_type": lambda _c, _m: "expected true or false",
    "tuple_type": lambda _c, _m: "expected a list",
    "dict_type": lambda _c, _m: "expected keys and values",
    "model_type": lambda _c, _m: "expected keys and values",
    "model_attributes_type": lambda _c, _m: "expected keys and values",
    "too_short": lambda _c, _m: "expected at least one",
    "literal_error": lambda c, _m: f"expected {c['expected']}",
    "greater_than_equal": lambda c, _m: f"expected at least {c['ge']:g}",
    "less_than_equal": lambda c, _m: f"expected at most {c['le']:g}",
    "greater_than": lambda c, _m: f"expected more than {c['gt']:g}",
}


def _keys(model: type[BaseModel], path: Path_) -> list[str]:
    """The keys that may stand at a path."""
    at: type[BaseModel] = model
    for step in path:
        if isinstance(step, int) or (step == "defaults" and at is not Config):
            continue
        if step == "defaults":
            at = Tuning
            continue
        field = next((field for name, field in at.model_fields.items() if step in (name, field.alias)), None)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            return []
        at = inner
    keys = [field.alias or name for name, field in at.model_fields.items()]
    return [*keys, "defaults"] if at is Config else keys


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  # whatever stood in the file
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)


def _at(document: Document, path: Path_) -> Any:  # noqa: ANN401  # whatever stood in the file
    value = document.value
    for step in path:
        if isinstance(value, str):
            return value  # one expression where a list of them may stand
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _is_block(document: Document, path: Path_) -> bool:
    return isinstance(_at(document, path), (dict, list))


def _found(document: Document, path: Path_) -> str:
    """What stands in the file, before variables were filled in; nothing of a secret."""
    if set(path) & _SECRET_KEYS:
        return "something else"
    return _shown(_at(document, path))


def _shown(value: Any) -> str:  # noqa: ANN401  # whatever stood in the file
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
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…'"


__all__ = ["DEFAULT_FILE", "dotted", "find", "from_dsn", "load"]
