"""Near copies that were mirrored, cropped, shifted, turned a little, made noisy or re-windowed.

Each training image is looked at in several views: as it is, mirrored or turned by 180 degrees, shifted to all sides and
cropped at several positions, as it is and mirrored. A view is reduced to SIZE x SIZE by area averages and spans, with
its tangents (its derivatives by shift, scale and rotation, taken before it is reduced), a small linear space: the
tangent distance (Simard et al. 1993, Efficient pattern recognition using a new transformation distance), here in one
direction. Brightness and contrast fall away since images have mean 0 and norm 1; noise is averaged out. The distance to
a training image is that to its nearest view and is taken relative to the nearest 50 training images, with threshold and
control, as in copying.py.

On 1,319 chest radiographs at 128 px (Kermany et al. 2018), 200 of them for training, 400 held out: the nearest held-out
image has .39; 95 % of copies with noise (SD 20), JPEG of quality 50, mirrored, brighter, shifted by 2 or 4 px, or
cropped to 90 or 95 % stay below .13, and all of them are found one by one among 16,000 images (those below .20); of
copies turned by 5 degrees two thirds, with a gamma of 1.5 less than half.
"""

from itertools import product

import numpy as np
from scipy.ndimage import gaussian_filter

from radsynth.common.images import area_weights
from radsynth.quality.metric import UndefinedError, blocks
from radsynth.quality.neighbourhoods import NEIGHBOURS

SIZE = 16
BLUR = 1.0  # SD of the Gaussian after reduction, in reduced pixels: what tangents leave of a shift is at its edges
CROP = 0.92  # side of a crop, as a share of the image's; copies cropped to .85 to .97 lie in reach of its tangents
MARGIN = 0.06  # of a window's side, where a shifted copy shows what the image has not
SHIFT = 0.03  # of the side; smaller and larger shifts lie in reach of the tangents
TANGENTS = 4
VIEWS = 4 + 2 * (8 + 9)  # flips of the whole image; shifts to eight sides and crops at nine places, also mirrored
BLOCK = 32  # images at once, as they are
KNOWN = 256  # training images whose spaces are held at once: 50 MB


def _reduced(images: np.ndarray, side: float = 1, top: float = 0, left: float = 0) -> np.ndarray:
    """Return blurred area averages, float32 (n, SIZE, SIZE), of a window of images (n, height, width).

    ``side``, ``top`` and ``left`` of the window are shares of the image's height and width; of the window the MARGIN is
    left out.
    """
    height, width = images.shape[1:]
    inner = MARGIN * side, (1 - MARGIN) * side
    rows, columns = (
        area_weights(length, SIZE, *((start + end) * length for end in inner)).astype(np.float32)
        for length, start in ((height, top), (width, left))
    )
    small = np.stack([rows @ image @ columns.T for image in images])
    return gaussian_filter(small, (0, BLUR, BLUR), mode="nearest")


def _tangents(images: np.ndarray) -> list[np.ndarray]:
    """Return images (n, height, width) and their derivatives by shift, scale and rotation, each float32."""
    values = images.astype(np.float32)
    down, right = np.gradient(values, axis=(1, 2))
    # Any unit of length does: a tangent's length is of no account.
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in images.shape[1:])
    y = y[:, None] * (images.shape[1] / images.shape[2])
    return [values, down, right, y * down + x * right, x * down - y * right]


def _flat(images: np.ndarray) -> np.ndarray:
    """Return images (n, SIZE, SIZE) as (n, SIZE^2) with mean 0."""
    flat = images.reshape(len(images), -1)
    return flat - flat.mean(axis=1, keepdims=True)


