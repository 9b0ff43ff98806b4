"""Scenarios and samplings of the configuration: defaults and checks. Free of numpy."""

from typing import Any

from radsynth.cohorts.held_back import check_train, held_back_by_patients
from radsynth.common.errors import UserError
from radsynth.common.expecting import expect, expect_all_labels
from radsynth.features.choosing import early_extractors, expect_early


def fill_scenarios(config: dict[str, Any]) -> None:
    """Give every scenario its augmented labels and its number of test sets."""
    for scenario in config["scenarios"].values():
        scenario.setdefault("augment_labels", list(config["labels"]))
        if isinstance(scenario["test"], dict):
            scenario["test"].setdefault("sets", 1)


def check_cohorts(config: dict[str, Any]) -> None:
    """Raise UserError for what is wrong with samplings or scenarios of a configuration with all defaults."""
    labels = config["labels"]
    expect_early(config["diversity_extractor"], "diversity_extractor")
    for name, sampling in config["samplings"].items():
        where = f"samplings.{name}.extractor"
        if sampling["method"] == "k_center_greedy":
            if "extractor" not in sampling:
                early = ", ".join(early_extractors())
                raise UserError(f"{where}: missing, k_center_greedy needs one of {early}")
            expect_early(sampling["extractor"], where)
        elif "extractor" in sampling:
            raise UserError(f"{where}: {sampling['method']} sampling uses no extractor")
    for name, scenario in config["scenarios"].items():
        where = f"scenarios.{name}"
        expect_all_labels(scenario["train"], labels, f"{where}.train")
        for label in labels:
            count = scenario["train"][label]
            check_train(count, config["validation"], config["validation_fraction"], f"{where}.train.{label}")
        if scenario["test"] != "rest":
            expect_all_labels(scenario["test"]["counts"], labels, f"{where}.test.counts")
        for label in scenario["augment_labels"]:
            expect(label, labels, f"{where}.augment_labels")


def held_back_fraction(config: dict[str, Any]) -> float | None:
    """Return which part of the training images cohorts hold back for validation, if any."""
    return config["validation_fraction"] if config["validation"] == "patients" else None


def count_learnt(config: dict[str, Any], scenario: str) -> dict[str, int]:
    """Return, by label, how many images of a scenario teach a generator, where patients have one image each."""
    fraction, train = held_back_fraction(config) or 0, config["scenarios"][scenario]["train"]
    return {label: train[label] - held_back_by_patients(train[label], fraction) for label in config["labels"]}
