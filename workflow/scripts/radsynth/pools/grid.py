"""The grid of a pool: some of its images to look at."""

from pathlib import Path

import pandas as pd

from radsynth.common.images import read_gray_stack
from radsynth.common.seeds import derive_seed
from radsynth.common.sheets import choose, montage, write_sheets


def write_grid(
    path: str | Path, root: str | Path, images: pd.DataFrame, caption: str, seed: int, rows: int = 6, columns: int = 8
) -> None:
    """Write a seeded selection of a pool's images, rows of its manifest, as a PNG with a caption; only these are read.

    Files are relative to ``root``.
    """
    chosen = choose(len(images), rows * columns, derive_seed(seed, "grid"))
    sheet = montage(read_gray_stack(root, images.iloc[chosen]), min(columns, len(chosen)))
    write_sheets(path, [(f"{caption} ({len(chosen)} of {len(images)} images)", sheet)])
