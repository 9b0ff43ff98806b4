"""The attacks of the configuration: defaults and checks. Free of torch."""

from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.registry import KINDS, find
from radsynth.common.schema import read_schema, validated, with_own


def fill_attacks(config: dict[str, Any]) -> None:
    """Give every attack the options of its kind."""
    common = read_schema("config")["properties"]["attacks"]["additionalProperties"]
    for name, attack in config["attacks"].items():
        where = f"attacks.{name}"
        find("attacks", attack["kind"], f"{where}.kind")
        own = read_schema(f"attacks/{attack['kind']}")
        config["attacks"][name] = validated(attack, with_own(common, own), where)


def check_attacks(config: dict[str, Any]) -> None:
    """Raise UserError for an attack that reads features where all of them are of the scenario's own making."""
    for name in config["attacks"]:
        if access_of(config, name) == "features" and attacked_extractor(config) is None:
            given = ", ".join(config["quality"]["extractors"])
            raise UserError(
                f"attacks.{name}: reads features, but quality.extractors has {given} alone, which has seen the "
                "training images itself; expected another one beside it"
            )


def access_of(config: dict[str, Any], name: str) -> str:
    """Return what an attack may read: images, features or model."""
    return find("attacks", config["attacks"][name]["kind"], f"attacks.{name}.kind").load().access


def attacked_extractor(config: dict[str, Any]) -> str | None:
    """Return the extractor whose features attacks read: the first of the quality that no cohort has trained, if any."""
    names = config["quality"]["extractors"]
    return next((name for name in names if not KINDS["extractors"][name].per_cohort), None)
