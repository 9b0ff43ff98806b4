"""Mixes and classifiers of the configuration: defaults and checks. Imports no Keras."""

from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.expecting import expect
from radsynth.tasks.learner import check_task, resolve_classifier
from radsynth.tasks.task import make_task


def fill_mixes(config: dict[str, Any]) -> None:
    """Make a mix of each pool, where none are given, and give every classifier all options."""
    if "mixes" not in config:
        config["mixes"] = {"baseline": {"real": True, "pools": {}}} | {
            name: {"real": True, "pools": {name: pool["size"]}} for name, pool in config["pools"].items()
        }
    for name, classifier in config["classifiers"].items():
        config["classifiers"][name] = resolve_classifier(classifier, config["image_size"], f"classifiers.{name}")


def check_tasks(config: dict[str, Any]) -> None:
    """Raise UserError for what is wrong with mixes or classifiers of a configuration with all defaults."""
    task = make_task(config["task"], config["labels"], config["positive_label"])
    for name, classifier in config["classifiers"].items():
        check_task(classifier, task, f"classifiers.{name}")
    for name, mix in config["mixes"].items():
        where = f"mixes.{name}"
        if not mix["real"] and not mix["pools"]:
            raise UserError(f"{where}: neither real images nor a pool, expected at least one of them")
        for pool, count in mix["pools"].items():
            expect(pool, config["pools"], f"{where}.pools")
            size = config["pools"][pool]["size"]
            if count > size:
                has = "pool_size" if size == config["pool_size"] else f"pools.{pool}.size"
                raise UserError(f"{where}.pools.{pool}: {count} images asked, but {has} is {size}")
        if "steps" in mix:
            matched = mix["steps"]["match"]
            expect(matched, config["mixes"], f"{where}.steps.match")
            if "steps" in config["mixes"][matched]:
                raise UserError(f"{where}.steps.match: {matched} takes its steps from another mix itself")
    baseline = config["mixes"]["baseline"]
    if not baseline["real"] or baseline["pools"] or set(baseline) - {"real", "pools"}:
        raise UserError("mixes.baseline: expected {real: true} and nothing else, all mixes are compared with it")
    if all(classifier["role"] == "steers" for classifier in config["classifiers"].values()):
        raise UserError("classifiers: all steer, expected at least one with role: judges")
    for classifier in config["experts"]:
        expect(classifier, config["classifiers"], "experts")
        if config["classifiers"][classifier]["role"] == "steers":
            raise UserError(f"experts: {classifier} steers pools, expected a classifier with role: judges")
