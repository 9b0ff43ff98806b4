"""Perceptual hashes: images that look alike differ in few bits."""

import numpy as np
from scipy.fft import dctn

HASH_SIDE = 8


def perceptual_hash(thumbnail: np.ndarray) -> np.uint64:
    """Return the 64-bit DCT hash of a uint8 thumbnail: signs of its 8 x 8 lowest frequencies around their median."""
    low = dctn(thumbnail.astype(np.float32), norm="ortho")[:HASH_SIDE, :HASH_SIDE].ravel()
    return np.packbits(low > np.median(low)).view(np.uint64)[0]
