"""Where the breast is in a mammogram, and on which side of it the chest wall."""

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects, label

#: The breast is looked for in an image whose longer side is about this many pixels.
SEARCH_SIZE = 256
#: How much brighter than air tissue is, as a share of the full range.
TISSUE = 0.05
#: A component smaller than this share of the image is no breast.
SMALLEST = 0.02


def _reduced(image: Image.Image) -> tuple[np.ndarray, int]:
    """Return an image small enough to be searched, and by which factor it was reduced."""
    factor = max(1, max(image.size) // SEARCH_SIZE)
    return np.asarray(image.reduce(factor)), factor


def _is_tissue(small: np.ndarray) -> np.ndarray:
    return small > np.percentile(small, 1) + 255 * TISSUE


def breast_box(image: Image.Image, margin: float = 0.02) -> tuple[int, int, int, int] | None:
    """Return left, upper, right, lower of the breast in a mammogram (mode L, air dark), or None if there is none.

    The breast is the largest connected component of what is brighter than air, which leaves burnt-in letters and
    markers out; ``margin`` is added on all sides, as a share of its longer side.
    """
    small, factor = _reduced(image)
    components, count = label(_is_tissue(small))
    if not count:
        return None
    sizes = np.bincount(components.ravel())[1:]
    if sizes.max() < SMALLEST * small.size:
        return None
    rows, columns = find_objects(components)[int(sizes.argmax())]
    extra = factor * margin * max(rows.stop - rows.start, columns.stop - columns.start)
    return (
        max(0, round(columns.start * factor - extra)),
        max(0, round(rows.start * factor - extra)),
        min(image.width, round(columns.stop * factor + extra)),
        min(image.height, round(rows.stop * factor + extra)),
    )


def chest_wall(image: Image.Image, box: tuple[int, int, int, int]) -> str:
    """Return L or R: the side of a mammogram on which the breast in ``box`` is taller, as it is at the chest wall.

    Outlines are compared, for fat may be as dark as air.
    """
    small, factor = _reduced(image)
    left, upper, right, lower = (corner // factor for corner in box)
    inside = _is_tissue(small)[upper:lower, left:right]
    heights = np.where(inside.any(axis=0), len(inside) - inside.argmax(axis=0) - inside[::-1].argmax(axis=0), 0)
    half = len(heights) // 2
    return "L" if heights[:half].sum() >= heights[len(heights) - half :].sum() else "R"
