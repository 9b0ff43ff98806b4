"""Validation against JSON schemas: defaults filled in, unknown keys refused, one line per error."""

import copy
import datetime
import math
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from radsynth.common.errors import UserError

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
# The sections of the configuration, in the order of its reference.
SECTIONS = ("study", "data", "cohorts", "generators", "pools", "quality", "tasks", "privacy", "report")


@cache
def read_schema(name: str) -> dict[str, Any]:
    """Return a schema of workflow/schemas by its path without ``.schema.yaml``, such as ``generators/ddpm``.

    ``config`` is put together of the sections in workflow/schemas/config, each that of a room. What a schema names as
    ``shared`` is a file beside it, whose options it takes over, with what it says of them itself. All callers share
    one copy, which they must not change.
    """
    if name == "config":
        sections = [
            yaml.safe_load((SCHEMAS / "config" / f"{section}.yaml").read_text(encoding="utf-8")) for section in SECTIONS
        ]
        return {
            "type": "object",
            "additionalProperties": False,
            "required": [key for section in sections for key in section.get("required", [])],
            "properties": {key: part for section in sections for key, part in section["properties"].items()},
        }
    file = SCHEMAS / f"{name}.schema.yaml"
    schema = yaml.safe_load(file.read_text(encoding="utf-8"))
    if "shared" in schema:
        shared = yaml.safe_load((file.parent / schema.pop("shared")).read_text(encoding="utf-8"))
        schema["properties"] = _merged(shared["properties"], schema["properties"])
    return schema


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``common`` with what ``own`` says more, or else: mappings key by key."""
    both = {key: _merged(common[key], own[key]) for key in common if isinstance(own.get(key), dict)}
    return {**common, **own, **both}


def with_own(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an entry that has the keys of all its kind and those of its own."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [*common.get("required", []), *own.get("required", [])],
        "properties": {**common.get("properties", {}), **own.get("properties", {})},
    }


def validated(value: dict[str, Any], schema: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Return a copy of ``value`` with the schema's defaults filled in.

    Raises UserError whose message begins with the dotted key (below ``where``) that is wrong.
    """
    _refuse_other_keys(value, where)
    _refuse_no_numbers(value, where)
    filled = _with_defaults(copy.deepcopy(value), schema)
    errors = list(Draft202012Validator(schema).iter_errors(filled))
    error = best_match(errors)
    if error is not None:
        raise UserError(_message(_first_like(error, errors), where))
    return filled


def _first_like(error: ValidationError, errors: list[ValidationError]) -> ValidationError:
    """Return the first of the errors that differ from ``error`` in the last part of their path alone."""

    def kind(error: ValidationError) -> tuple[Any, ...]:
        return error.validator, *list(error.absolute_path)[:-1]

    return next((other for other in errors if kind(other) == kind(error)), error)


def _refuse_other_keys(value: Any, where: str) -> None:
    """Raise UserError if a key is no text: YAML reads 1 as a number and no as a truth value, unless quoted."""
    for key, part in value.items() if isinstance(value, dict) else ():
        written = key if isinstance(key, str) else _as_written(key)
        path = f"{where}.{written}" if where else written
        if not isinstance(key, str):
            raise UserError(f"{path}: {_in_quotes(key)}")
        _refuse_other_keys(part, path)


