"""How well what is read off images agrees with what they should show, beside chance; with draws behind intervals.

Chance is what agreement would be if the values were dealt anew among the images of the same label: a pool that heeds
its label alone shows every attribute that goes with the label, and no more than this. Whatever is measured here is
resampled by groups of images that belong together (patients), and the excess over chance with it.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, random_table, rankdata
from scipy.stats import t as student

DRAWS = 1000  # of groups, behind an interval, and deals of the values, behind a p-value


@dataclass(frozen=True)
class Measured:
    """A mean agreement or contrast of n images in ``n_groups`` groups.

    ``value`` and ``chance`` as of the module; ``excess`` (draws,): value minus chance of groups drawn with replacement;
    ``dealt`` (draws,): the values after deals, empty for sets that need no p-value.
    """

    value: float
    chance: float
    excess: np.ndarray
    dealt: np.ndarray
    n: int
    n_groups: int

    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the excess over chance, set upon chance."""
        low, high = expanded(self.excess, self.n_groups)
        return self.chance + low, self.chance + high

    def p_value(self, direction: int = 1) -> float:
        """Return the share of deals that lie as far above chance (``direction`` 1) or below (-1), this one included."""
        as_far = direction * self.dealt >= direction * self.value - 1e-12
        return float((1 + as_far.sum()) / (1 + len(self.dealt)))


def expanded(draws: np.ndarray, n: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of bootstrap draws (b,) of n groups; (nan, nan) unless all are finite.

    Expanded as of Hesterberg 2015, What teachers should know about the bootstrap, section 5.3: draws of few groups vary
    too little.
    """
    if n < 2 or not np.isfinite(draws).all():
        return math.nan, math.nan
    tail = norm.cdf(student.ppf(0.025, n - 1) * math.sqrt(n / (n - 1)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def drawn(n_groups: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """Return how often each group is in each of so many draws with replacement, float64 (draws, n_groups)."""
    return random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws).astype(float)


def numbered(groups: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the groups (n,) as numbers from 0, and how many there are."""
    names, numbers = np.unique(groups, return_inverse=True)
    return numbers, len(names)


def balanced_accuracy(
    asked: np.ndarray, read: np.ndarray, strata: np.ndarray, groups: np.ndarray, seed: int, draws: int = DRAWS
) -> Measured:
    """Return the mean over the values of the share of images with it, of which it is read.

    ``asked`` and ``read`` (n,) are indices below k, every one of which is asked; ``strata`` (n,) labels among which
    values are dealt; ``groups`` (n,).
    """
    random = np.random.default_rng(seed)
    (strata, n_strata), (groups, n_groups) = numbered(strata), numbered(groups)
    k = int(max(asked.max(), read.max())) + 1
    counts = np.zeros((n_groups, n_strata, k, k))
    np.add.at(counts, (groups, strata, asked, read), 1)
    flat = drawn(n_groups, draws, random) @ counts.reshape(n_groups, -1)
    recall, by_label = _recalls(flat.reshape(draws, n_strata, k, k))
    table = counts.sum(axis=0)
    value, chance = (float(part) for part in _recalls(table))
    dealt = np.zeros((draws, n_strata, k, k))
    for stratum in range(n_strata):
        margins = table[stratum].sum(axis=1).astype(int), table[stratum].sum(axis=0).astype(int)
        dealt[:, stratum] = random_table(*margins).rvs(draws, random_state=random)
    return Measured(value, chance, recall - by_label, _recalls(dealt)[0], len(asked), n_groups)


def _recalls(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean recall, and what it is expected to be after deals, of counts (..., strata, asked, read)."""
    of_value, of_read = counts.sum(axis=-1), counts.sum(axis=-2)
    images = of_value.sum(axis=-1, keepdims=True)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    by_chance = of_value * of_read / np.where(images, images, 1)
    asked = of_value.sum(axis=-2)
    with np.errstate(invalid="ignore"):  # a value that a draw has not: the mean is that of the others
        found, chance = (np.nanmean(part.sum(axis=-2) / asked, axis=-1) for part in (hits, by_chance))
    return found, chance


def rank_correlation(
    asked: np.ndarray, read: np.ndarray, strata: np.ndarray, groups: np.ndarray, seed: int, draws: int = DRAWS
) -> Measured:
    """Return Spearman's correlation of numbers (n,) that are asked and read, otherwise as ``balanced_accuracy``."""
    random = np.random.default_rng(seed)
    (strata, n_strata), (groups, n_groups) = numbered(strata), numbered(groups)
    places = [np.unique(numbers, return_inverse=True)[1] for numbers in (asked, read)]
    value, chance = _correlations(places, strata, n_strata, np.ones(len(asked)))
    excess = [
        np.subtract(*_correlations(places, strata, n_strata, weights[groups]))
        for weights in drawn(n_groups, draws, random)
    ]
    ranks = [rankdata(numbers) - (len(asked) + 1) / 2 for numbers in (asked, read)]
    dealt = np.tile(ranks[0], (draws, 1))
    for stratum in range(n_strata):
        dealt[:, strata == stratum] = random.permuted(dealt[:, strata == stratum], axis=1)
    scale = math.sqrt(ranks[0] @ ranks[0] * (ranks[1] @ ranks[1]))
    return Measured(value, chance, np.array(excess), dealt @ ranks[1] / (scale or math.nan), len(asked), n_groups)


def _correlations(
    places: list[np.ndarray], strata: np.ndarray, n_strata: int, weights: np.ndarray
) -> tuple[float, float]:
    """Return Spearman's correlation, and what it is expected to be after deals; NaN where nothing varies.

    ``places`` are the orders (n,) of two numbers, equal ones together; ``weights`` (n,) how often an image is drawn.
    """
    total, centred = weights.sum(), []
    for place in places:
        counts = np.bincount(place, weights)
        ranks = (np.cumsum(counts) - counts / 2)[place]
        centred.append(ranks - weights @ ranks / total)
    a, b = centred
    scale = math.sqrt((weights @ a**2) * (weights @ b**2))
    if scale == 0:
        return math.nan, math.nan
    images, sums = np.bincount(strata, weights, n_strata), [np.bincount(strata, weights * x, n_strata) for x in (a, b)]
    between = (sums[0] * sums[1] / np.where(images, images, 1)).sum()
    return float((weights * a) @ b / scale), float(between / scale)


def mean_excess(
    values: np.ndarray, chances: np.ndarray, dealt: np.ndarray, groups: np.ndarray, seed: int, draws: int = DRAWS
) -> Measured:
    """Return the mean of ``values`` (n,), whose chance is the mean of ``chances`` (n,); ``dealt`` as of Measured."""
    groups, n_groups = numbered(groups)
    weights = drawn(n_groups, draws, np.random.default_rng(seed))
    excess = (weights @ np.bincount(groups, values - chances)) / (weights @ np.bincount(groups))
    return Measured(float(values.mean()), float(chances.mean()), excess, dealt, len(values), n_groups)
