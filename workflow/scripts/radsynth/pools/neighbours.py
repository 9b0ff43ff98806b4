"""The synthetic images that come nearest to training images, each beside that training image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_path
from radsynth.common.images import read_gray

# Columns of {label}_nearest.csv by which images are close, and how they are called below an image.
MEASURES = {"view_relative_distance": "views", "relative_distance": "relative"}


def read_nearest(path: str | Path) -> pd.DataFrame:
    """Return a table of nearest training images, one row per synthetic image; UserError if a column is missing."""
    table = pd.read_csv(path, dtype={"file": str, "nearest_image_id": str})
    missing = [name for name in ("file", "nearest_image_id", "distance", *MEASURES) if name not in table.columns]
    if missing:
        raise UserError(f"{path}: column {missing[0]} is missing; measure the quality of the pool again")
    return table


def closest(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the ``count`` rows that rank highest by any of MEASURES, the closest first; ties in order of the table.

    An image is as high as its better rank, so that what either measure takes for a copy is there.
    """
    ranks = table[list(MEASURES)].rank(method="min", na_option="bottom")
    order = np.lexsort((ranks.sum(axis=1), ranks.min(axis=1)))
    return table.iloc[order[:count]]


def read_pairs(
    chosen: pd.DataFrame, pool: str | Path, data: str | Path, files: dict[str, str], source: str | Path
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return synthetic and nearest training image of every row, uint8 (height, width).

    ``files`` gives the file below ``data`` of each training image; UserError naming ``source`` where it lacks one, and
    naming the file where an image is missing or broken.
    """
    pairs = []
    for _, row in chosen.iterrows():
        if row["nearest_image_id"] not in files:
            raise UserError(f"{source}: no training image {row['nearest_image_id']}; measure the pool's quality again")
        pairs.append((read_gray(Path(pool) / row["file"]), read_gray(Path(data) / files[row["nearest_image_id"]])))
    return pairs


def write_neighbours(
    path: str | Path,
    chosen: pd.DataFrame,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    title: str,
    typical: float | None,
    across: int = 2,
) -> None:
    """Write a PNG of pairs (synthetic, nearest training image), ``across`` in a line, with their distances.

    ``typical`` is the median distance of a training image to its nearest other, None where it is undefined.
    """
    lines = -(-len(pairs) // across)
    figure = Figure(figsize=(8, 0.6 + lines * (8 / across / 2 + 0.35)), layout="constrained")
    panels = figure.subfigures(lines, across, squeeze=False, wspace=0.03)
    for panel, (_, row), (synthetic, training) in zip(panels.flat, chosen.iterrows(), pairs, strict=False):
        axes = panel.subplots(1, 2)
        names = (f"synthetic {Path(row['file']).stem}", f"training {row['nearest_image_id']}")
        for axis, image, name in zip(axes, (synthetic, training), names, strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axis.set_axis_off()
            axis.set_title(name if len(name) <= 32 else f"{name[:31]}…", fontsize=7)
        beside = "undefined" if typical is None else f"{typical:.3g}"
        measures = ", ".join(f"{name} {row[column]:.2f}" for column, name in MEASURES.items() if pd.notna(row[column]))
        panel.supxlabel(f"distance {row['distance']:.3g} (typical {beside}); {measures}", fontsize=7)
    figure.suptitle(title, fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
