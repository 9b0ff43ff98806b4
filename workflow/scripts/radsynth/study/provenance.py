"""What pools and mixes have seen of the real images: the closure of what pools are made with.

Everything here follows what pools need (``pools.kind.Needs``), not which kinds or generators there are: the gates, how
far the orders are spent, what a matched control draws from, and which studies are refused because images would be
tested, or judged, by what has learnt from them.
"""

import json
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from radsynth.common.errors import UserError
from radsynth.conditions.told import is_told
from radsynth.pools.kind import Needs

#: Of the study, with all defaults.
Config = Mapping[str, Any]
#: What every pool is made with, by its name.
AllNeeds = Mapping[str, Needs]


def closure(needs: AllNeeds, pool: str) -> Needs:
    """Return all that a pool is made with, directly or through its parents, each name once."""
    found = [needs[pool], *(closure(needs, parent) for parent in needs[pool].pools)]
    return Needs(*(tuple(dict.fromkeys(name for one in found for name in one[part])) for part in range(len(found[0]))))


def cohort_of(config: Config, needs: AllNeeds, pool: str) -> str:
    """Return the scenario of a pool: that of its first generator, else of its first parent."""
    own = needs[pool]
    if own.models:
        return config["generators"][own.models[0]]["train_on"]
    return cohort_of(config, needs, own.pools[0])


def scenarios_seen(config: Config, needs: AllNeeds) -> list[str]:
    """Return the scenarios whose training images a generator, or a classifier behind a pool, learns from."""
    taught = [generator["train_on"] for generator in config["generators"].values()]
    return list(dict.fromkeys([*taught, *(cohort_of(config, needs, pool) for pool in needs)]))


def datasets_seen(config: Config, needs: AllNeeds) -> list[str]:
    """Return the datasets that are not studied and that generators are pretrained on or pools are made from."""
    taught = [generator["pretrain_on"] for generator in config["generators"].values()]
    needed = [name for own in needs.values() for name in own.datasets]
    return list(dict.fromkeys(name for name in [*taught, *needed] if name is not None))


def labels_seen(config: Config, needs: AllNeeds, pool: str, label: str) -> list[str]:
    """Return of which labels' training images, of its cohort, a pool of a label has learnt.

    A model per label has learnt from that label alone, a joint model and a classifier from all.
    """
    seen = closure(needs, pool)
    joint = seen.classifiers or any(config["generators"][name]["per"] != "label" for name in seen.models)
    return list(config["labels"]) if joint else [label]


def withholder(config: Config, needs: AllNeeds, pool: str) -> str | None:
    """Return the generator whose model tells which training images a pool does not know, if any were withheld.

    None if a classifier, which knows all of them, has steered it, or if its generators differ in what they know.
    """
    seen = closure(needs, pool)
    selections = [config["generators"][name]["selection"] for name in seen.models]
    shares = {selection["withhold"] if selection["method"] == "kid" else None for selection in selections}
    return seen.models[0] if len(shares) == 1 and shares != {None} and not seen.classifiers else None


def is_conditional(config: Config, needs: AllNeeds, pool: str) -> bool:
    """Return whether a generator behind a pool is asked for attributes, lesions, or one of several labels."""
    return any(is_told(config["generators"][name]) for name in closure(needs, pool).models)


def mix_labels(config: Config, scenario: str, mix: str) -> list[str]:
    """Return the labels whose pools a mix adds: those of the scenario, or all if there are no real images."""
    labels = config["labels"]
    augmented = config["scenarios"][scenario]["augment_labels"] if config["mixes"][mix]["real"] else labels
    return [label for label in labels if label in augmented]


def mix_pools(config: Config, scenario: str, mix: str) -> list[tuple[str, str]]:
    """Return (pool, label) of all pools that a mix adds in a scenario; a matched control adds none."""
    if mix not in config["mixes"]:
        return []
    labels = mix_labels(config, scenario, mix)
    return [(pool, label) for pool in config["mixes"][mix]["pools"] for label in labels]


def pool_labels(config: Config, needs: AllNeeds, pool: str) -> list[str]:
    """Return the labels of which a pool is made: those of mixes with it and of pools made of it, or all if in none."""
    added = product(config["scenarios"], config["mixes"])
    used = {label for names in added for name, label in mix_pools(config, *names) if name == pool}
    for child in needs:
        if pool in needs[child].pools:
            used.update(pool_labels(config, needs, child))
    return [label for label in config["labels"] if label in used or not used]


def prefix(config: Config, label: str, scenario: str) -> int:
    """Return how many images of a label's order a scenario takes to learn from."""
    return config["scenarios"][scenario]["train"][label]


