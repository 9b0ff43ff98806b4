"""Manifold metrics between parts of one set, for many pairs of parts from one pass over its distances.

A ball of the k-th neighbour within a part, and all that it holds of another part, lies among an image's nearest
neighbours in the whole set: lists of these give the metrics of manifold.py exactly.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from radsynth.quality.arrays import UndefinedError, blocks, checked
from radsynth.quality.manifold import K_COVERAGE, K_PRECISION
from radsynth.quality.neighbours import TIE, block_rows, nearest_others
from radsynth.quality.rows import estimated

LISTED = 256  # nearest neighbours of each image that are kept; where these are too few, distances are measured again
ROWS = 4096  # images whose lists are looked at at once


class Neighbourhoods:
    """The nearest neighbours of each image of a set with features (n, d), n >= 2. Memory O(n)."""

    def __init__(self, features: np.ndarray):
        features = checked(features)
        self.centred = features - features.mean(axis=0)
        self.norms = np.sum(self.centred**2, axis=1)
        self.tie = TIE * self.norms.max()
        count = min(LISTED, len(features) - 1)
        self.nearest = np.empty((len(features), count), np.int32)
        self.squares = np.empty(self.nearest.shape)
        everything = np.arange(len(features))
        for block in blocks(len(features), block_rows(len(features))):
            rows = everything[block]
            self.nearest[rows], self.squares[rows] = nearest_others(self.centred, self.norms, rows, count)

    def manifold(self, a: np.ndarray, b: np.ndarray) -> dict[str, dict[str, Any]]:
        """Return what is known of the manifold metrics of candidates ``b`` among the reference ``a``, index arrays."""

        @cache
        def of_reference(k: int) -> tuple[np.ndarray, np.ndarray]:
            return self._balls(a, b, k)

        return {
            "precision": estimated(lambda: (of_reference(K_PRECISION)[0] > 0).mean()),
            "recall": estimated(lambda: (self._balls(b, a, K_PRECISION)[0] > 0).mean()),
            "density": estimated(lambda: of_reference(K_COVERAGE)[0].mean() / K_COVERAGE),
            "coverage": estimated(lambda: of_reference(K_COVERAGE)[1].mean()),
        }

    def _balls(self, part: np.ndarray, other: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how many balls of ``part`` hold each image of ``other``, and which balls hold any.

        Balls go to the k-th neighbour within the part. UndefinedError as of ``Points.radii``.
        """
        n = len(self.centred)
        if len(part) <= k:
            raise UndefinedError(f"needs more than {k} images on either side, found {len(part)}")
        inside, outside = np.zeros((2, n), bool)
        inside[part], outside[other] = True, True
        holding, held = np.zeros(n, int), np.zeros(len(part), bool)
        for places, nearest, squares in self._lists(part, inside, k):
            kth = (np.cumsum(inside[nearest], axis=1) >= k).argmax(axis=1)
            radii = squares[np.arange(len(places)), kth]
            if (radii <= self.tie).any():
                raise UndefinedError(f"an image with {k} identical others: a ball without size")
            hits = outside[nearest] & (squares < radii[:, None] - self.tie)
            holding += np.bincount(nearest[hits], minlength=n)
            held[places] = hits.any(axis=1)
        return holding[other], held

    def _lists(
        self, part: np.ndarray, inside: np.ndarray, k: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield places in ``part``, and their nearest images and squared distances, among which k are of the part."""
        for block in blocks(len(part), ROWS):
            places = np.arange(block.start, block.stop)
            nearest, squares = self.nearest[part[places]], self.squares[part[places]]
            enough = np.count_nonzero(inside[nearest], axis=1) >= k
            yield places[enough], nearest[enough], squares[enough]
            missing = places[~enough]
            for again in (missing[block] for block in blocks(len(missing), block_rows(len(inside)))):
                yield again, *nearest_others(self.centred, self.norms, part[again], len(inside) - 1)
