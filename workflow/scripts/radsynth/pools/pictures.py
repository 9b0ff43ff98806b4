"""Original and synthetic images side by side."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from radsynth.common.files import atomic_path
from radsynth.common.images import read_gray_stack
from radsynth.common.seeds import derive_seed
from radsynth.common.sheets import choose, montage


def write_comparison(
    paths: Sequence[str | Path],
    columns: Sequence[tuple[str, str | Path, pd.DataFrame]],
    title: str,
    seed: int,
    rows: int = 4,
    across: int = 3,
) -> None:
    """Write blocks of images side by side, one block per (name, root, rows of a manifest with files relative to it).

    Each block shows ``rows`` x ``across`` images of a seeded selection; only these are read. Written once per path, in
    its suffix's format.
    """
    width = 0.85 * across * len(columns) + 0.2 * (len(columns) - 1)
    figure = Figure(figsize=(width, 0.85 * rows + 0.6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.04)
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for axis, (name, root, table) in zip(axes, columns, strict=True):
        chosen = choose(len(table), rows * across, derive_seed(seed, "comparison"))
        images = read_gray_stack(root, table.iloc[chosen])
        axis.imshow(montage(images, across), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_axis_off()
        axis.set_title(f"{name} (n = {len(table):,})", fontsize=9)
    figure.suptitle(title, fontsize=10)
    for path in paths:
        # Without a date, so that the same images give the same file.
        metadata = {"CreationDate": None} if Path(path).suffix == ".pdf" else None
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=300, metadata=metadata)
