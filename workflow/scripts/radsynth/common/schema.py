"""Validation against JSON schemas: defaults filled in, unknown keys refused, one line per error."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from radsynth.common.errors import UserError

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"


@cache
def read_schema(name: str) -> dict[str, Any]:
    """Return a schema of workflow/schemas by its path without ``.schema.yaml``, such as ``generators/ddpm``.

    All callers share one copy, which they must not change.
    """
    return yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8"))


def validated(value: dict[str, Any], schema: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Return a copy of ``value`` with the schema's defaults filled in.

    Raises UserError whose message begins with the dotted key (below ``where``) that is wrong.
    """
    _refuse_other_keys(value, where)
    filled = _with_defaults(copy.deepcopy(value), schema)
    error = best_match(Draft202012Validator(schema).iter_errors(filled))
    if error is not None:
        raise UserError(_message(error, where))
    return filled


def _refuse_other_keys(value: Any, where: str) -> None:
    """Raise UserError if a key is no text: YAML reads 1 as a number and no as a truth value, unless quoted."""
    for key, part in value.items() if isinstance(value, dict) else ():
        path = f"{where}.{key}" if where else str(key)
        if not isinstance(key, str):
            raise UserError(f"{path}: the key is {type(key).__name__}, expected text, such as '{key}' in quotes")
        _refuse_other_keys(part, path)


def _with_defaults(value: Any, schema: dict[str, Any]) -> Any:
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


def _message(error: ValidationError, where: str) -> str:
    path = ".".join(str(part) for part in ([where] if where else []) + list(error.absolute_path))
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = ", ".join(sorted(str(key) for key in error.instance if key not in known))
        return f"{path + '.' if path else ''}{unknown}: unknown key, expected one of {', '.join(sorted(known))}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{path + '.' if path else ''}{missing}: missing"
    if error.validator in ("type", "enum", "const"):
        expected = error.validator_value
        expected = expected if isinstance(expected, str) else " or ".join(map(str, expected))
        return f"{path}: {error.instance!r} ({type(error.instance).__name__}), expected {expected}"
    text = error.message if len(error.message) < 200 else f"{error.message[:200]}..."
    return f"{path}: {text}".replace("\n", " ")
