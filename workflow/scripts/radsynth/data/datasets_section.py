"""The datasets of the configuration: defaults and checks. Reads no image."""

from typing import Any
from urllib.parse import urlsplit

from radsynth.common.errors import UserError
from radsynth.common.expecting import expect_all_labels
from radsynth.common.registry import find
from radsynth.common.schema import read_schema, validated, with_own


def fill_datasets(config: dict[str, Any]) -> None:
    """Give every dataset its path and the defaults of its source; UserError for a wrong source or option."""
    for name, dataset in config["datasets"].items():
        dataset.setdefault("path", f"resources/raw/{name}")
        config["datasets"][name] = _with_source_options(name, dataset)


def _with_source_options(name: str, dataset: dict[str, Any]) -> dict[str, Any]:
    sources = read_schema("sources")
    if dataset["source"] not in sources:
        raise UserError(
            f"datasets.{name}.source: unknown source {dataset['source']!r}, expected one of {', '.join(sources)}"
        )
    common = read_schema("config")["properties"]["datasets"]["additionalProperties"]
    return validated(dataset, with_own(common, sources[dataset["source"]]), f"datasets.{name}")


def check_datasets(config: dict[str, Any]) -> None:
    """Raise UserError for what is wrong with the datasets of a configuration with all defaults."""
    for name, dataset in config["datasets"].items():
        _check_image_counts(name, dataset, config)
        address = urlsplit(dataset.get("base_url", ""))
        # Without a scheme the login is taken for one, or for a part of the path.
        if address.query or "@" in (address.netloc or address.path):
            raise UserError(
                f"datasets.{name}.base_url: holds a login or a token, which would stand in logs and results; "
                "give it as the source's documentation says, in the environment"
            )
        where = f"datasets.{name}"
        find("sources", dataset["source"], f"{where}.source").load().check(dataset, config["labels"], where)
    roles = {dataset["role"] for dataset in config["datasets"].values()}
    if "study" not in roles:
        found = " or ".join(sorted(roles))
        raise UserError(f"datasets: all are {found}, expected at least one with role: study")


def _check_image_counts(name: str, dataset: dict[str, Any], config: dict[str, Any]) -> None:
    """Compare scenarios with a dataset whose size is configured (phantoms); others are counted when prepared."""
    images = find("sources", dataset["source"], f"datasets.{name}.source").load().configured_counts(dataset)
    if images is None:
        return
    expect_all_labels(images, config["labels"], f"datasets.{name}.images")
    if dataset["role"] != "study":
        return
    for key, scenario in config["scenarios"].items():
        for label, count in scenario["train"].items():
            if label in images and count >= images[label]:
                raise UserError(
                    f"scenarios.{key}.train.{label}: {count} images asked, "
                    f"but datasets.{name} has {images[label]}, of which some must be left for testing"
                )
