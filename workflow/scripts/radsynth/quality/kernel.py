"""Kernel distance: the unbiased squared maximum mean discrepancy; on Inception features KID (Binkowski et al. 2018).

Demystifying MMD GANs, section 4: kernel (x.y / d + 1)^3. The full U-statistic is the headline; the papers' mean over
random subsets stands beside it. Its mean is 0 for equal distributions: half of such values are negative, and stay so.
Images of one patient resemble each other: pairs of them would make a set look narrower than its distribution is, and
the distance too large, so pairs within a set are of different patients (groups).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from radsynth.quality.metric import LOWER, Estimate, Meaning, OfSets, UndefinedError, blocks, check_same_dim, checked

BLOCK = 1024  # rows and columns of the kernel matrix held at once
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
    return (np.einsum("ij,ij->i", features, features) / features.shape[1] + 1) ** 3


def _upper(n: int) -> Iterator[tuple[slice, slice, int]]:
    """Yield the blocks (rows, columns) of a symmetric matrix on and above its diagonal, and how often each counts."""
    for rows in blocks(n, BLOCK):
        for columns in blocks(n, BLOCK):
            if columns.start >= rows.start:
                yield rows, columns, 1 if columns == rows else 2


def _within_groups(x: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums over the pairs of one group (an image with itself, too), for each row of weights (draws, n).

    The first sum is that of v_i v_j k(x_i, x_j), the second that of v_i v_j.
    """
    diagonal, kernels, counts = _diagonal(x), np.zeros(len(weights)), np.zeros(len(weights))
    for columns in blocks(len(x), BLOCK):
        squared = weights[:, columns].astype(np.float64) ** 2
        kernels += squared @ diagonal[columns]
        counts += squared.sum(axis=1)
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.cumsum(np.bincount(groups[order]))[:-1]):
        if len(members) > 1:
            own, of_group = weights[:, members].astype(np.float64), _kernel(x[members], x[members])
            np.fill_diagonal(of_group, 0)
            kernels += np.einsum("bi,bi->b", own @ of_group, own)
            counts += own.sum(axis=1) ** 2 - (own**2).sum(axis=1)
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
    total = sum(times * float(_kernel(features[rows], features[columns]).sum()) for rows, columns, times in _upper(n))
    (own,), (pairs,) = _within_groups(features, groups, np.ones((1, n)))
    return KernelSample(features, (total - own) / (n * n - pairs))


def value(a: KernelSample, b: KernelSample) -> float:
    """Return the full U-statistic of MMD^2."""
    check_same_dim(a.features, b.features)
    sums = (
        float(_kernel(a.features[rows], b.features[columns]).sum())
        for rows in blocks(len(a.features), BLOCK)
        for columns in blocks(len(b.features), BLOCK)
    )
    return a.within + b.within - 2 * sum(sums) / (len(a.features) * len(b.features))


def _weighted_sums(x: np.ndarray, y: np.ndarray, x_weights: np.ndarray, y_weights: np.ndarray) -> np.ndarray:
    """Return sum_ij v_i w_j k(x_i, y_j) for each pair of rows v, w of the weights (draws, n) and (draws, m)."""
    totals = np.zeros(len(x_weights))
    for rows in blocks(len(x), BLOCK):
        v = x_weights[:, rows].astype(np.float64)
        for columns in blocks(len(y), BLOCK):
            w = y_weights[:, columns].astype(np.float64)
            totals += np.einsum("bm,bm->b", v @ _kernel(x[rows], y[columns]), w)
    return totals


