"""Grids to look at: generated images beside their nearest training images and beside real ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from radsynth.common.files import atomic_path
from radsynth.common.seeds import derive_seed

if TYPE_CHECKING:
    from radsynth.generators.base import Generator, TrainingSet


def montage(images: np.ndarray, columns: int, gap: int = 2, fill: int = 255) -> np.ndarray:
    """Return the images uint8 (n, height, width) as one image, row by row, with gaps between them."""
    n, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), fill, dtype=np.uint8)
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        sheet[row * (height + gap) :, column * (width + gap) :][:height, :width] = image
    return sheet


def nearest(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return, for each image, the image of ``reference`` with the smallest squared pixel difference."""
    a = images.reshape(len(images), -1).astype(np.float32)
    b = reference.reshape(len(reference), -1).astype(np.float32)
    distances = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    return reference[distances.argmin(axis=1)]


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


def write_preview(generator: "Generator", data: "TrainingSet", path: str | Path, seed: int, count: int = 10) -> None:
    """Write samples of a fixed seed, their nearest training images and real images, for each label of the data."""
    sheets = []
    for label in data.label_counts:
        real = data.images[data.labels == label]
        batches = generator.sample(range(count), derive_seed(seed, "preview"), [{"label": label}] * count)
        generated = np.concatenate([batch.images for batch in batches])
        chosen = np.random.default_rng(derive_seed(seed, "preview", label)).permutation(len(real))[:count]
        sheets += [
            (f"{label}: generated", montage(generated, count)),
            ("nearest training images (squared pixel difference)", montage(nearest(generated, real), count)),
            ("training images", montage(real[chosen], count)),
        ]
    write_sheets(path, sheets)