def _refuse_no_numbers(value: Any, where: str) -> None:
    """Raise UserError for infinity and what is no number, which YAML reads from .inf and .nan."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}: {value} is no finite number")
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        _refuse_no_numbers(part, f"{where}.{key}" if where else str(key))


def _with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """Return a value with the schema's defaults filled in, and whole numbers such as 24.0 as integers where asked."""
    if isinstance(value, float) and value.is_integer() and "integer" in schema.get("type", ()):
        return int(value)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [_with_defaults(part, schema["items"]) for part in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    for key, part in properties.items():
        if key not in value and "default" in part:
            value[key] = copy.deepcopy(part["default"])
    others = schema.get("additionalProperties")
    for key in value:
        part = properties.get(key, others if isinstance(others, dict) else {})
        for choice in [part, *part.get("oneOf", [])]:
            value[key] = _with_defaults(value[key], choice)
    return value


def _as_written(value: Any) -> str:
    """Return how a value that is no text may stand in the YAML file."""
    if value is None:
        return "null"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _reading(value: Any) -> str:
    """Return what YAML has made of a text without quotes; an empty text for lists and mappings, which are none."""
    written = _as_written(value)
    if value is None:
        return "nothing stands here (YAML reads null and ~ so, too)"
    if isinstance(value, bool):
        return f"YAML reads {written} (also {'on, true' if value else 'off, false'}) as a truth value"
    if isinstance(value, int | float):
        return f"YAML reads {written} as a number"
    if isinstance(value, datetime.date):
        return f"YAML reads {written} as a date"
    return ""


def _in_quotes(value: Any) -> str:
    """Return the message about a value or key, no list or mapping, where a text is expected."""
    return f"{_reading(value)}; write '{_as_written(value)}'" + (" if the word is meant" if value is None else "")


# How types of the schemas are called in messages, where their own names are JSON's.
TYPES = {"array": "a list", "object": "a mapping, key: value"}
# What the patterns of the schemas allow, in words.
ALLOWED = {
    r"^[A-Za-z0-9_-]+\Z": "the letters a-z and A-Z, digits, _ and -",
    r"^[A-Za-z0-9._-]+\Z": "the letters a-z and A-Z, digits, _, - and the dot",
}


def _unsafe_name(name: str, path: str, schema: dict[str, Any]) -> str:
    """Return the message about a name that would not do in the names of files and jobs, with one that would."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = re.sub("[^A-Za-z0-9_-]+", "_", plain).strip("_")[:40]
    text = f"{path}: {name[:200]!r} is not a safe name, expected {ALLOWED[schema['pattern']]} alone"
    if "mapped_by" in schema and name.strip():
        safe = safe.upper() or "MY_LABEL"
        mapped = yaml.safe_dump({safe: name[:200]}, default_flow_style=True, allow_unicode=True, width=1000).strip()
        return f"{text}; name the label {safe} and map it: {schema['mapped_by']}: {mapped}"
    return f"{text}; {safe} would do" if safe else text


def _message(error: ValidationError, where: str) -> str:
    return _text(error, where).replace("\n", " ")


def _text(error: ValidationError, where: str) -> str:
    path = ".".join(str(part) for part in ([where] if where else []) + list(error.absolute_path))
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = ", ".join(sorted(str(key) for key in error.instance if key not in known))
        return f"{path + '.' if path else ''}{unknown}: unknown key, expected one of {', '.join(sorted(known))}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{path + '.' if path else ''}{missing}: missing"
    if error.validator in ("type", "enum", "const"):
        value = error.validator_value
        choices = [value] if error.validator == "const" or isinstance(value, str) else value
        reading = _reading(error.instance)
        if reading and error.validator == "type" and "string" in choices:
            return f"{path}: {_in_quotes(error.instance)}"
        expected = " or ".join(TYPES.get(str(choice), str(choice)) for choice in choices)
        if error.instance is None or isinstance(error.instance, bool):
            return f"{path}: {reading}, expected {expected}"
        return f"{path}: {error.instance!r} ({type(error.instance).__name__}), expected {expected}"
    if error.validator == "pattern" and error.validator_value in ALLOWED:
        is_key = "propertyNames" in error.absolute_schema_path
        return _unsafe_name(error.instance, f"{path}.{error.instance}" if is_key else path, error.schema)
    if error.validator == "maxLength":
        shown = f"{error.instance[:20]}..."
        is_key = "propertyNames" in error.absolute_schema_path
        path = ".".join(filter(None, [path, shown if is_key else ""]))
        return f"{path}: a name of {len(error.instance):,} characters, expected at most {error.validator_value}"
    text = error.message if len(error.message) < 200 else f"{error.message[:200]}..."
    return f"{path}: {text}"
