"""Diversity within a set, from a similarity (MS-SSIM) or distance (LPIPS) of random pairs of its images."""

import math

import numpy as np

from radsynth.quality.arrays import Estimate, UndefinedError

Z = 1.959964  # 97.5 % quantile of the normal distribution


def mean_over_pairs(values: np.ndarray, pairs: np.ndarray) -> Estimate:
    """Return mean, 95 % interval and SD of values (m,) of the pairs (m, 2) of image indices.

    Pairs that share an image are not independent: the standard error is the dyadic one (Aronow et al. 2015,
    Cluster-robust variance estimation for dyadic data, equation 3), which sums the products of the deviations of all
    pairs with a common image; never less than that of independent pairs.
    """
    if len(values) < 2:
        raise UndefinedError(f"needs at least 2 pairs of images, found {len(values)}")
    unknown = np.count_nonzero(~np.isfinite(values))
    if unknown:
        raise UndefinedError(f"{unknown} of {len(values)} pairs have no finite value")
    values = values.astype(np.float64)
    mean, m = values.mean(), len(values)
    deviations = values - mean
    by_image = sum(np.bincount(side, deviations, minlength=pairs.max() + 1) for side in pairs.T)
    independent = np.sum(deviations**2)
    half = Z * math.sqrt(max(np.sum(by_image**2) - independent, independent)) / m
    return Estimate(mean, mean - half, mean + half, values.std(ddof=1))
