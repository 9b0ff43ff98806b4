"""Kernel distance: the unbiased squared maximum mean discrepancy; on Inception features KID (Binkowski et al. 2018).

Demystifying MMD GANs, section 4: kernel (x.y / d + 1)^3. The full U-statistic is the headline; the papers' mean over
random subsets stands beside it. Its mean is 0 for equal distributions: half of such values are negative, and stay so.
"""

from dataclasses import dataclass

import numpy as np

from radsynth.quality.arrays import Estimate, check_same_dim, checked

BLOCK = 512  # rows of the kernel matrix held at once
DRAWS = 1000  # bootstrap draws behind the interval
MIN_BOOTSTRAP = 10  # patients or images on either side; with fewer, draws of a single repeated one would count
SUBSETS, SUBSET_SIZE = 100, 1000


@dataclass(frozen=True)
class KernelSample:
    """Features (n, d) and the mean of the kernel over the n (n - 1) pairs of different images."""

    features: np.ndarray
    within: float


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return k(x, y) = (x.y / d + 1)^3 for all pairs of rows."""
    base = x @ y.T
    base /= x.shape[1]
    base += 1
    cube = base * base
    cube *= base  # ** 3 is many times slower
    return cube


def _diagonal(features: np.ndarray) -> np.ndarray:
    return (np.sum(features**2, axis=1) / features.shape[1] + 1) ** 3


def statistics(features: np.ndarray) -> KernelSample:
    """Return the sample's own part of the distance; features (n, d), n >= 2."""
    features = checked(features)
    n = len(features)
    total = 0.0
    for start in range(0, n, BLOCK):
        block = features[start : start + BLOCK]
        # The kernel is symmetric: what lies right of the diagonal block counts twice.
        total += float(_kernel(block, block).sum()) + 2 * float(_kernel(block, features[start + BLOCK :]).sum())
    return KernelSample(features, (total - float(_diagonal(features).sum())) / (n * (n - 1)))


def value(a: KernelSample, b: KernelSample) -> float:
    """Return the full U-statistic of MMD^2."""
    check_same_dim(a.features, b.features)
    blocks = range(0, len(a.features), BLOCK)
    between = sum(float(_kernel(a.features[start : start + BLOCK], b.features).sum()) for start in blocks)
    return a.within + b.within - 2 * between / (len(a.features) * len(b.features))


def _weighted_sums(x: np.ndarray, y: np.ndarray, x_weights: np.ndarray, y_weights: np.ndarray) -> np.ndarray:
    """Return sum_ij v_i w_j k(x_i, y_j) for each pair of rows v, w of the weights (draws, n) and (draws, m)."""
    totals = np.zeros(len(x_weights))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        totals += np.einsum("bm,bm->b", x_weights[:, rows] @ _kernel(x[rows], y), y_weights)
    return totals


def _weighted_within(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the kernel over pairs of different images, for each row of weights (draws, n)."""
    squared = weights**2
    pairs = weights.sum(axis=1) ** 2 - squared.sum(axis=1)
    return (_weighted_sums(x, x, weights, weights) - squared @ _diagonal(x)) / pairs


def weighted(a: np.ndarray, b: np.ndarray, a_weights: np.ndarray, b_weights: np.ndarray) -> np.ndarray:
    """Return MMD^2 of features (n, d) and (m, d) under each row of their weights (draws, n) and (draws, m).

    An image is never paired with itself, not even where its weight says that it was drawn several times: copies of it
    would bias the estimate upwards. The weights of the remaining pairs are normalised to 1. Memory O(draws * m).
    """
    between = _weighted_sums(a, b, a_weights, b_weights) / (a_weights.sum(axis=1) * b_weights.sum(axis=1))
    return _weighted_within(a, a_weights) + _weighted_within(b, b_weights) - 2 * between


def _weights(groups: np.ndarray, draws: int, subsets: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Return weights of n images: all once, then multinomial draws of groups, then random subsets of the given size."""
    n, n_groups = len(groups), groups.max() + 1
    weights = np.zeros((1 + draws + subsets, n))
    weights[0] = 1
    weights[1 : 1 + draws] = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)[:, groups]
    for chosen in weights[1 + draws :]:
        chosen[generator.permutation(n)[:size]] = 1
    return weights


def estimates(
    a: np.ndarray,
    b: np.ndarray,
    seed: int,
    draws: int = DRAWS,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    groups: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Return ``kid`` with its interval and ``kid_subsets`` with its SD, from one pass over the kernel.

    The interval is the percentile bootstrap over both sets, none for fewer than 10 images or groups. ``groups`` are the
    numbers, from 0 on, of the patients (or the like) of ``a`` (n,), which are drawn whole: several images of a patient
    tell less than those of as many patients. Without them, and in ``b``, images are drawn. Close to 0 the interval is
    conservative, since the bootstrap adds to the U-statistic a noise of the same kind as its own; far from 0 it
    covers its 95 %. Subsets have min(size, n, m) images, drawn without replacement.
    """
    a, b = checked(a), checked(b)
    check_same_dim(a, b)
    size = min(size, len(a), len(b))
    owners = np.arange(len(a)) if groups is None else groups, np.arange(len(b))
    draws = draws if min(len(np.unique(of_set)) for of_set in owners) >= MIN_BOOTSTRAP else 0
    generator = np.random.default_rng(seed)
    values = weighted(a, b, *(_weights(of_set, draws, subsets, size, generator) for of_set in owners))
    low, high = np.quantile(values[1 : 1 + draws], [0.025, 0.975]) if draws else (None, None)
    of_subsets = values[1 + draws :]
    return {
        "kid": Estimate(values[0], low, high),
        "kid_subsets": Estimate(of_subsets.mean(), sd=of_subsets.std()),
    }
