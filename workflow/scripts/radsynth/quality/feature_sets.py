"""Which features are compared: those of the same making, of the image sets that each metric asks for."""

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.features import FeatureSet


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
