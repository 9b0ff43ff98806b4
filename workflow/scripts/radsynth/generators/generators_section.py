"""The generators of the configuration: defaults and checks. Free of torch."""

from collections.abc import Collection, Mapping
from itertools import product
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.expecting import expect
from radsynth.common.registry import find
from radsynth.conditions.told import is_told
from radsynth.features.choosing import expect_early
from radsynth.generators.options import (
    check_counts,
    check_generator,
    check_pretraining,
    check_selection,
    resolve_options,
    resolve_sampler,
    resolve_selection,
)


def fill_generators(config: dict[str, Any]) -> None:
    """Give every generator its scenario and all options; UserError for a wrong one."""
    first_scenario = next(iter(config["scenarios"]))
    for name, generator in config["generators"].items():
        where = f"generators.{name}"
        generator.setdefault("train_on", first_scenario)
        family, preset = generator["family"], generator["preset"]
        generator["options"] = resolve_options(family, preset, generator["options"], where)
        generator["sampler"] = resolve_sampler(family, preset, generator["sampler"], where)
        generator["selection"] = resolve_selection(generator["selection"], where)


def check_images_of_generators(config: dict[str, Any]) -> None:
    """Raise UserError for a generator of an unknown scenario or dataset, or chosen by an extractor that is too late."""
    for name, generator in config["generators"].items():
        expect(generator["train_on"], config["scenarios"], f"generators.{name}.train_on")
        _check_told(config, generator, f"generators.{name}.options")
        if generator["pretrain_on"] is not None:
            _check_pretraining_set(config, generator["pretrain_on"], f"generators.{name}.pretrain_on")
        if generator["selection"]["method"] == "kid":
            expect_early(generator["selection"]["extractor"], f"generators.{name}.selection.extractor")


def _check_told(config: dict[str, Any], generator: dict[str, Any], where: str) -> None:
    """Refuse attributes, or boxes, that the manifests of the images do not have; what cells hold is seen when read."""
    datasets = {name: one for name, one in config["datasets"].items() if one["role"] == "study"}
    if generator["pretrain_on"] in config["datasets"]:
        datasets[generator["pretrain_on"]] = config["datasets"][generator["pretrain_on"]]
    asked = {option: generator["options"].get(option, []) for option in ("attributes", "continuous")}
    asked["lesions"] = ["boxes"] if generator["options"].get("lesions") == "boxes" else []
    for (option, columns), (name, dataset) in product(asked.items(), datasets.items()):
        known = find("sources", dataset["source"], f"datasets.{name}.source").load().columns
        for column in columns:
            if column not in known:
                expected = f"expected some of {', '.join(known)}" if known else "which have none"
                raise UserError(f"{where}.{option}: {column} is not told of the images of {name}, {expected}")


def _check_pretraining_set(config: dict[str, Any], dataset: str, where: str) -> None:
    expect(dataset, config["datasets"], where)
    role = config["datasets"][dataset]["role"]
    if role != "pretrain":
        tested = ", whose images classifiers are tested on" if role in ("study", "external_test") else ""
        raise UserError(f"{where}: {dataset} has role: {role}{tested}; expected a dataset with role: pretrain")


def check_generators(config: dict[str, Any], images: Mapping[str, Collection[int]]) -> None:
    """Raise UserError for a generator that cannot be trained; ``images`` are the numbers of images of its units."""
    for name, generator in config["generators"].items():
        check_generator(generator, config["image_size"], f"generators.{name}")
        if generator["sampler"].get("guidance", 1) != 1 and not is_told(generator):
            raise UserError(f"generators.{name}.sampler.guidance: the model is told nothing that its images could heed")
        check_counts(generator, images[name], f"generators.{name}")
        check_pretraining(generator, config["image_size"], f"generators.{name}")
        check_selection(generator, config["image_size"], images[name], f"generators.{name}")
