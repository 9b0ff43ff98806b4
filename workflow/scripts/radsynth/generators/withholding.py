"""Training images that a generator does not learn from, so that its models can be compared with them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from radsynth.cohorts.groups import image_groups
from radsynth.common.errors import UserError

# Images, at least, that a choice by KID withholds. Half of them are the control of the copy rate: against 4 images
# without a copy, Fisher's test notices a copy rate of 256 images of 0.54, against 20 images one of 0.15.
FEWEST_WITHHELD = 8


def count_withheld(n: int, share: float) -> int:
    """Return how many of n images ``share`` is; UserError, beginning with ``selection.``, if too few are left."""
    count = round(share * n)
    if count < FEWEST_WITHHELD or n - count < 2:
        raise UserError(
            f"selection.withhold: {share} of {n} images are {count}, expected at least {FEWEST_WITHHELD} withheld "
            "and 2 trained on"
        )
    return count


def withhold(rows: pd.DataFrame, share: float, gates: Mapping[str, bool], seed: int) -> pd.DataFrame:
    """Return the rows of a cohort's train.csv (one label) that are withheld from a generator, in their order.

    Groups of images that the ``gates`` tie together (a patient, near duplicates) are drawn at random and withheld
    whole, each unless it would exceed the ``share``. UserError if so few are withheld that nothing can be measured.
    """
    target = count_withheld(len(rows), share)
    groups = image_groups(rows, dict(gates)).to_numpy()
    withheld = draw_groups(groups, target, seed)
    count = withheld.sum()
    if count < FEWEST_WITHHELD:
        raise UserError(
            f"selection.withhold: {len(rows)} images in {len(set(groups))} groups (patients, near duplicates), of "
            f"which {share} of the images hold only {count} whole, expected at least {FEWEST_WITHHELD}; raise the "
            "share, or switch off gates.near_duplicates if the images of its groups only look alike"
        )
    return rows[withheld]


def draw_groups(groups: np.ndarray, target: int, seed: int) -> np.ndarray:
    """Return which images (bool, n) are drawn: at most ``target``, in whole ``groups`` (0 and up, n) at random."""
    sizes = np.bincount(groups)
    taken, count = [], 0
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        if count + sizes[group] <= target:
            taken.append(group)
            count += sizes[group]
    return np.isin(groups, taken)
