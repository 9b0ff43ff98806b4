"""One pass over the distances between two sets of features: nearest images, and balls up to the k-th neighbour.

The balls answer whether the images are realistic, and whether they cover the reals. Precision and recall: Kynkaanniemi
et al. 2019, Improved precision and recall metric for assessing generative models, equations 1 and 2, k = 3. Density and
coverage: Naeem et al. 2020, Reliable fidelity and diversity metrics for generative models, equations 4 and 5, k = 5.
Like theirs (package prdc), a ball does not hold its surface. All raise UndefinedError where a set whose balls are asked
for has no more than k images, or k + 1 identical ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from radsynth.quality import frechet
from radsynth.quality.metric import HIGHER, Meaning, OfSets, UndefinedError, check_same_dim, checked

WITHIN = 5  # nearest others of the same set whose distances are kept
NEIGHBOURS = 50  # nearest images of the reference set that a distance is taken relative to
BLOCK = 512  # rows of the distance matrix held at once, fewer where that is more than CELLS numbers
CELLS = 2**25
# Squared distances that differ by less than this share of the largest squared norm are equal but for rounding.
TIE = 1e-12
K_PRECISION = 3
K_COVERAGE = 5


def _squares(x: np.ndarray, y: np.ndarray, y_norms: np.ndarray) -> np.ndarray:
    """Return the squared distances (n, m) of rows of x to rows of y."""
    squares = x @ y.T
    squares *= -2
    squares += y_norms
    squares += np.sum(x**2, axis=1, keepdims=True)
    return squares


def block_rows(n: int) -> int:
    """Return how many rows of n distances are held at once."""
    return max(1, min(BLOCK, CELLS // n))


def nearest_others(
    centred: np.ndarray, norms: np.ndarray, rows: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices (m, count) of the nearest other images to the images ``rows`` (m,), and squared distances.

    Ascending. ``centred`` (n, d) are features with mean 0, ``norms`` (n,) their squared norms.
    """
    squares = _squares(centred[rows], centred, norms)
    squares[np.arange(len(rows)), rows] = np.inf
    chosen = np.argpartition(squares, count - 1, axis=1)[:, :count]
    found = np.take_along_axis(squares, chosen, axis=1)
    order = np.argsort(found, axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1), np.take_along_axis(found, order, axis=1)


