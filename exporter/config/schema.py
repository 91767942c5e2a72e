"""The JSON Schema of the file, for editors."""

from __future__ import annotations

from typing import Any, Final

from .model import Config, Tuning
from .values import written

#: What the key of a number, a truth value or a word also takes.
_VARIABLE: Final = {"type": "string", "pattern": r"^\$\{[^}]*\}$"}
_ABOUT: Final = {"title", "description", "default", "examples"}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``pgqueue.yml``."""
    schema = Config.model_json_schema(by_alias=True)
    defaults = Tuning.model_json_schema(by_alias=True)
    schema["$defs"].update(defaults.pop("$defs", {}))
    schema["properties"]["defaults"] = {**defaults, "description": "What every database has unless it says otherwise."}
    database = schema["$defs"]["Database"]
    database["oneOf"] = [{"required": ["dsn"]}, {"required": ["dsn_file"]}]
    for block in (schema, schema["properties"]["defaults"], *schema["$defs"].values()):
        block["properties"] = {key: _as_written(value) for key, value in block["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgqueue-exporter configuration",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _as_written(key: dict[str, Any]) -> dict[str, Any]:
    """A key's schema with what its value may be in the file, not only once it was read."""
    if key.get("type") == "string" and isinstance(key.get("default"), float):
        return {**key, "default": written(key["default"])}
    if key.get("type") in {"integer", "boolean"} or "enum" in key:
        about = {name: value for name, value in key.items() if name in _ABOUT}
        return {**about, "anyOf": [{name: value for name, value in key.items() if name not in _ABOUT}, _VARIABLE]}
    return key
