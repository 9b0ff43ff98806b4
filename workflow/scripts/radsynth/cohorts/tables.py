"""The room's files: manifests and cohorts (CSV), features (npz)."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a manifest, an order or a cohort; every cell is a string, an unknown value is the empty string."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def load_features(path: str | Path) -> tuple[pd.Series, np.ndarray, str]:
    """Read a feature file of an image set.

    Returns the row number of each image (a series indexed by image_id), the features as float32 (n, d), and the name
    of their extractor. UserError if a value is not finite.
    """
    with np.load(path, allow_pickle=False) as arrays:
        features, image_ids = arrays["features"], arrays["image_id"]
        extractor = json.loads(str(arrays["extractor"]))["name"]
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: the features of {image_ids[~finite][0]} are not finite numbers")
    return pd.Series(np.arange(len(image_ids)), index=image_ids), features.astype(np.float32, copy=False), extractor


def feature_rows(rows: pd.Series, image_ids: Iterable[str], path: str | Path) -> np.ndarray:
    """Return the row numbers (n,) of images in a feature file; UserError naming the file if it lacks one of them."""
    image_ids = pd.Index(image_ids)
    missing = image_ids.difference(rows.index)
    if len(missing):
        raise UserError(f"{path}: no features of {missing[0]} ({len(missing)} images missing); extract them again")
    return rows[image_ids].to_numpy()
