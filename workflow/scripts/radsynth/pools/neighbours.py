"""The synthetic images that come nearest to training images, each beside these training images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path
from radsynth.common.images import read_gray
from radsynth.common.tables import read_table

# Columns of {label}_nearest.csv by which images are close, and the columns of the training images that they belong to.
MEASURES = {"relative_distance": "nearest_image_id", "view_relative_distance": "view_nearest_image_id"}


def read_nearest(path: str | Path) -> pd.DataFrame:
    """Return the nearest training images of all synthetic images that have one; UserError if a column is missing."""
    texts = dict.fromkeys(["file", *MEASURES.values()], str)
    expected = ("file", "distance", *MEASURES, *MEASURES.values(), "chance")
    table = read_table(path, expected, dtype=texts, na_values=[""])  # an image may be called NA
    return table.dropna(subset=list(MEASURES.values()))


def closest(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the ``count`` rows that rank highest by any of MEASURES, the closest first; ties in order of the table.

    Suspects (with a ``chance``) come before all others, the least likely first. An image is as high as its better rank,
    so that what either measure takes for a copy is there.
    """
    ranks = table[list(MEASURES)].rank(method="min", na_option="bottom")
    order = np.lexsort((ranks.sum(axis=1), ranks.min(axis=1), table["chance"].fillna(1)))
    return table.iloc[order[:count]]


def read_panels(
    chosen: pd.DataFrame, pool: str | Path, data: str | Path, train_csv: str | Path
) -> list[list[np.ndarray]]:
    """Return, per row, the synthetic image and its nearest training images by each of MEASURES, uint8 (height, width).

    ``pool`` and ``data`` are the folders of the pool and the dataset, ``train_csv`` lists the training images.
    UserError where a table lacks an image, and naming the file where an image is missing, broken or another.
    """
    train = read_table(train_csv).set_index("image_id")
    made = read_table(Path(pool) / "manifest.csv").set_index("file")
    panels = []
    for _, row in chosen.iterrows():
        nearest = [row[column] for column in MEASURES.values()]
        if unknown := [image_id for image_id in nearest if image_id not in train.index]:
            raise UserError(f"{train_csv}: no training image {unknown[0]}; measure the pool's quality again")
        if row["file"] not in made.index:
            raise UserError(f"{pool}/manifest.csv: no image {row['file']}; measure the pool's quality again")
        real = [read_gray(Path(data) / known["file"], known["sha256"]) for _, known in train.loc[nearest].iterrows()]
        panels.append([read_gray(Path(pool) / row["file"], made.loc[row["file"], "sha256"]), *real])
    return panels


def write_neighbours(
    path: str | Path,
    chosen: pd.DataFrame,
    panels: Sequence[Sequence[np.ndarray]],
    title: str,
    typical: float | None,
    across: int = 2,
) -> None:
    """Write a PNG of panels (synthetic, nearest training images), ``across`` in a line, with their distances.

    ``typical`` is the median distance of a training image to its nearest other, None where it is undefined.
    """
    lines = max(1, -(-len(panels) // across))
    figure = Figure(figsize=(9, 0.6 + lines * (9 / across / 3 + 0.55)), layout="constrained")
    parts = figure.subfigures(lines, across, squeeze=False, wspace=0.03)
    beside = "undefined" if typical is None else f"{typical:.3g}"
    for part, (_, row), images in zip(parts.flat, chosen.iterrows(), panels, strict=False):
        axes = part.subplots(1, len(images))
        # Training images go without their names, which may be patients'.
        names = [f"synthetic {Path(row['file']).stem}", *["training image"] * len(MEASURES)]
        below = [
            "",
            f"distance {row['distance']:.3g} (typical {beside})\nrelative {row['relative_distance']:.2f}",
            f"nearest view\nrelative {row['view_relative_distance']:.2f}",
        ]
        for axis, image, name, text in zip(axes, images, names, below, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set(xticks=[], yticks=[], frame_on=False)
            axis.set_title(name, fontsize=6.5)
            axis.set_xlabel(text, fontsize=6.5)
    figure.suptitle(title, fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
