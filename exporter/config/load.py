"""From a file, a connection string or the environment to a Config, or to every fault at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ..errors import ConfigError, ConfigFault
from .document import Document, Path_, read, shown
from .dsn import problem
from .faults import told
from .model import Config, Database, Tuning
from .secrets import expand, is_reference, wrong_with
from .values import Plain

#: Looked for in the working directory when nothing else is said.
DEFAULT_FILE: Final = "pgqueue.yml"

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
    """The configuration in a YAML file. Raises ConfigError with every fault at once, each with path and line.

    Files of secrets are read here only to say what is wrong with them: they may be others at the next connection.
    """
    document = read(Path(path))
    faults = list(document.faults)
    expanded = _expand(document, document.value, (), os.environ if environ is None else environ, faults)
    already = {fault.path for fault in faults}
    defaults = expanded.pop("defaults", {})
    if not isinstance(defaults, dict):
        faults.append(document.fault(("defaults",), f"expected keys such as `interval:`; found {shown(defaults)}"))
        defaults = {}
    databases = expanded.get("databases")
    if isinstance(databases, list):
        usable = {key: value for key, value in defaults.items() if key in Tuning.model_fields}
        expanded["databases"] = [_merged(usable, entry) if isinstance(entry, dict) else entry for entry in databases]
    config: Config | None = None
    try:
        Tuning.model_validate(defaults)
    except ValidationError as error:
        faults += told(document, error, ("defaults",), already)
    try:
        config = Config.model_validate(expanded)
    except ValidationError as error:
        faults += told(document, error, (), already)
    if faults or config is None:
        unique = dict.fromkeys(faults)
        raise ConfigError(document.where, sorted(unique, key=lambda fault: fault.line or 0))
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

    told_before = len(faults)
    expanded = expand(value, environ, missing)
    match path:
        case ("databases", int(), str() as key):
            if len(faults) == told_before and (wrong := wrong_with(key, expanded)):
                faults.append(document.fault(path, wrong))
            if key == "dsn":
                return value  # keeps its references, which are resolved anew at every connection
    return Plain(expanded) if isinstance(value, Plain) and is_reference(value) else expanded
