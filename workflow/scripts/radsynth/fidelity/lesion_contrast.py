"""How much brighter an image is inside a lesion's box than around it.

The contrast of an image and a lesion is the mean gray inside minus the mean of a ring, in gray levels: the boxes
widened by half their size on every side, without any lesion of theirs, as far as the image reaches. Any image can be
held against the lesions of any other, which tells what contrast there is by chance.
"""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.sparse import csr_array

from radsynth.common.sets import LESION
from radsynth.fidelity.agreement import DRAWS, Measured, mean_excess, numbered

WIDER = 0.5  # of a box's side, on every side
BLOCK = 64  # images at once, as float32

#: (y0, y1, x0, x1) in pixels, the last ones excluded.
Pixels = tuple[int, int, int, int]
#: Which pixels are inside and in the ring, bool (height, width) each.
Place = tuple[np.ndarray, np.ndarray]


def pixel_boxes(boxes: Sequence[Sequence[float]], height: int, width: int) -> list[Pixels]:
    """Return boxes (x0, y0, x1, y1) in [0, 1] of width and height as pixels, at least one on either side."""
    found = []
    for x0, y0, x1, y1 in boxes:
        edges: list[int] = []
        for start, end, length in ((y0, y1, height), (x0, x1, width)):
            first = min(max(round(start * length), 0), length - 1)
            edges += [first, min(max(round(end * length), first + 1), length)]
        found.append(tuple(edges))
    return found


def place_of(boxes: Sequence[Pixels], height: int, width: int, inside: np.ndarray | None = None) -> Place | None:
    """Return the place of the lesions of one image; None if nothing is inside, or nothing left around.

    ``inside`` (height, width) says which pixels are lesions, if these are less than the boxes.
    """
    filled, ring = np.zeros((height, width), bool), np.zeros((height, width), bool)
    for y0, y1, x0, x1 in boxes:
        filled[y0:y1, x0:x1] = True
        down, across = round(WIDER * (y1 - y0)) or 1, round(WIDER * (x1 - x0)) or 1
        ring[max(y0 - down, 0) : y1 + down, max(x0 - across, 0) : x1 + across] = True
    inside = filled if inside is None else inside
    ring &= ~inside
    return (inside, ring) if inside.any() and ring.any() else None


def place_of_mask(mask: np.ndarray, boxed: bool) -> Place | None:
    """Return the place of the lesions in a label map (height, width); ``boxed``: their boxes, not their shapes."""
    inside = mask == LESION
    boxes = [(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in find_objects(label(inside)[0])]
    return place_of(boxes, *mask.shape, None if boxed else inside)


def contrasts(images: np.ndarray, places: Sequence[Place]) -> np.ndarray:
    """Return the contrast of every image (n, height, width) with every one of m places, float64 (n, m)."""
    weights, columns, starts = [], [], [0]
    for place in places:
        for part, sign in zip(place, (1, -1), strict=True):
            pixels = np.flatnonzero(part)
            columns.append(pixels)
            weights.append(np.full(len(pixels), sign / len(pixels)))
        starts.append(starts[-1] + sum(map(len, columns[-2:])))
    size = images.shape[1] * images.shape[2]
    matrix = csr_array((np.concatenate(weights), np.concatenate(columns), starts), shape=(len(places), size))
    found = np.empty((len(images), len(places)))
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK].reshape(-1, size)
        found[start : start + BLOCK] = (matrix @ block.T.astype(float)).T
    return found


def own_contrast(
    images: np.ndarray,
    places: Sequence[Place],
    strata: np.ndarray,
    groups: np.ndarray,
    seed: int,
    draws: int = DRAWS,
) -> Measured:
    """Return the mean contrast of images (n, height, width) with their own places.

    Chance is that with the places of all images of the same stratum (n,), among which deals exchange them.
    """
    random = np.random.default_rng(seed)
    matrix, (strata, n_strata) = contrasts(images, places), numbered(strata)
    chances, orders = np.empty(len(images)), np.empty((draws, len(images)), int)
    for stratum in range(n_strata):
        own = np.flatnonzero(strata == stratum)
        chances[own] = matrix[np.ix_(own, own)].mean(axis=1)
        orders[:, own] = random.permuted(np.tile(own, (draws, 1)), axis=1)
    everyone = np.arange(len(images))
    dealt = np.array([matrix[everyone, order].mean() for order in orders])
    return mean_excess(np.diagonal(matrix), chances, dealt, groups, int(random.integers(2**32)), draws)


def others_contrast(
    images: np.ndarray, places: Sequence[Place], groups: np.ndarray, seed: int, draws: int = DRAWS
) -> Measured:
    """Return the mean contrast of images without a lesion (n, height, width) with the places of others; no chance."""
    values = contrasts(images, places).mean(axis=1)
    return mean_excess(values, np.zeros(len(values)), np.empty(0), groups, seed, draws)
