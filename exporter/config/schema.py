"""The JSON Schema of the file, for editors."""

from __future__ import annotations

from typing import Any

from .model import Config, Tuning


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``pgqueue.yml``."""
    schema = Config.model_json_schema(by_alias=True)
    defaults = Tuning.model_json_schema(by_alias=True)
    schema["$defs"].update(defaults.pop("$defs", {}))
    schema["properties"]["defaults"] = {**defaults, "description": "What every database has unless it says otherwise."}
    database = schema["$defs"]["Database"]
    database["oneOf"] = [{"required": ["dsn"]}, {"required": ["dsn_file"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgqueue-exporter configuration",
        **{key: value for key, value in schema.items() if key != "title"},
    }
