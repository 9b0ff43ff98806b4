"""The features of one image set, read from their file (see radsynth/features for how it is written)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from radsynth.common.errors import UserError


@dataclass(frozen=True)
class FeatureSet:
    """Features (n, d) of images with the given ids, what made them, and the logits (n, classes) if it has some."""

    path: Path
    features: np.ndarray
    image_ids: list[str]
    extractor: dict[str, Any]
    state: dict[str, np.ndarray]
    logits: np.ndarray | None = None

    def of(self, image_ids: Sequence[str]) -> np.ndarray:
        """Return the features of these images, in this order; UserError if one is missing."""
        rows = {image_id: row for row, image_id in enumerate(self.image_ids)}
        missing = [image_id for image_id in image_ids if image_id not in rows]
        if missing:
            raise UserError(f"{self.path}: no features of {missing[0]} ({len(missing)} missing); extract them again")
        return self.features[[rows[image_id] for image_id in image_ids]]


def read_features(path: str | Path, dtype: DTypeLike) -> FeatureSet:
    """Read a features file, the features as ``dtype``; UserError naming an image if its values are not finite."""
    with np.load(path, allow_pickle=False) as arrays:
        known = ("features", "image_id", "extractor", "logits")
        state = {key: arrays[key] for key in arrays.files if key not in known}
        logits = arrays["logits"] if "logits" in arrays.files else None
        features = arrays["features"].astype(dtype, copy=False)
        image_ids, extractor = [str(name) for name in arrays["image_id"]], json.loads(str(arrays["extractor"]))
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: the features of {image_ids[finite.argmin()]} are not finite numbers")
    return FeatureSet(Path(path), features, image_ids, extractor, state, logits)
