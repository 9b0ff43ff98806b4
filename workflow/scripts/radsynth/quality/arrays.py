"""What every distance asks of its features."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A metric's value, the ends of its 95 % interval, and its standard deviation over subsets, pairs or images."""

    value: float
    low: float | None = None
    high: float | None = None
    sd: float | None = None


class UndefinedError(ValueError):
    """A metric has no value for this input, for instance with a single image. The message is the reason."""


def checked(features: np.ndarray, minimum: int = 2) -> np.ndarray:
    """Return features (n, d) as float64; UndefinedError if n < ``minimum``, ValueError if not finite or not 2-d."""
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2:
        raise ValueError(f"features of shape {features.shape}, expected (n, d)")
    if len(features) < minimum:
        raise UndefinedError(f"needs at least {minimum} images on either side, found {len(features)}")
    if not np.isfinite(features).all():
        raise ValueError("features that are not finite")
    return features


def check_same_dim(a: np.ndarray, b: np.ndarray) -> None:
    """Raise ValueError unless both feature arrays, (n, d), have the same d."""
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of {a.shape[1]} and {b.shape[1]} dimensions cannot be compared")


def blocks(n: int, size: int) -> Iterator[slice]:
    """Yield slices of at most ``size`` that make up n."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
