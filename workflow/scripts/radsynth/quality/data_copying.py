"""The test of data copying (Meehan et al. 2020, A non-parametric test to detect data-copying in generative models)."""

import math

import numpy as np
from scipy.stats import rankdata

from radsynth.quality.arrays import UndefinedError


def c_t(candidates: np.ndarray, held_out: np.ndarray) -> float:
    """Return C_T over a single cell: the z of the Mann-Whitney U of distances to the nearest training image.

    ``candidates`` (m,) and ``held_out`` (n,) are such distances. Negative: the candidates lie closer to the training
    images than held-out reals do (copying); positive: farther (underfitting); around -3 to 3: no difference. The
    normal approximation ignores that the distances share the training images. Ties count half (section 3.1).
    """
    m, n = len(candidates), len(held_out)
    if min(m, n) < 2:
        raise UndefinedError(f"needs at least 2 images on either side, found {min(m, n)}")
    ranks = rankdata(np.concatenate([candidates, held_out]))[:m]
    u = ranks.sum() - m * (m + 1) / 2
    return float((u - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12))
