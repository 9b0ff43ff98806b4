"""Near copies by perceptual hash: coarse, and independent of every feature space."""

from collections.abc import Sequence

import numpy as np

from radsynth.common.images import downsample
from radsynth.common.perceptual import perceptual_hash
from radsynth.quality.arrays import UndefinedError
from radsynth.quality.memorisation import THRESHOLD_QUANTILE

SIZE = 64
IMAGES = 64  # made small at once
BLOCK = 1024  # hashes compared at once
FLIPS = [(rows, columns) for rows in (np.s_[:], np.s_[::-1]) for columns in (np.s_[:], np.s_[::-1])]


def _hashes(images: np.ndarray, flips: Sequence[tuple[slice, slice]]) -> np.ndarray:
    """Return the hashes of images (n, height, width) in each flip, uint64 (n * flips,)."""
    hashes = []
    for start in range(0, len(images), IMAGES):
        small = np.round(255 * downsample(images[start : start + IMAGES], SIZE)).astype(np.uint8)
        hashes += [perceptual_hash(one[flip]) for one in small.reshape(-1, SIZE, SIZE) for flip in flips]
    return np.array(hashes, dtype=np.uint64)


def hash_distances(images: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return, per uint8 image (n, height, width), the fewest of 64 bits (n,) that differ from a training image's hash.

    Training images (m, height, width), m >= 1, are also mirrored and turned by 180 degrees.
    """
    if not len(training):
        raise UndefinedError("needs at least 1 training image, found 0")
    hashes, known = _hashes(images, FLIPS[:1]), _hashes(training, FLIPS)
    nearest = np.full(len(images), 64, np.uint8)
    for start in range(0, len(known), BLOCK):
        for row in range(0, len(hashes), BLOCK):
            rows = slice(row, row + BLOCK)
            differing = np.bitwise_count(hashes[rows, None] ^ known[start : start + BLOCK])
            np.minimum(nearest[rows], differing.min(axis=1), out=nearest[rows])
    return nearest.astype(int)


def hash_threshold(distances: np.ndarray) -> float:
    """Return the most bits that at most THRESHOLD_QUANTILE of the distances of held-out reals (n,) stay within; n >= 2.

    Bits are whole numbers with many ties, of which a plain quantile would let all pass. UndefinedError where more
    held-out reals than that have a training image's very hash: it then tells nothing of copies.
    """
    if len(distances) < 2:
        raise UndefinedError(f"needs at least 2 held-out images for a threshold, found {len(distances)}")
    bits = np.sort(distances)[int(THRESHOLD_QUANTILE * len(distances))] - 1
    if bits < 0:
        raise UndefinedError("too many held-out images have the hash of a training image")
    return float(bits)
