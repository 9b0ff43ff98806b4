"""Where lesions are: boxes and outlines in [0, 1] of an image's width and height, and the maps of pixels they cover."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from radsynth.common.sets import LESION

Outline = Sequence[Sequence[float]]


def cover(row: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """Return which share of each pixel lesions cover, float32 (height, width) in [0, 1].

    ``row`` is a condition with ``boxes`` or ``outlines``; of overlapping boxes the larger share counts. A pixel is
    inside an outline if its centre is; outlines may overlap; a hole (``is_hole``) is taken out of the one around it.
    """
    covered = np.zeros((height, width), np.float32)
    for box in row.get("boxes", ()):
        x0, y0, x1, y1 = np.asarray(box, np.float64) * (width, height, width, height)
        across, down = _overlap(x0, x1, width), _overlap(y0, y1, height)
        covered = np.maximum(covered, np.outer(down, across).astype(np.float32))
    if outlines := row.get("outlines", ()):
        times = sum((-1 if is_hole(one) else 1) * _inside(one, height, width) for one in outlines)
        covered = np.maximum(covered, (times > 0).astype(np.float32))
    return covered


def lesion_mask(row: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """Return the label map, uint8 (height, width), with lesions where they cover half of a pixel or more.

    Of a lesion that covers half of no pixel, the pixel that it covers most.
    """
    covered = cover(row, height, width)
    mask = covered >= 0.5
    if covered.any() and not mask.any():
        mask = covered == covered.max()
    return np.where(mask, np.uint8(LESION), np.uint8(0))


def outlines_of(mask: np.ndarray) -> list[list[list[float]]]:
    """Return the outlines of the regions of a mask, bool (height, width), and of their holes: polygons in [0, 1].

    ``cover`` makes the same mask of them. Between two pixels they run half way.
    """
    from contourpy import contour_generator

    height, width = mask.shape
    lines = contour_generator(z=np.pad(mask.astype(float), 1)).lines(0.5)
    # The padding moves pixel centres by 1, which lie at half pixels.
    return [np.round((line[:-1] - 0.5) / (width, height), 5).tolist() for line in lines]


def is_hole(outline: Outline) -> bool:
    """Return whether ``outlines_of`` has gone round an outline as round a hole: against the clock, as one sees it."""
    x, y = np.asarray(outline).T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) < 0


def bounds(outline: Outline) -> list[float]:
    """Return the box (x0, y0, x1, y1) around an outline."""
    points = np.asarray(outline)
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]


def _overlap(start: float, end: float, pixels: int) -> np.ndarray:
    """Return which share of each pixel of a line lies between two places."""
    edges = np.arange(pixels)
    return np.clip(np.minimum(end, edges + 1) - np.maximum(start, edges), 0, 1)


def _inside(outline: Outline, height: int, width: int) -> np.ndarray:
    """Return 1 for pixels whose centre is inside a polygon, else 0: left of it an odd number of edges is crossed."""
    x, y = (np.asarray(outline, np.float64) * (width, height)).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    inside = np.zeros((height, width), np.float32)
    centres = np.arange(width) + 0.5
    for row in range(max(int(y.min()), 0), min(int(np.ceil(y.max())), height)):
        crossed = (y <= row + 0.5) != (next_y <= row + 0.5)
        share = (row + 0.5 - y[crossed]) / (next_y[crossed] - y[crossed])
        places = np.sort(x[crossed] + share * (next_x[crossed] - x[crossed]))
        inside[row] = np.searchsorted(places, centres) % 2
    return inside
