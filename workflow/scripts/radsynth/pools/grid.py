"""The grid of a pool: some of its images to look at."""

from pathlib import Path

import numpy as np

from radsynth.common.seeds import derive_seed
from radsynth.common.sheets import choose, montage, write_sheets


def write_grid(path: str | Path, images: np.ndarray, caption: str, seed: int, rows: int = 6, columns: int = 8) -> None:
    """Write a seeded selection of a pool, uint8 (n, height, width), as a PNG with a caption."""
    chosen = images[choose(len(images), rows * columns, derive_seed(seed, "grid"))]
    sheet = montage(chosen, min(columns, len(chosen)))
    write_sheets(path, [(f"{caption} ({len(chosen)} of {len(images)} images)", sheet)])
