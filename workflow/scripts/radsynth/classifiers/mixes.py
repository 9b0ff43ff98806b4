"""Which images a classifier trains on: real ones, synthetic ones, or both; and for how many steps."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError

COLUMNS = ["root", "file", "label", "image_id", "origin", "subset"]


def read_pools(manifests: Iterable[str | Path], generators: Iterable[str]) -> pd.DataFrame:
    """Return the images of the pools in order: COLUMNS without ``subset``, and ``generator``.

    ``generators`` names the maker of each pool. Files are relative to their manifest's folder; a synthetic image's id
    is ``generator/label/index``.
    """
    pools = [pd.DataFrame(columns=[*COLUMNS[:-1], "generator"])]
    for path, generator in zip(map(Path, manifests), generators, strict=True):
        pool = pd.read_csv(path, dtype=str, keep_default_na=False)
        ids = generator + "/" + pool["label"] + "/" + pool["index"].str.zfill(6)
        made = pool[["file", "label"]].assign(image_id=ids, origin="synthetic")
        pools.append(made.assign(root=str(path.parent), generator=generator))
    return pd.concat(pools, ignore_index=True)


def validation_ids(train: pd.DataFrame, fraction: float, seed: int) -> set[str]:
    """Return the ids of the real images held back for validation: ``fraction`` of each label, at least one.

    Depends on the images, not on their order, and never on the mix: run r of every mix has the same ones.
    """
    ids: set[str] = set()
    for label, images in train.groupby("label"):
        rng = np.random.default_rng([seed, *label.encode()])
        count = max(1, round(fraction * len(images)))
        ids.update(rng.permutation(np.sort(images["image_id"].to_numpy(str)))[:count].tolist())
    return ids


def mix_images(
    name: str,
    mix: dict[str, Any],
    train: pd.DataFrame,
    root: str | Path,
    pools: pd.DataFrame,
    labels: list[str],
    validation_fraction: float,
    seed: int,
) -> pd.DataFrame:
    """Return the images of one run of a mix: ``subset`` is "train" or "validation", ``origin`` real or synthetic.

    ``mix`` is ``{real: bool, pools: {generator: n}}``, maybe with ``balance: oversample``: with ``real``, the cohort's
    training images without those of the validation; from each pool given (one per augmented label) the first n images;
    with ``oversample``, images of the rarer labels again, drawn with replacement, until all labels are as frequent.
    Validation images are always real. ``train`` is the cohort's manifest (files relative to ``root``), ``pools`` comes
    from ``read_pools``. UserError if a pool holds fewer than n images or a label has no training image.
    """
    real = train[["file", "label", "image_id"]].assign(root=str(root), origin="real", subset="train")
    real.loc[real["image_id"].isin(validation_ids(train, validation_fraction, seed)), "subset"] = "validation"
    parts = [real if mix["real"] else real[real["subset"] == "validation"]]
    for generator, count in mix["pools"].items():
        key = f"mixes.{name}.pools.{generator}"
        of_generator = pools[pools["generator"] == generator]
        if of_generator.empty:
            raise UserError(f"{key}: no pool of this generator was given, expected one per augmented label")
        for label, pool in of_generator.groupby("label", sort=False):
            if len(pool) < count:
                raise UserError(f"{key}: {count} images asked for, the pool of {label} holds {len(pool)}")
            parts.append(pool.head(count).assign(subset="train"))
    images = pd.concat(parts, ignore_index=True)[COLUMNS]
    counts = images.loc[images["subset"] == "train", "label"].value_counts()
    for label in labels:
        if label not in counts:
            raise UserError(f"mixes.{name}: no training image of {label}, expected at least one of each label")
    return _oversample(images, counts.to_dict(), seed) if mix.get("balance") == "oversample" else images


def _oversample(images: pd.DataFrame, counts: Mapping[str, int], seed: int) -> pd.DataFrame:
    parts, most = [images], max(counts.values())
    for label, count in counts.items():
        own = images[(images["subset"] == "train") & (images["label"] == label)]
        rng = np.random.default_rng([seed, *b"oversample", *label.encode()])
        parts.append(own.iloc[rng.integers(len(own), size=most - count)])
    return pd.concat(parts, ignore_index=True)


def training_size(mix: dict[str, Any], real: Mapping[str, int], augmented: Iterable[str]) -> int:
    """Return how many images ``mix_images`` would give a mix to train on.

    ``real`` counts the real training images per label after those of the validation are taken out, ``augmented``
    names the labels whose pools the mix adds.
    """
    counts = {label: count if mix["real"] else 0 for label, count in real.items()}
    for label in augmented:
        counts[label] += sum(mix["pools"].values())
    return len(counts) * max(counts.values()) if mix.get("balance") == "oversample" else sum(counts.values())


def matched_steps(
    mix: dict[str, Any], images: pd.DataFrame, train: pd.DataFrame, augmented: Iterable[str], batch_size: int
) -> int:
    """Return the optimizer steps of one epoch of ``mix``, for another mix of the same run that shall take as many.

    ``images`` are those of the other mix (they tell the validation images that all mixes of the run share), ``train``
    is the cohort's manifest.
    """
    held_back = set(images.loc[images["subset"] == "validation", "image_id"])
    real = train.loc[~train["image_id"].isin(held_back), "label"].value_counts().to_dict()
    return math.ceil(training_size(mix, real, augmented) / batch_size)


def count_images(images: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Return the number of images as {subset: {origin: {label: n}}}."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for (subset, origin, label), rows in images.groupby(["subset", "origin", "label"]):
        counts.setdefault(subset, {}).setdefault(origin, {})[label] = len(rows)
    return counts
