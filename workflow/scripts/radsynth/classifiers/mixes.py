"""Which images a classifier trains on: real ones, synthetic ones, or both."""

from collections.abc import Iterable
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

    ``mix`` is ``{real: bool, pools: {generator: n}}``: with ``real``, the cohort's training images without those of
    the validation; from each pool given (one per augmented label) the first n images. Validation images are
    always real. ``train`` is the cohort's manifest (files relative to ``root``), ``pools`` comes from ``read_pools``.
    UserError if a pool holds fewer than n images or a label has no training image.
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
    return images


def count_images(images: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Return the number of images as {subset: {origin: {label: n}}}."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for (subset, origin, label), rows in images.groupby(["subset", "origin", "label"]):
        counts.setdefault(subset, {}).setdefault(origin, {})[label] = len(rows)
    return counts
