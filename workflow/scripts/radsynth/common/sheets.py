"""Sheets of images to look at: montages, and captioned rows of them as a PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from radsynth.common.files import atomic_path

#: Smaller images are enlarged to at least as many pixels a side, so that a sheet of them can be looked at.
SHOWN_SIZE = 96


def choose(n: int, count: int, seed: int) -> np.ndarray:
    """Return ``count`` of n positions (or all, if fewer), drawn without replacement and in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:count])


def enlarged(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width) of at least SHOWN_SIZE a side; pixels of smaller ones become squares."""
    times = -(-SHOWN_SIZE // min(images.shape[1:]))
    return images.repeat(times, axis=1).repeat(times, axis=2)


def montage(images: np.ndarray, columns: int, gap: int = 2, fill: int = 255) -> np.ndarray:
    """Return the images uint8 (n, height, width), small ones enlarged, as one image, row by row with gaps between."""
    images = enlarged(images)
    n, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), fill, dtype=np.uint8)
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        sheet[row * (height + gap) :, column * (width + gap) :][:height, :width] = image
    return sheet


def write_sheets(path: str | Path, sheets: Sequence[tuple[str, np.ndarray]]) -> None:
    """Write captioned rows of images, one below the other, as a PNG; each sheet is uint8 (height, width)."""
    from matplotlib.figure import Figure

    width = 8.0
    heights = [width * sheet.shape[0] / sheet.shape[1] for _, sheet in sheets]
    figure = Figure(figsize=(width, sum(heights) + 0.3 * len(sheets)), layout="constrained")
    axes = figure.subplots(len(sheets), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, (caption, sheet) in zip(axes, sheets, strict=True):
        axis.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(caption, fontsize=9, loc="left")
        axis.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
