"""How unusual is a very small distance? Extrapolation below the smallest one that was seen where nothing is hidden.

The share of distances below x falls like a power of x as x goes to 0: as x^d for images in d dimensions. Below a small
quantile u the excess log(u / x) is therefore exponential (Hill 1975, A simple general approach to inference about the
tail of a distribution; Weissman 1978, Estimation of parameters and large quantiles based on the k largest
observations). With the mean excess H of the k smallest of n distances, the chance that one more lies below x is
(k + 1) / (n + 1) (1 + log(u / x) / (k H))^-k, which allows for what k spacings alone cannot say of u and H. Where the
power still grows towards 0, as from the quantiles to the extremes of most distances, the chance is smaller than that.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

SHARE = 0.1  # of the distances, the smallest ones, that make the tail
FEWEST = 20  # of them at least, as far as a third of all allows
#: Distances without which there is no tail: three of ten.
LEAST = 10


def _size(n: int) -> int:
    """Return how many of n distances make the tail."""
    return max(int(SHARE * n), min(n // 3, FEWEST))


@dataclass(frozen=True)
class LowerTail:
    """The smallest of ``n`` distances: the ``k`` below ``limit`` have the mean excess log(limit / x) ``excess``."""

    n: int
    k: int
    limit: float
    excess: float

    @classmethod
    def of(cls, distances: np.ndarray) -> "LowerTail | None":
        """Return the tail of distances (n,) >= 0; None for fewer than 10, or where the smallest of them are 0 or equal.

        They should be independent: of images of one patient take the smallest.
        """
        ordered = np.sort(np.asarray(distances, dtype=np.float64))
        if len(ordered) < LEAST:
            return None
        k = _size(len(ordered))
        limit, below = ordered[k], ordered[:k]
        if below[0] <= 0 or below[0] == limit:
            return None
        return cls(len(ordered), k, float(limit), float(np.mean(np.log(limit / below))))

    def chances(self, distances: np.ndarray) -> np.ndarray:
        """Return, per distance (m,) >= 0, the chance (m,) that one of the same law is as small; 1 above the tail."""
        distances = np.asarray(distances, dtype=np.float64)
        beyond = np.log(self.limit / np.maximum(distances, np.finfo(float).tiny))
        chances = (self.k + 1) / (self.n + 1) * (1 + np.maximum(beyond, 0) / (self.k * self.excess)) ** -self.k
        return np.where(beyond < 0, 1.0, np.where(distances > 0, chances, 0.0))

    def reach(self, chance: float) -> float:
        """Return the largest distance whose chance is at most ``chance``, one below (k + 1) / (n + 1)."""
        ratio = (self.k + 1) / (self.n + 1) / chance
        return self.limit * float(np.exp(-self.k * self.excess * (ratio ** (1 / self.k) - 1)))

    def needed(self, distance: float, chance: float) -> float:
        """Return about how many distances of this tail would give ``distance`` that ``chance``; infinite if none."""
        for n in (round(LEAST * 1.25**step) for step in range(45)):
            k = _size(n)
            limit = self.limit * ((k + 1) / (n + 1) * (self.n + 1) / (self.k + 1)) ** self.excess
            if LowerTail(n, k, limit, self.excess).reach(chance) >= distance:
                return n
        return float("inf")

    def described(self) -> dict[str, Any]:
        """Return the four numbers, JSON-serialisable: ``LowerTail(**described)`` is the same tail."""
        return asdict(self)