def _weighted_within(x: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the kernel over pairs of different groups, for each row of weights (draws, n).

    An image is never paired with itself, not even where its weight says that it was drawn several times: copies of it,
    and images like it, would bias the estimate upwards. The weights of the remaining pairs are normalised to 1; NaN
    where a row leaves a single group.
    """
    total = np.zeros(len(weights))
    for rows, columns, times in _upper(len(x)):
        v, w = (weights[:, part].astype(np.float64) for part in (rows, columns))
        total += times * np.einsum("bm,bm->b", v @ _kernel(x[rows], x[columns]), w)
    return _apart(x, groups, weights, total)


def _apart(x: np.ndarray, groups: np.ndarray, weights: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the weighted means over pairs of different groups, given the sums (draws,) over all pairs."""
    own, pairs = _within_groups(x, groups, weights)
    pairs = weights.sum(axis=1, dtype=np.float64) ** 2 - pairs
    return (total - own) / np.where(pairs > 0, pairs, np.nan)


def _subsets(chosen: np.ndarray, n: int, count: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Return weights (count, n) of random subsets of ``size`` of the images ``chosen``."""
    weights = np.zeros((count, n), np.uint8)
    for row in weights:
        row[chosen[generator.permutation(len(chosen))[:size]]] = 1
    return weights


class Resampled:
    """One set of images, drawn again and again, and the kernel within each draw.

    ``features`` (n, d), n >= 2; ``groups`` (n,) are the numbers, from 0 on, of the patients (or the like), each image
    its own without them. Draws are of whole groups, since several images of a patient tell less than those of as many
    patients; none for fewer than 10. Sets that are compared need different seeds. What concerns this set alone is
    computed once, whatever it is compared with.
    """

    def __init__(
        self,
        features: np.ndarray,
        seed: int,
        groups: np.ndarray | None = None,
        draws: int = DRAWS,
        subsets: int = SUBSETS,
    ):
        self.features = checked(features)
        self.groups, self.seed, self.subsets = _groups(self.features, groups), seed, subsets
        self.draws = draws if len(np.unique(self.groups)) >= MIN_BOOTSTRAP else 0
        self._weights: dict[int, np.ndarray] = {}
        # Means of the kernel within each draw, by the size of the subsets: to be kept, and given back.
        self.known: dict[int, np.ndarray] = {}

    def weights(self, size: int) -> np.ndarray:
        """Return (1 + draws + subsets, n): all images once, draws of groups, random subsets of a size."""
        if size not in self._weights:
            generator, n, n_groups = np.random.default_rng(self.seed), len(self.features), self.groups.max() + 1
            drawn = np.empty((self.draws, n), np.uint16)
            for row in drawn:
                row[:] = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups))[self.groups]
            subsets = _subsets(np.arange(n), n, self.subsets, size, generator)
            self._weights = {size: np.concatenate([np.ones((1, n), np.uint16), drawn, subsets])}
        return self._weights[size]

    def within(self, size: int) -> np.ndarray:
        """Return the mean of the kernel over pairs of different groups, under each row of ``weights``."""
        if size not in self.known:
            self.known[size] = _weighted_within(self.features, self.groups, self.weights(size))
        return self.known[size]

    def rows(self, draws: int) -> np.ndarray:
        """Return the rows of ``weights`` where only so many draws are wanted."""
        return np.r_[: 1 + draws, 1 + self.draws : 1 + self.draws + self.subsets]


def subset_size(n: int, m: int) -> int:
    """Return the size of the random subsets of two sets of n and m images."""
    return min(SUBSET_SIZE, n, m)


def estimates(a: Resampled, b: Resampled) -> dict[str, Estimate]:
    """Return ``kid`` with its interval and ``kid_subsets`` with its SD, from one pass over the kernel.

    The interval is the percentile bootstrap over both sets, none where one has no draws. Close to 0 it is conservative,
    since the bootstrap adds to the U-statistic a noise of the same kind as its own; far from 0 it covers its 95 %.
    Subsets have ``subset_size`` images, drawn without replacement; those of a single group are left out.
    """
    check_same_dim(a.features, b.features)
    size, draws = subset_size(len(a.features), len(b.features)), min(a.draws, b.draws)
    v, w = (sample.weights(size)[sample.rows(draws)] for sample in (a, b))
    between = _weighted_sums(a.features, b.features, v, w)
    between /= v.sum(axis=1, dtype=np.float64) * w.sum(axis=1, dtype=np.float64)
    within = sum(sample.within(size)[sample.rows(draws)] for sample in (a, b))
    return _estimated(within - 2 * between, draws, size)


def _estimated(values: np.ndarray, draws: int, size: int) -> dict[str, Estimate]:
    """Return ``kid`` and ``kid_subsets`` from the values of all images, of the draws, and of the subsets."""
    low, high = np.quantile(values[1 : 1 + draws], [0.025, 0.975]) if draws else (None, None)
    of_subsets = values[1 + draws :]
    of_subsets = of_subsets[np.isfinite(of_subsets)]
    if not len(of_subsets):
        raise UndefinedError(f"no random subset of {size} images has two patients")
    return {
        "kid": Estimate(values[0], low, high),
        "kid_subsets": Estimate(of_subsets.mean(), sd=of_subsets.std()),
    }


def of_parts(
    features: np.ndarray,
    groups: np.ndarray,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
    subsets: int = SUBSETS,
) -> list[Callable[[], dict[str, Estimate]]]:
    """Return what ``estimates`` says of pairs of parts of one set, without draws, each by a call.

    ``features`` (n, d), ``groups`` (n,), ``parts`` pairs of index arrays, one or more. One pass over the kernel
    serves all pairs: O(n^2 (d + subsets * pairs)) time, O(n * subsets * pairs) bytes.
    """
    features = checked(features)
    generator, n, sizes = np.random.default_rng(seed), len(features), [subset_size(*map(len, pair)) for pair in parts]
    sides = []
    for side in range(2):
        rows = []
        for pair, of_subset in zip(parts, sizes, strict=True):
            whole = np.zeros((1, n), np.uint8)
            whole[0, pair[side]] = 1
            rows += [whole, _subsets(pair[side], n, subsets, of_subset, generator)]
        sides.append(np.concatenate(rows))
    a, b = sides
    of_a, of_b, between = np.zeros((3, len(a)))
    for rows, columns, times in _upper(n):
        block = _kernel(features[rows], features[columns])
        for part in blocks(len(a), BLOCK):
            (v, w), (v_beside, w_beside) = (
                [side[part, place].astype(np.float64) for side in (a, b)] for place in (rows, columns)
            )
            along, across = v @ block, w @ block
            of_a[part] += times * np.einsum("bm,bm->b", along, v_beside)
            of_b[part] += times * np.einsum("bm,bm->b", across, w_beside)
            between[part] += np.einsum("bm,bm->b", along, w_beside)
            if times == 2:
                between[part] += np.einsum("bm,bm->b", across, v_beside)
    between /= a.sum(axis=1, dtype=np.float64) * b.sum(axis=1, dtype=np.float64)
    values = _apart(features, groups, a, of_a) + _apart(features, groups, b, of_b) - 2 * between
    return [partial(_of_pair, *pair) for pair in zip(np.split(values, len(parts)), sizes, strict=True)]


def _of_pair(values: np.ndarray, size: int) -> dict[str, Estimate]:
    if np.isnan(values[0]):
        raise UndefinedError("needs images of at least 2 patients on either side, found 1")
    return _estimated(values, 0, size)


KID = OfSets("kid", "distance", lambda meeting: meeting.kernel["kid"], Meaning("KID", LOWER, decimals=4))
KID_SUBSETS = OfSets(
    "kid_subsets",
    "distance",
    lambda meeting: meeting.kernel["kid_subsets"],
    Meaning("KID, subsets", LOWER, decimals=4),
)
