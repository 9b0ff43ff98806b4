"""Which images are compared: of the sets that each metric asks for, and features of the same making."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from radsynth.cohorts.groups import GATED_COLUMNS, image_groups
from radsynth.common.errors import UserError
from radsynth.common.features import FeatureSet
from radsynth.common.images import read_gray_stack
from radsynth.common.tables import read_table


def check_comparable(real: FeatureSet, pool: FeatureSet) -> None:
    """Raise UserError unless both sets come from the same extractor, preprocessing, weights and fitted basis."""
    same_state = real.state.keys() == pool.state.keys() and all(
        np.array_equal(real.state[key], pool.state[key]) for key in real.state
    )
    if real.extractor != pool.extractor or not same_state:
        raise UserError(f"{pool.path}: not made by the same extractor as {real.path}; extract both again")


def reference_sets(
    manifest: pd.DataFrame, train: pd.DataFrame, label: str, withheld: Collection[str] = ()
) -> dict[str, pd.DataFrame]:
    """Return the rows of a class that each reference set holds.

    ``all``: every original; ``train``: what the generator learned from, the cohort ``train`` without the image ids
    ``withheld`` from it; ``held_out``: originals that are not in the cohort and share no patient, near-duplicate group
    or pixels with it (empty strings are unknown, hence not shared). Withheld images are in ``all`` alone: the
    generator's model was chosen by them.
    """
    originals = manifest[manifest["label"] == label]
    train = train[train["label"] == label]
    seen = originals["image_id"].isin(train["image_id"])
    for column in ("patient_id", "near_duplicate_group", "sha256"):
        seen |= originals[column].isin(set(train[column]) - {""})
    return {"all": originals, "train": train[~train["image_id"].isin(withheld)], "held_out": originals[~seen]}


def groups_of(images: pd.DataFrame) -> np.ndarray:
    """Return the group number (n,) of each image: those that share a patient, near-duplicate group or pixels."""
    return image_groups(images, dict.fromkeys(GATED_COLUMNS, True)).to_numpy()


def halves(held_out: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two halves of held-out images: one sets thresholds and is compared with, the other is the control.

    Images that share a patient, a near-duplicate group or pixels stay together; their group goes to the smaller half.
    """
    counts, sides = [0, 0], {}
    groups = groups_of(held_out)
    for group in groups:
        side = sides.setdefault(group, int(counts[1] < counts[0]))
        counts[side] += 1
    second = np.array([sides[group] == 1 for group in groups], dtype=bool)
    return held_out[~second], held_out[second]


def read_references(
    manifest: str | Path, train: str | Path, label: str, withheld: str | Path | None = None
) -> dict[str, pd.DataFrame]:
    """Return ``reference_sets`` of a dataset's manifest, a cohort and, if given, a table of the withheld images.

    UserError if the class has no image.
    """
    ids = read_table(withheld)["image_id"] if withheld else ()
    references = reference_sets(read_table(manifest), read_table(train), label, ids)
    if references["all"].empty:
        raise UserError(f"{manifest}: no image of the class {label}")
    return references


def read_images(manifest: str | Path, rows: pd.DataFrame) -> np.ndarray:
    """Return the images of some rows of a manifest as uint8 (n, height, width); (0, 1, 1) if there are none."""
    return read_gray_stack(Path(manifest).parent, rows) if len(rows) else np.empty((0, 1, 1), np.uint8)
