"""Images that repeat others to the pixel, and images without content."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from radsynth.quality.arrays import UndefinedError


def exact_copy_rate(hashes: Sequence[str], training: Collection[str]) -> float:
    """Return the share of images whose pixels, by hash, equal a training image's."""
    if not hashes:
        raise UndefinedError("no images")
    training = set(training)
    return sum(digest in training for digest in hashes) / len(hashes)


def duplicate_rate(hashes: Sequence[str]) -> float:
    """Return the share of images whose pixels, by hash, equal those of another image of the same set."""
    if not hashes:
        raise UndefinedError("no images")
    return sum(count for count in Counter(hashes).values() if count > 1) / len(hashes)


def constant_rate(images: np.ndarray) -> float:
    """Return the share of images (n, height, width) with a single gray value."""
    if not len(images):
        raise UndefinedError("no images")
    return float(np.mean(images.min(axis=(1, 2)) == images.max(axis=(1, 2))))
