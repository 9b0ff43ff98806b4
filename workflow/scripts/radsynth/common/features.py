"""The features of one image set: how their file is written and read."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike

from radsynth.common.arrays import read_arrays
from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path
from radsynth.common.images import read_gray_stack
from radsynth.common.tables import read_table

NOT_FITTED = ("features", "image_id", "extractor", "logits")


@dataclass(frozen=True)
class FeatureSet:
    """Features (n, d) of images with the given ids, and what made them.

    ``logits`` (n, classes) are the class scores without bias, None where the extractor has no classifier.
    """

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


def read_image_set(
    manifest: str | Path, read: Callable[[Path, pd.DataFrame], np.ndarray] = read_gray_stack
) -> tuple[list[str], np.ndarray]:
    """Return the ids and the images, uint8, of a dataset's or a pool's manifest, in its order.

    ``read`` gives them as (n, height, width), or is ``read_image_stack`` for (n, height, width, channels). Files are
    relative to the manifest. A pool's images have no ids: the stem of the file name serves.
    """
    table = read_table(manifest)
    image_ids = table["image_id"] if "image_id" in table else table["file"].map(lambda file: Path(file).stem)
    return list(image_ids), read(Path(manifest).parent, table)


def write_features(
    path: str | Path,
    image_ids: Sequence[str],
    features: np.ndarray,
    extractor: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Write an npz without pickles: ``features`` (n, d), ``image_id`` (n,), ``extractor`` (JSON), and further arrays.

    ``extractor`` holds name, preprocessing, weights and dim (radsynth/features/interface.py); ``arrays`` is what was
    fitted, and the ``logits`` if there are any. UserError naming an image if its values are not finite.
    """
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        first = image_ids[finite.argmin()]
        raise UserError(f"{path}: extractor {extractor['name']} gave values that are not finite for the image {first}")
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            features=features,
            image_id=np.array(image_ids, dtype=str),
            extractor=np.array(json.dumps(extractor)),
            **arrays,
        )


def read_features(path: str | Path, dtype: DTypeLike) -> FeatureSet:
    """Read a features file, its numbers as ``dtype``; UserError naming an image if its features are not finite."""
    arrays = read_arrays(path)
    if missing := [name for name in NOT_FITTED[:3] if name not in arrays]:
        raise UserError(f"{path}: no array {missing[0]}, so not a file of features; delete it to have it made anew")
    state = {key: array for key, array in arrays.items() if key not in NOT_FITTED}
    features = arrays["features"].astype(dtype, copy=False)
    logits = arrays["logits"].astype(dtype, copy=False) if "logits" in arrays else None
    image_ids, extractor = [str(name) for name in arrays["image_id"]], json.loads(str(arrays["extractor"]))
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: the features of {image_ids[finite.argmin()]} are not finite numbers")
    return FeatureSet(Path(path), features, image_ids, extractor, state, logits)
