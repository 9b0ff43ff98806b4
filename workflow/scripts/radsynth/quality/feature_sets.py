"""The features of one extractor, read from their files and cut to the image sets that are compared."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError


@dataclass(frozen=True)
class FeatureSet:
    """Features float64 (n, d) of images with the given ids, and what made them (see radsynth/features)."""

    path: Path
    features: np.ndarray
    image_ids: list[str]
    extractor: dict[str, Any]
    state: dict[str, np.ndarray]

    def of(self, image_ids: Sequence[str]) -> np.ndarray:
        """Return the features of these images, in this order; UserError if one is missing."""
        rows = {image_id: row for row, image_id in enumerate(self.image_ids)}
        missing = [image_id for image_id in image_ids if image_id not in rows]
        if missing:
            raise UserError(f"{self.path}: no features of {missing[0]} ({len(missing)} missing); extract them again")
        return self.features[[rows[image_id] for image_id in image_ids]]


def read_features(path: str | Path) -> FeatureSet:
    """Read a features file; UserError if its values are not finite."""
    with np.load(path, allow_pickle=False) as arrays:
        state = {key: arrays[key] for key in arrays.files if key not in ("features", "image_id", "extractor")}
        features = arrays["features"].astype(np.float64)
        image_ids, extractor = [str(name) for name in arrays["image_id"]], json.loads(str(arrays["extractor"]))
    if not np.isfinite(features).all():
        raise UserError(f"{path}: features that are not finite")
    return FeatureSet(Path(path), features, image_ids, extractor, state)


def check_comparable(real: FeatureSet, pool: FeatureSet) -> None:
    """Raise UserError unless both sets come from the same extractor, preprocessing, weights and fitted basis."""
    same_state = real.state.keys() == pool.state.keys() and all(
        np.array_equal(real.state[key], pool.state[key]) for key in real.state
    )
    if real.extractor != pool.extractor or not same_state:
        raise UserError(f"{pool.path}: not made by the same extractor as {real.path}; extract both again")


def reference_sets(manifest: pd.DataFrame, train: pd.DataFrame, label: str) -> dict[str, pd.DataFrame]:
    """Return the rows of a class that each reference set holds.

    ``all``: every original; ``train``: what the generator learned from; ``held_out``: originals that are no training
    images and share no patient, near-duplicate group or pixels with one (empty strings are unknown, hence not shared).
    """
    originals = manifest[manifest["label"] == label]
    train = train[train["label"] == label]
    seen = originals["image_id"].isin(train["image_id"])
    for column in ("patient_id", "near_duplicate_group", "sha256"):
        seen |= originals[column].isin(set(train[column]) - {""})
    return {"all": originals, "train": train, "held_out": originals[~seen]}
