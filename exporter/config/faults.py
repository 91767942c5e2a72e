"""What pydantic found wrong, as faults of the file: what was expected, what was found, and where."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from ..errors import ConfigFault
from .document import Document, Path_, dotted, is_secret, shown
from .model import Config, Tuning
from .secrets import has_reference
from .values import is_duration, written


def told(
    document: Document,
    error: ValidationError,
    above: Path_,
    already: Collection[str],
    root: type[BaseModel] = Config,
) -> list[ConfigFault]:
    """The faults of a validation whose model stands at ``above``; none where one is told ``already``.

    ``root`` is the model of the whole file.
    """
    faults = []
    for detail in error.errors(include_url=False):
        path: Path_ = (*above, *_steps(detail["loc"]))
        if dotted(path) in already or (detail["type"] == "too_short" and document.at(path)):
            continue  # it, or those that are there, have faults of their own
        if detail["type"] == "order":
            place = _culprit(document, path, detail["ctx"]["expected"])
            message = f"{detail['ctx']['expected'][place[-1]]}; found {_found(document, place)}"
            faults.append(document.fault(place, message))
            continue
        inherited = path[:1] == ("databases",) and path not in document.lines and ("defaults", *path[2:])
        if len(path) > 2 and inherited in document.lines:
            continue  # told once, where it stands
        faults.append(document.fault(path, _message(document, detail, path, root)))
    return faults


def _culprit(document: Document, database: Path_, keys: Collection[str]) -> Path_:
    """Of values that do not fit together, the one that was written nearest to the database."""
    places: list[Path_] = [(*above, key) for above in (database, ("defaults",)) for key in keys]
    return next(place for place in places if place in document.lines)  # what nobody wrote fits


def _steps(location: tuple[str | int, ...]) -> Path_:
    """Pydantic's location without the names it gives to the arms of a union."""
    return tuple(step for step in location if isinstance(step, int) or not step.startswith(("literal[", "bool")))


def _message(document: Document, detail: Any, path: Path_, root: type[BaseModel]) -> str:  # noqa: ANN401  # pydantic's own type is private
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        keys = _keys(root, path[:-1])
        close = difflib.get_close_matches(str(path[-1]), keys, n=1)
        return "unknown key; " + (f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(keys))}")
    if kind == "missing":
        return "missing; it must be given"
    if path[-1:] == ("enabled",):
        expected = "expected auto, true or false"
    elif kind in _EXPECTED:
        form = written if is_duration(document.at(path)) else _number
        bounds = {name: form(bound) if isinstance(bound, float | int) else bound for name, bound in context.items()}
        expected = _EXPECTED[kind].format(**bounds)
    else:
        expected = str(context.get("error", detail["msg"]))  # our own sentences
    return expected if "; found" in expected else f"{expected}; found {_found(document, path)}"


_EXPECTED: Final = {
    "string_type": "expected text (put it in quotes)",
    "string_too_short": "expected some text",
    "string_too_long": "expected at most {max_length} characters",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "tuple_type": "expected a list",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
    "model_attributes_type": "expected keys and values",
    "too_short": "expected at least one",
    "literal_error": "expected {expected}",
    "greater_than_equal": "expected at least {ge}",
    "less_than_equal": "expected at most {le}",
    "greater_than": "expected more than {gt}",
}


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _keys(root: type[BaseModel], path: Path_) -> list[str]:
    """The keys that may stand at a path."""
    at = root
    for step in path:
        if isinstance(step, int):
            continue
        if step == "defaults" and at is Config:
            at = Tuning
            continue
        field = next((field for name, field in at.model_fields.items() if step in (name, field.alias)), None)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            return []
        at = inner
    keys = [field.alias or name for name, field in at.model_fields.items()]
    return [*keys, "defaults"] if at is Config else keys


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  # a type, or what typing makes of one
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)


def _found(document: Document, path: Path_) -> str:
    """What stands in the file, before variables were filled in; nothing of a secret."""
    if any(is_secret(step) for step in path):
        return "something else"
    value = document.at(path)
    filled = isinstance(value, str) and has_reference(value)
    return f"{shown(value)}, filled in from the environment" if filled else document.texts.get(path, shown(value))