class Points:
    """Features (n, d) of one set, finite, its Gaussian, and the distances of each image to its nearest others in it."""

    def __init__(self, features: np.ndarray):
        self.features = checked(features, minimum=0)

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def within(self) -> np.ndarray:
        """Distances (n, min(WITHIN, n - 1)) to the nearest others, ascending; exactly 0 for identical images."""
        n = len(self)
        count = min(WITHIN, n - 1)
        centred = self.features - self.features.mean(axis=0)  # small numbers keep their digits in the expanded square
        norms = np.sum(centred**2, axis=1)
        within = np.empty((n, count))
        size = block_rows(max(n, 1))
        for start in range(0, n if count else 0, size):
            block = centred[start : start + size]
            squares = _squares(block, centred, norms)
            squares[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
            squares.partition(count - 1, axis=1)
            within[start : start + size] = np.sort(squares[:, :count], axis=1)
        return np.sqrt(np.where(within <= TIE * norms.max(initial=0), 0, within))

    @cached_property
    def gaussian(self) -> frechet.Gaussian:
        """Mean and covariance; UndefinedError for fewer than 2 images."""
        return frechet.statistics(self.features)

    def radii(self, k: int) -> np.ndarray:
        """Return the distance (n,) of each image to its k-th nearest other; UndefinedError unless all are positive."""
        if len(self) <= k:
            raise UndefinedError(f"needs more than {k} images on either side, found {len(self)}")
        radii = self.within[:, k - 1]
        if not radii.all():
            raise UndefinedError(f"an image with {k} identical others: a ball without size")
        return radii


@dataclass(frozen=True)
class Encounter:
    """How candidates (m images) lie among a reference set (n images).

    ``nearest`` (m,): index of the nearest reference image; ``distance`` (m,): distance to it; ``relative`` (m,): the
    same over the mean distance to the nearest 50 reference images (all, if there are fewer), in [0, 1].
    ``closest`` (n,): squared distance of each reference image to its nearest candidate. ``tie``: squares that differ by
    less are equal. ``within_balls`` and ``in_reach``, by k, are what ``holding`` and ``reached`` return.
    """

    reference: Points
    candidate: Points
    nearest: np.ndarray
    distance: np.ndarray
    relative: np.ndarray
    closest: np.ndarray
    tie: float
    within_balls: dict[int, np.ndarray] = field(default_factory=dict)
    in_reach: dict[int, np.ndarray] = field(default_factory=dict)

    def holding(self, k: int) -> np.ndarray:
        """Return how many reference images' balls, to their k-th neighbour, hold each candidate (m,)."""
        self.reference.radii(k)
        return self.within_balls[k]

    def reached(self, k: int) -> np.ndarray:
        """Return whether some candidate's ball holds the reference image (n,)."""
        self.candidate.radii(k)
        return self.in_reach[k]

    def covered(self, k: int) -> np.ndarray:
        """Return whether the reference image's ball holds some candidate (n,)."""
        return self.closest < self.reference.radii(k) ** 2 - self.tie


def _squared_radii(points: Points, ks: Sequence[int]) -> dict[int, np.ndarray]:
    found = {}
    for k in ks:
        try:
            found[k] = points.radii(k) ** 2
        except UndefinedError:
            continue
    return found


def encounter(reference: Points, candidate: Points, ks: Sequence[int] = ()) -> Encounter:
    """Return how the candidates lie among the reference set; balls of the k-th neighbour for each of ``ks``.

    UndefinedError if either set is empty.
    """
    if not (len(reference) and len(candidate)):
        raise UndefinedError("needs at least 1 image on either side, found 0")
    check_same_dim(reference.features, candidate.features)
    centre = reference.features.mean(axis=0)
    y, x = reference.features - centre, candidate.features - centre
    norms = np.sum(y**2, axis=1)
    tie = TIE * max(norms.max(), np.sum(x**2, axis=1).max())
    count = min(NEIGHBOURS, len(y))
    nearest, distance, relative = np.empty(len(x), int), np.empty(len(x)), np.empty(len(x))
    closest = np.full(len(y), np.inf)
    own, others = _squared_radii(reference, ks), _squared_radii(candidate, ks)
    inside = {k: np.empty(len(x), int) for k in own}
    reached = {k: np.zeros(len(y), bool) for k in others}
    size = block_rows(len(y))
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        squares = _squares(x[rows], y, norms)
        np.minimum(closest, squares.min(axis=0), out=closest)
        # A ball does not hold its surface: strictly less, beyond rounding.
        for k, radii in own.items():
            inside[k][rows] = np.count_nonzero(squares < radii - tie, axis=1)
        for k, radii in others.items():
            reached[k] |= (squares < radii[rows, None] - tie).any(axis=0)
        nearest[rows] = squares.argmin(axis=1)
        # From the difference itself, so that rounding cannot hide a copy.
        distance[rows] = np.linalg.norm(x[rows] - y[nearest[rows]], axis=1)
        squares.partition(count - 1, axis=1)
        neighbours = np.sqrt(np.clip(squares[:, :count], 0, None)).mean(axis=1)
        relative[rows] = distance[rows] / np.maximum(neighbours, np.finfo(float).tiny)
    return Encounter(reference, candidate, nearest, distance, relative, closest, tie, inside, reached)


class Balls(Protocol):
    """How the balls of two sets hold each other's images: an Encounter, or two parts of one set (samples.py)."""

    def holding(self, k: int) -> np.ndarray: ...
    def reached(self, k: int) -> np.ndarray: ...
    def covered(self, k: int) -> np.ndarray: ...


def precision(balls: Balls, k: int = K_PRECISION) -> float:
    """Return the share of candidates inside the ball of at least one reference image."""
    return float((balls.holding(k) > 0).mean())


def recall(balls: Balls, k: int = K_PRECISION) -> float:
    """Return the share of reference images inside the ball of at least one candidate."""
    return float(balls.reached(k).mean())


def density(balls: Balls, k: int = K_COVERAGE) -> float:
    """Return the mean number of reference images' balls that hold a candidate, over k; it may exceed 1."""
    return float(balls.holding(k).mean() / k)


def coverage(balls: Balls, k: int = K_COVERAGE) -> float:
    """Return the share of reference images whose ball holds at least one candidate."""
    return float(balls.covered(k).mean())


PRECISION, RECALL, COVERAGE = (
    OfSets(formula.__name__, "manifold", formula, Meaning(formula.__name__, HIGHER, decimals=2), lowest=0, highest=1)
    for formula in (precision, recall, coverage)
)
DENSITY = OfSets("density", "manifold", density, Meaning("density", HIGHER, decimals=2), lowest=0)
