"""What the configuration says of a generator: all its options, and whether they go together. Free of torch."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from radsynth.common.errors import UserError
from radsynth.common.registry import find
from radsynth.common.schema import read_schema, validated
from radsynth.generators.withholding import count_withheld
from radsynth.learning.candidates import candidate_steps

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


def check_generator(generator: Mapping[str, Any], size: int, where: str) -> None:
    """Check a generator with resolved ``family``, ``options`` and ``sampler`` for square images of ``size`` px.

    The UserError begins with ``where``, the generator's configuration key.
    """
    gpus, family = generator["gpus"], find("families", generator["family"], f"{where}.family").load()
    if gpus > 1 and not family.data_parallel:
        raise UserError(f"{where}.gpus: {gpus}, but {generator['family']} trains on one, expected 1")
    if gpus > 1 and generator["options"]["batch_size"] % gpus:
        raise UserError(
            f"{where}.gpus: {gpus} do not share options.batch_size {generator['options']['batch_size']} evenly"
        )
    try:
        family.check(generator["options"], generator["sampler"], size)
    except UserError as error:
        raise UserError(f"{where}.{error}") from None


def pretraining_options(generator: Mapping[str, Any], size: int, n: int) -> dict[str, Any]:
    """Return the options of the training that comes before that on n images of a cohort, of ``size`` px."""
    steps = generator["pretrain_steps"]
    if steps is None:
        family = find("families", generator["family"], "family").load()
        _, steps = family.steps(generator["options"], size, _count_taught(generator["selection"], n))
    return {**generator["options"], "steps": steps}


def check_pretraining(generator: Mapping[str, Any], size: int, where: str) -> None:
    """Check how a generator is trained before it sees its cohort; the UserError begins with ``where``, its key."""
    steps = generator["pretrain_steps"]
    if generator["pretrain_on"] is None:
        if steps is not None:
            raise UserError(f"{where}.pretrain_steps: {steps}, but there is no pretrain_on to take them on")
        return
    family = find("families", generator["family"], f"{where}.family").load()
    if not family.pretrainable:
        raise UserError(
            f"{where}.pretrain_on: {generator['family']} begins from no other model, expected a family that does"
        )
    if steps is not None:
        try:
            family.check({**generator["options"], "steps": steps}, generator["sampler"], size)
        except UserError as error:
            raise UserError(f"{where}.pretrain_steps: {str(error).removeprefix('options.steps: ')}") from None


def _count_taught(selection: Mapping[str, Any], n: int) -> int:
    """Return how many of the n images of a cohort a generator learns from."""
    return n - count_withheld(n, selection["withhold"]) if selection["method"] == "kid" else n


def check_counts(generator: Mapping[str, Any], images: Collection[int], where: str) -> None:
    """Raise UserError, beginning with ``where``, if a generator has too few of its units' numbers of ``images``."""
    family = find("families", generator["family"], f"{where}.family").load()
    try:
        for n in images:
            family.check_count(generator["options"], n)
    except UserError as error:
        raise UserError(f"{where}.{error}") from None


def check_selection(generator: Mapping[str, Any], size: int, images: Collection[int], where: str) -> None:
    """Check how a generator's model is chosen; ``images`` are the numbers of training images of its units.

    The UserError begins with ``where``, the generator's configuration key.
    """
    selection, name = generator["selection"], generator["family"]
    method = selection["method"]
    if method == "last":
        return
    family = find("families", name, f"{where}.family").load()
    try:
        if family.steps(generator["options"], size, 1) is None:
            raise UserError(f"selection.method: {method}, but {name} is not trained step by step, expected last")
        if method == "kid" and generator["per"] != "label":
            raise UserError("selection.method: kid compares images of one label, expected per: label")
        for n in images:
            candidate_steps(selection, *family.steps(generator["options"], size, _count_taught(selection, n)))
    except UserError as error:
        raise UserError(f"{where}.{error}") from None
