"""Where the breast is in a mammogram."""

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects, label

#: The breast is looked for in an image whose longer side is about this many pixels.
SEARCH_SIZE = 256
#: How much brighter than air tissue is, as a share of the full range.
TISSUE = 0.05
#: A component smaller than this share of the image is no breast.
SMALLEST = 0.02


def breast_box(image: Image.Image, margin: float = 0.02) -> tuple[int, int, int, int] | None:
    """Return left, upper, right, lower of the breast in a mammogram (mode L, air dark), or None if there is none.

    The breast is the largest connected component of what is brighter than air, which leaves burnt-in letters and
    markers out; ``margin`` is added on all sides, as a share of its longer side.
    """
    factor = max(1, max(image.size) // SEARCH_SIZE)
    small = np.asarray(image.reduce(factor))
    components, count = label(small > np.percentile(small, 1) + 255 * TISSUE)
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