def _space(vectors: list[np.ndarray]) -> np.ndarray:
    """Return orthonormal bases (1 + TANGENTS, n, SIZE^2) of (n, SIZE, SIZE) views and tangents, the view first."""
    stacked = np.stack([_flat(vector) for vector in vectors], axis=2)
    bases, triangle = np.linalg.qr(stacked)
    # A constant image spans nothing, and the first vector points where the view does.
    bases *= np.sign(np.diagonal(triangle, axis1=1, axis2=2))[:, None]
    bases[np.linalg.norm(stacked[:, :, 0], axis=1) < 1e-3] = 0
    return np.moveaxis(bases, 2, 0)


def _spaces(images: np.ndarray) -> np.ndarray:
    """Return the spaces of all views of uint8 images (n, height, width): (views, 1 + TANGENTS, n, SIZE^2)."""
    fields = _tangents(images)
    whole = [_reduced(field) for field in fields]
    flips = (np.s_[:], np.s_[:, :, ::-1])
    views = [[field[flip] for field in whole] for flip in (*flips, np.s_[:, ::-1], np.s_[:, ::-1, ::-1])]
    windows = [
        (1, SHIFT * down, SHIFT * right) for down, right in product((-1, 0, 1), repeat=2) if (down, right) != (0, 0)
    ]
    windows += [(CROP, down * (1 - CROP), right * (1 - CROP)) for down, right in product((0, 0.5, 1), repeat=2)]
    for window in windows:
        seen = [_reduced(field, *window) for field in fields]
        views += [[field[flip] for field in seen] for flip in flips]
    return np.stack([_space(view) for view in views])


def relative_view_distances(images: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per uint8 image (n, height, width), its distance to the nearest training image, and which that is.

    Over the views of the training images (m, height, width), and relative to the mean distance to the nearest 50 (all,
    if m < 50): (n,) in [0, 1], and indices (n,). Constant images are equally far from all: 1. UndefinedError if m < 2.
    """
    if len(training) < 2:
        raise UndefinedError(f"needs at least 2 training images, found {len(training)}")
    candidates = _unit(np.concatenate([_flat(_reduced(images[part])) for part in blocks(len(images), BLOCK)]))
    count = min(NEIGHBOURS, len(training))
    closest = np.full((len(images), count), np.inf, np.float32)  # distances to the nearest training images so far
    smallest, nearest = np.full(len(images), np.inf), np.zeros(len(images), int)
    for known in blocks(len(training), KNOWN):
        spaces = np.empty((1 + TANGENTS, VIEWS, known.stop - known.start, SIZE**2), np.float32)
        for part in blocks(known.stop - known.start, BLOCK):
            spaces[:, :, part] = np.moveaxis(_spaces(training[known][part]), 1, 0)
        spaces = spaces.reshape(1 + TANGENTS, -1, SIZE**2)  # views * images in a row
        for rows in blocks(len(images), BLOCK):
            distances = _distances(candidates[rows], spaces)
            least = distances.min(axis=1)
            nearer = least < smallest[rows]
            nearest[rows] = np.where(nearer, known.start + distances.argmin(axis=1), nearest[rows])
            smallest[rows] = np.where(nearer, least, smallest[rows])
            merged = np.concatenate([closest[rows], distances], axis=1)
            merged.partition(count - 1, axis=1)
            closest[rows] = merged[:, :count]
    return smallest / np.maximum(closest.mean(axis=1, dtype=np.float64), 1e-12), nearest


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (n, d) of norm 1, those of constant images 0."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms < 1e-3, np.inf, norms)


def _distances(vectors: np.ndarray, spaces: np.ndarray) -> np.ndarray:
    """Return the distances (n, m) of vectors (n, d) of norm 1 to the nearest view of m images.

    ``spaces`` are theirs, (1 + TANGENTS, views * m, d).
    """
    explained = vectors @ spaces[0].T
    np.maximum(explained, 0, out=explained)  # a negative is no copy
    explained *= explained
    for tangent in spaces[1:]:
        along = vectors @ tangent.T
        explained += np.multiply(along, along, out=along)
    nearest_view = explained.reshape(len(vectors), VIEWS, -1).max(axis=1)
    return np.sqrt(np.clip(1 - nearest_view, 0, None))
