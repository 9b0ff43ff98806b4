"""Kernel distance: the unbiased squared maximum mean discrepancy; on Inception features KID (Binkowski et al. 2018)."""

from dataclasses import dataclass

import numpy as np

from radsynth.quality.arrays import check_same_dim, checked

BLOCK = 2048  # rows of the kernel matrix held at once


@dataclass(frozen=True)
class KernelSample:
    """Features (n, d) and the mean of the kernel over the n (n - 1) pairs of different images."""

    features: np.ndarray
    within: float


def _kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Return the sum of k(x, y) = (x.y / d + 1)^3 over all pairs of rows."""
    total = 0.0
    for start in range(0, len(x), BLOCK):
        base = x[start : start + BLOCK] @ y.T / x.shape[1] + 1
        total += float(np.sum(base * base * base))  # ** 3 is many times slower
    return total


def statistics(features: np.ndarray) -> KernelSample:
    """Return the sample's own part of the distance; features (n, d), n >= 2."""
    features = checked(features)
    n, d = features.shape
    diagonal = float(np.sum((np.sum(features**2, axis=1) / d + 1) ** 3))
    return KernelSample(features, (_kernel_sum(features, features) - diagonal) / (n * (n - 1)))


def value(a: KernelSample, b: KernelSample) -> float:
    """Return the full U-statistic of MMD^2. Its mean is 0 for equal distributions: half of such values are negative."""
    check_same_dim(a.features, b.features)
    between = _kernel_sum(a.features, b.features) / (len(a.features) * len(b.features))
    return a.within + b.within - 2 * between
