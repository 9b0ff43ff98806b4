"""The diversity figure of a selection of images."""

import numpy as np
from sklearn.metrics import pairwise_distances_chunked


def mean_pairwise_distance(features: np.ndarray) -> float | None:
    """Return the mean Euclidean distance over all pairs of rows of ``features`` (n, d), None if n < 2.

    In the units of the features. Exact, in float64 and in chunks of at most 64 MiB.
    """
    n = len(features)
    if n < 2:
        return None
    chunks = pairwise_distances_chunked(features.astype(np.float64), metric="euclidean", working_memory=64)
    return float(sum(chunk.sum() for chunk in chunks) / (n * (n - 1)))
