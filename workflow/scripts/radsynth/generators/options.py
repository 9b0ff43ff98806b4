"""Hyperparameters and samplers from preset and overrides, checked against the family's schema. Free of torch."""

from pathlib import Path
from typing import Any

import yaml

from radsynth.common.errors import UserError
from radsynth.common.registry import find
from radsynth.common.schema import read_schema, validated

LIBRARY = Path(__file__).resolve().parents[1]


def read_presets(family: str) -> dict[str, dict[str, Any]]:
    """Return a family's presets: for each name ``options`` and ``sampler``; without a file there is ``default``."""
    path = LIBRARY.parent.joinpath(*find("families", family, "family").module.split(".")).with_suffix(".yaml")
    if not path.is_file():
        return {"default": {}}
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def resolve_options(family: str, preset: str, overrides: dict[str, Any], where: str = "generator") -> dict[str, Any]:
    """Return every hyperparameter: the schema's defaults, then the preset's values, then ``overrides``.

    ``where`` is the configuration key of the generator, such as ``generators.ddpm``; the UserError for a wrong
    family, preset, key, type or range begins with it.
    """
    return _resolve("options", family, preset, overrides, where)


def resolve_sampler(family: str, preset: str, overrides: dict[str, Any], where: str = "generator") -> dict[str, Any]:
    """Return the sampler's settings in the same way as ``resolve_options``."""
    return _resolve("sampler", family, preset, overrides, where)


def resolve_selection(selection: dict[str, Any], where: str = "generator") -> dict[str, Any]:
    """Return all settings of the way in which a generator's model is chosen, with the defaults of its ``method``."""
    own = read_schema("selections")[selection["method"]]
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": own.get("required", []),
        "properties": {"method": {}} | own.get("properties", {}),
    }
    return validated(selection, schema, f"{where}.selection")


def _resolve(part: str, family: str, preset: str, overrides: dict[str, Any], where: str) -> dict[str, Any]:
    find("families", family, f"{where}.family")
    presets = read_presets(family)
    if preset not in presets:
        raise UserError(f"{where}.preset: unknown preset {preset!r}, expected one of {', '.join(presets)}")
    empty = {"type": "object", "additionalProperties": False}
    schema = read_schema(f"generators/{family}")["properties"].get(part, empty)
    return validated({**presets[preset].get(part, {}), **overrides}, schema, f"{where}.{part}")
