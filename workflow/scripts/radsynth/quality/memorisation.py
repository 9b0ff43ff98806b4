"""Does the pool repeat its training images, or itself?

A synthetic image is called a copy when its nearest training image is as close as only the closest pairs of training
images are to each other. Held-out reals, judged by the same threshold, are the control: they give about
``THRESHOLD_QUANTILE`` by construction, and a copy rate means something only as far as it exceeds theirs. In a space
that loses detail (``pixels``) a blurred average also lies close to everything: look at the pairs before calling it a
leak.
"""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from radsynth.quality.arrays import UndefinedError, check_same_dim, checked

THRESHOLD_QUANTILE = 0.01
BLOCK = 2048


def nearest_distances(queries: np.ndarray, training: np.ndarray | None = None) -> np.ndarray:
    """Return the Euclidean distance (n,) of each query (n, d) to its nearest training row (m, d).

    Without ``training`` to its nearest other query. The nearest row is found by the expanded square; its distance is
    then taken from the difference itself, so that rounding cannot hide a copy.
    """
    leave_one_out = training is None
    queries = checked(queries, minimum=2 if leave_one_out else 1)
    training = queries if leave_one_out else checked(training, minimum=1)
    check_same_dim(queries, training)
    norms = np.sum(training**2, axis=1)
    nearest = np.empty(len(queries))
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        squares = norms - 2 * block @ training.T  # up to the query's own norm
        if leave_one_out:
            squares[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        nearest[start : start + BLOCK] = np.linalg.norm(block - training[squares.argmin(axis=1)], axis=1)
    return nearest


def copy_threshold(training: np.ndarray) -> float:
    """Return the distance below which only THRESHOLD_QUANTILE of the training images (n, d) have another one.

    Exact duplicates must be removed from ``training`` first: they would set the threshold to 0.
    """
    return float(np.quantile(nearest_distances(training), THRESHOLD_QUANTILE))


def copy_rate(images: np.ndarray, training: np.ndarray, threshold: float) -> float:
    """Return the share of images (n, d) whose nearest training image (m, d) is not farther than ``threshold``."""
    return float(np.mean(nearest_distances(images, training) <= threshold))


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
