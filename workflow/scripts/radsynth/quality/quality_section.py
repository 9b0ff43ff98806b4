"""The quality section of the configuration: defaults and checks. Free of numpy."""

from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.expecting import expect
from radsynth.features.choosing import expect_extractor


def fill_quality(config: dict[str, Any]) -> None:
    """Name the classifier of the domain: the first one that judges."""
    judges = [name for name, classifier in config["classifiers"].items() if classifier["role"] == "judges"]
    config["quality"].setdefault("domain_classifier", next(iter([*judges, *config["classifiers"]])))


def check_quality(config: dict[str, Any]) -> None:
    """Raise UserError for what is wrong with the quality section of a configuration with all defaults."""
    quality = config["quality"]
    expect(quality["domain_classifier"], config["classifiers"], "quality.domain_classifier")
    for extractor in quality["extractors"]:
        expect_extractor(extractor, "quality.extractors")
    if quality["inception_score"] and not any(name.startswith("inception") for name in quality["extractors"]):
        raise UserError("quality.inception_score: true needs an Inception extractor in quality.extractors")
