"""The grid of a pool: some of its images to look at."""

from collections.abc import Sequence
from pathlib import Path

from radsynth.common.images import read_gray_stack
from radsynth.common.seeds import derive_seed
from radsynth.common.sheets import choose, montage, write_sheets


def write_grid(
    path: str | Path, root: str | Path, files: Sequence[str], caption: str, seed: int, rows: int = 6, columns: int = 8
) -> None:
    """Write a seeded selection of a pool's images ``root/file`` as a PNG with a caption; only these are read."""
    chosen = choose(len(files), rows * columns, derive_seed(seed, "grid"))
    sheet = montage(read_gray_stack(root, [files[index] for index in chosen]), min(columns, len(chosen)))
    write_sheets(path, [(f"{caption} ({len(chosen)} of {len(files)} images)", sheet)])
