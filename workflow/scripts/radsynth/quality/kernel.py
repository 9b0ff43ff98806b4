"""Kernel distance: the unbiased squared maximum mean discrepancy; on Inception features KID (Binkowski et al. 2018).

Demystifying MMD GANs, section 4: kernel (x.y / d + 1)^3. The full U-statistic is the headline; the papers' mean over
random subsets stands beside it. Its mean is 0 for equal distributions: half of such values are negative, and stay so.
Images of one patient resemble each other: pairs of them would make a set look narrower than its distribution is, and
the distance too large, so pairs within a set are of different patients (groups).
"""

from dataclasses import dataclass

import numpy as np

from radsynth.quality.arrays import Estimate, UndefinedError, check_same_dim, checked

BLOCK = 512  # rows of the kernel matrix held at once
DRAWS = 1000  # bootstrap draws behind the interval
MIN_BOOTSTRAP = 10  # patients or images on either side; with fewer, draws of a single repeated one would count
SUBSETS, SUBSET_SIZE = 100, 1000


@dataclass(frozen=True)
class KernelSample:
    """Features (n, d) and the mean of the kernel over the pairs of images of different groups."""

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


def _within_groups(x: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums over the pairs of one group (an image with itself, too), for each row of weights (draws, n).

    The first sum is that of v_i v_j k(x_i, x_j), the second that of v_i v_j.
    """
    squared = weights**2
    kernels, counts = squared @ _diagonal(x), squared.sum(axis=1)
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(groups[order]))[:-1]):
        if len(members) > 1:
            own, of_group = weights[:, members], _kernel(x[members], x[members])
            np.fill_diagonal(of_group, 0)
            kernels += np.einsum("bi,bi->b", own @ of_group, own)
            counts += own.sum(axis=1) ** 2 - squared[:, members].sum(axis=1)
    return kernels, counts


def _groups(features: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return group numbers (n,), each image its own where none are given; UndefinedError for fewer than two groups."""
    if groups is None:
        return np.arange(len(features))
    if len(np.unique(groups)) < 2:
        raise UndefinedError(f"needs images of at least 2 patients on either side, found {len(np.unique(groups))}")
    return groups


def statistics(features: np.ndarray, groups: np.ndarray | None = None) -> KernelSample:
    """Return the sample's own part of the distance; features (n, d), n >= 2, of at least two ``groups`` (n,)."""
    features = checked(features)
    groups = _groups(features, groups)
    n = len(features)
    total = 0.0
    for start in range(0, n, BLOCK):
        block = features[start : start + BLOCK]
        # The kernel is symmetric: what lies right of the diagonal block counts twice.
        total += float(_kernel(block, block).sum()) + 2 * float(_kernel(block, features[start + BLOCK :]).sum())
    (own,), (pairs,) = _within_groups(features, groups, np.ones((1, n)))
    return KernelSample(features, (total - own) / (n * n - pairs))


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


def _weighted_within(x: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the kernel over pairs of different groups, for each row of weights (draws, n).

    NaN where a row leaves a single group.
    """
    own, pairs = _within_groups(x, groups, weights)
    pairs = weights.sum(axis=1) ** 2 - pairs
    return (_weighted_sums(x, x, weights, weights) - own) / np.where(pairs > 0, pairs, np.nan)


def weighted(
    a: np.ndarray,
    b: np.ndarray,
    a_weights: np.ndarray,
    b_weights: np.ndarray,
    a_groups: np.ndarray | None = None,
    b_groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return MMD^2 of features (n, d) and (m, d) under each row of their weights (draws, n) and (draws, m).

    An image is never paired with itself, not even where its weight says that it was drawn several times, nor with
    another of its group: copies of it, and images like it, would bias the estimate upwards. The weights of the
    remaining pairs are normalised to 1; NaN where none remains. Memory O(draws * m).
    """
    between = _weighted_sums(a, b, a_weights, b_weights) / (a_weights.sum(axis=1) * b_weights.sum(axis=1))
    within = _weighted_within(a, _groups(a, a_groups), a_weights) + _weighted_within(b, _groups(b, b_groups), b_weights)
    return within - 2 * between


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
    b_groups: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """Return ``kid`` with its interval and ``kid_subsets`` with its SD, from one pass over the kernel.

    ``groups`` are the numbers, from 0 on, of the patients (or the like) of ``a`` (n,), ``b_groups`` those of ``b``;
    each image is its own without them. The interval is the percentile bootstrap over both sets, none for fewer than 10
    images or groups; groups are drawn whole: several images of a patient tell less than those of as many patients.
    Close to 0 the interval is conservative, since the bootstrap adds to the U-statistic a noise of the same kind as its
    own; far from 0 it covers its 95 %. Subsets have min(size, n, m) images, drawn without replacement; those of a
    single group are left out.
    """
    a, b = checked(a), checked(b)
    check_same_dim(a, b)
    size = min(size, len(a), len(b))
    owners = _groups(a, groups), _groups(b, b_groups)
    draws = draws if min(len(np.unique(of_set)) for of_set in owners) >= MIN_BOOTSTRAP else 0
    generator = np.random.default_rng(seed)
    values = weighted(a, b, *(_weights(of_set, draws, subsets, size, generator) for of_set in owners), *owners)
    low, high = np.quantile(values[1 : 1 + draws], [0.025, 0.975]) if draws else (None, None)
    of_subsets = values[1 + draws :]
    of_subsets = of_subsets[np.isfinite(of_subsets)]
    if not len(of_subsets):
        raise UndefinedError(f"no random subset of {size} images has two patients")
    return {
        "kid": Estimate(values[0], low, high),
        "kid_subsets": Estimate(of_subsets.mean(), sd=of_subsets.std()),
    }
