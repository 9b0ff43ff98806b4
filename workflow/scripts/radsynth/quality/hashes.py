"""Near copies by perceptual hash: coarse, and independent of every feature space."""

import numpy as np

from radsynth.common.images import downsample
from radsynth.common.perceptual import perceptual_hash
from radsynth.quality.arrays import UndefinedError
from radsynth.quality.memorisation import THRESHOLD_QUANTILE

SIZE = 64
BLOCK = 512


def _hashes(thumbnails: np.ndarray) -> np.ndarray:
    return np.array([perceptual_hash(thumbnail) for thumbnail in thumbnails], dtype=np.uint64)


def hash_distances(images: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return, per uint8 image (n, height, width), the fewest of 64 bits (n,) that differ from a training image's hash.

    Training images (m, height, width), m >= 1, are also mirrored and turned by 180 degrees.
    """
    if not len(training):
        raise UndefinedError("needs at least 1 training image, found 0")
    small, known = (
        np.round(255 * downsample(stack, SIZE)).reshape(-1, SIZE, SIZE).astype(np.uint8) for stack in (images, training)
    )
    flips = (known, known[:, ::-1], known[:, :, ::-1], known[:, ::-1, ::-1])
    hashes, known_hashes = _hashes(small), np.concatenate([_hashes(flip) for flip in flips])
    nearest = np.empty(len(images), int)
    for start in range(0, len(images), BLOCK):
        differing = np.bitwise_count(hashes[start : start + BLOCK, None] ^ known_hashes)
        nearest[start : start + BLOCK] = differing.min(axis=1)
    return nearest


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
