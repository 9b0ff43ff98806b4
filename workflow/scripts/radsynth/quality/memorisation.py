"""Does the pool repeat its training images, or itself?

A copy is much closer to its nearest training image than to the further neighbours of that image: the distance is taken
relative to the mean over the NEIGHBOURS nearest training images (Carlini et al. 2023, Extracting training data from
diffusion models, section 4.2). An absolute distance would take every blurred image for a copy, since an average lies
close to everything. The threshold is what THRESHOLD_QUANTILE of held-out reals fall below. It is not taken from the
training images' own neighbours: cohorts that were selected to be diverse are farther apart than reals usually are.
Other held-out reals, under the same threshold, are the control: a copy rate means something only as far as it exceeds
theirs.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from radsynth.quality.arrays import UndefinedError, check_same_dim, checked

NEIGHBOURS = 50
THRESHOLD_QUANTILE = 0.01
BLOCK = 2048


def relative_distances(images: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return, per image (n, d), its distance to the nearest training image (m, d) over the mean to the nearest 50.

    The values (n,) lie in [0, 1]: 0 is a copy, 1 is equally far from all. Where m < 50, all of them are the neighbours.
    """
    images, training = checked(images, minimum=1), checked(training)
    check_same_dim(images, training)
    centre = training.mean(axis=0)  # small numbers keep their digits in the expanded square
    images, training = images - centre, training - centre
    norms = np.sum(training**2, axis=1)
    count = min(NEIGHBOURS, len(training))
    relative = np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK]
        squares = norms - 2 * block @ training.T + np.sum(block**2, axis=1, keepdims=True)
        # From the difference itself, so that rounding cannot hide a copy.
        nearest = np.linalg.norm(block - training[squares.argmin(axis=1)], axis=1)
        neighbours = np.sqrt(np.clip(np.partition(squares, count - 1, axis=1)[:, :count], 0, None)).mean(axis=1)
        relative[start : start + BLOCK] = nearest / np.maximum(neighbours, np.finfo(float).tiny)
    return relative


def copy_threshold(held_out: np.ndarray, training: np.ndarray) -> float:
    """Return the relative distance that only THRESHOLD_QUANTILE of held-out reals (n, d) fall below."""
    return float(np.quantile(relative_distances(held_out, training), THRESHOLD_QUANTILE))


def copy_rate(images: np.ndarray, training: np.ndarray, threshold: float) -> float:
    """Return the share of images (n, d) whose relative distance to training (m, d) is not above ``threshold``."""
    return float(np.mean(relative_distances(images, training) <= threshold))


def exact_copy_rate(hashes: Sequence[str], training: Collection[str]) -> float:
    """Return the share of images whose pixels, by hash, equal a training image's."""
    if not hashes:
        raise UndefinedError("no images")
    training = set(training)
    return sum(digest in training for digest in hashes) / len(hashes)


def duplicate_rate(hashes: Sequence[str]) -> float:
    """Return the share of images whose pixels, by hash, equal those of another image of the same set."""
    if not hashes:
        raise UndefinedError("no images")
    return sum(count for count in Counter(hashes).values() if count > 1) / len(hashes)
