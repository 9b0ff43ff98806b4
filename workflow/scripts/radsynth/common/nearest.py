"""The nearest of many images, pixel by pixel, in bounded memory."""

import numpy as np

BLOCK = 2**24  # pixels of one set held as floats at once


def nearest_by_pixels(images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return, per uint8 image (n, height, width), the index (n,) of the image of ``known`` of least squared difference.

    ``known`` are uint8 (m, height, width), m >= 1; of equally near ones it is the first.
    """
    flat, others = images.reshape(len(images), -1), known.reshape(len(known), -1)
    centre = others.mean(axis=0, dtype=np.float64).astype(np.float32)  # small numbers keep their digits
    least, nearest = np.full(len(flat), np.inf, np.float32), np.zeros(len(flat), int)
    rows = max(1, BLOCK // flat.shape[1])
    for column in range(0, len(others), rows):
        y = others[column : column + rows] - centre
        norms = np.sum(y**2, axis=1)
        for row in range(0, len(flat), rows):
            part = slice(row, row + rows)
            # The norms of x are left out: they do not change which is nearest.
            squares = norms - 2 * ((flat[part] - centre) @ y.T)
            found = squares.min(axis=1)
            nearer = found < least[part]
            nearest[part] = np.where(nearer, column + squares.argmin(axis=1), nearest[part])
            least[part] = np.where(nearer, found, least[part])
    return nearest
