"""The pools of the configuration: defaults and checks. Free of torch."""

from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.expecting import expect
from radsynth.common.registry import find
from radsynth.common.schema import read_schema, validated, with_own
from radsynth.conditions.told import is_told
from radsynth.pools.kind import Needs, PoolKind

# The sections of the configuration that the names of ``Needs`` stand in.
SECTIONS = {"models": "generators", "pools": "pools", "classifiers": "classifiers", "datasets": "datasets"}


def fill_pools(config: dict[str, Any]) -> None:
    """Make a pool of each generator, where none are given, and give every pool the options of its kind."""
    config.setdefault("pools", {name: {"kind": "sampled", "generator": name} for name in config["generators"]})
    common = read_schema("config")["properties"]["pools"]["additionalProperties"]
    for name, pool in config["pools"].items():
        where = f"pools.{name}"
        find("pools", pool["kind"], f"{where}.kind")
        own = read_schema(f"pools/{pool['kind']}")
        config["pools"][name] = {"size": config["pool_size"], **validated(pool, with_own(common, own), where)}


def read_needs(config: dict[str, Any]) -> dict[str, Needs]:
    """Return what every pool is made with, by its name; UserError for options or names that do not do."""
    needs = {}
    for name, pool in config["pools"].items():
        where, kind = f"pools.{name}", _kind(pool)
        kind.check(pool, where)
        needs[name] = kind.needs(pool)
        for part, section in SECTIONS.items():
            for needed in getattr(needs[name], part):
                expect(needed, config[section], f"{where}.{_key(pool, needed)}")
        for model in needs[name].models if "guidance" in pool else ():
            if "guidance" not in config["generators"][model]["sampler"] or not is_told(config["generators"][model]):
                raise UserError(f"{where}.guidance: the generator {model} is told nothing that its images could heed")
    return needs


def most_images(config: dict[str, Any], needs: dict[str, Needs]) -> dict[str, int | None]:
    """Return how many images of a label each pool's parents can give; None if there is no limit."""
    pools = config["pools"]
    return {
        name: _kind(pool).most(pool, {parent: pools[parent]["size"] for parent in needs[name].pools})
        for name, pool in pools.items()
    }


def _kind(pool: dict[str, Any]) -> type[PoolKind]:
    return find("pools", pool["kind"], "pools").load()


def _key(pool: dict[str, Any], needed: str) -> str:
    """Return which option of a pool holds a name."""
    return next(
        (key for key, value in pool.items() if needed in (value if isinstance(value, list) else [value])), "kind"
    )