def known(config: Config, needs: AllNeeds, scenario: str, mix: str) -> dict[str, str]:
    """Return, by label, the scenario whose training images hold all real ones that a mix has learnt from.

    That is its own, or one that its pools know and that takes a longer prefix of the label's order.
    """
    own = [scenario] if config["mixes"][mix]["real"] else []
    scenarios: dict[str, list[str]] = {label: list(own) for label in config["labels"]}
    for pool, label in mix_pools(config, scenario, mix):
        for seen in labels_seen(config, needs, pool, label):
            scenarios[seen].append(cohort_of(config, needs, pool))
    return {
        label: max(names, key=lambda name, label=label: prefix(config, label, name))
        for label, names in scenarios.items()
    }


def alike(config: Config, needs: AllNeeds, scenario: str) -> list[list[str]]:
    """Return the mixes with pools, those together that differ in their pools alone.

    They have as many real and synthetic images of each label, are trained in the same way, and have learnt, directly or
    through a pool, from the same real images: one control serves them.
    """
    groups: dict[str, list[str]] = {}
    for name, mix in config["mixes"].items():
        if mix["pools"]:
            seen = {label: prefix(config, label, of) for label, of in known(config, needs, scenario, name).items()}
            rest = {key: value for key, value in mix.items() if key != "pools"}
            key = [rest, sum(mix["pools"].values()), mix_labels(config, scenario, name), seen]
            groups.setdefault(json.dumps(key, sort_keys=True), []).append(name)
    return list(groups.values())


def check_closure(config: Config, needs: AllNeeds, most: Callable[[], Mapping[str, int | None]]) -> None:
    """Raise UserError, beginning with the key of the pool, for one whose images would be tested on what they know.

    ``config`` has all defaults, and holds all names in ``needs``; ``most`` tells how many images the parents of each
    pool can give.
    """
    for pool, own in needs.items():
        if not own.models and not own.pools:
            raise UserError(
                f"pools.{pool}: needs neither a generator nor a pool, expected one, whose cohort is its own"
            )
        _check_circle(needs, pool, [])
    for pool in needs:
        _check_cohort(config, needs, pool)
    for pool, limit in most().items():
        size = config["pools"][pool]["size"]
        if limit is not None and size > limit:
            parents = " and ".join(needs[pool].pools)
            raise UserError(f"pools.{pool}.size: {size} images asked, but {parents} can give {limit}")
    for pool in needs:
        _check_datasets(config, needs, pool)
        _check_judges(config, needs, pool)


def _check_circle(needs: AllNeeds, pool: str, children: list[str]) -> None:
    if pool in children:
        circle = " of ".join([*children[children.index(pool) :], pool])
        raise UserError(f"pools.{pool}: is made of itself ({circle}), expected pools that exist before it")
    for parent in needs[pool].pools:
        _check_circle(needs, parent, [*children, pool])


def _check_cohort(config: Config, needs: AllNeeds, pool: str) -> None:
    """Refuse a pool of several cohorts: what it has seen is the training images of one scenario."""
    own = needs[pool]
    cohort = cohort_of(config, needs, pool)
    cohorts = {f"generator {name}": config["generators"][name]["train_on"] for name in own.models}
    cohorts |= {f"pool {name}": cohort_of(config, needs, name) for name in own.pools}
    for name, other in cohorts.items():
        if other != cohort:
            first = next(iter(cohorts))
            raise UserError(
                f"pools.{pool}: the {name} knows the images of {other}, the {first} those of {cohort}; expected one "
                "scenario, generators.NAME.train_on"
            )


def _check_datasets(config: Config, needs: AllNeeds, pool: str) -> None:
    for dataset in needs[pool].datasets:
        role = config["datasets"][dataset]["role"]
        if role != "pools":
            tested = ", whose images classifiers are tested on" if role != "pretrain" else ""
            raise UserError(
                f"pools.{pool}: is made from the dataset {dataset} with role: {role}{tested}; expected one with role: "
                "pools"
            )


def _check_judges(config: Config, needs: AllNeeds, pool: str) -> None:
    """Refuse a classifier that has chosen or guided the images of a pool and is to say how good they are."""
    quality = config["quality"]
    mixes = [name for name, mix in config["mixes"].items() if pool in mix["pools"]]
    for classifier in closure(needs, pool).classifiers:
        if classifier in config["experts"]:
            judged = "is one of the experts, who judge it"
        elif "domain" in quality["extractors"] and classifier == quality["domain_classifier"]:
            judged = "is quality.domain_classifier, in whose features it is measured"
        elif mixes and config["classifiers"][classifier]["role"] == "judges":
            judged = f"is evaluated on mixes.{mixes[0]}"
        else:
            continue
        raise UserError(
            f"pools.{pool}: the classifier {classifier} steers it and {judged}; expected another one, which only "
            "steers (role: steers)"
        )
