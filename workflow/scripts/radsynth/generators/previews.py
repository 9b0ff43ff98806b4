"""Grids to look at: generated images beside their nearest training images and beside real ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from radsynth.common.seeds import derive_seed
from radsynth.common.sheets import montage, write_sheets

if TYPE_CHECKING:
    from radsynth.generators.base import Generator, TrainingSet


def nearest(images: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return, for each image, the image of ``reference`` with the smallest squared pixel difference."""
    a = images.reshape(len(images), -1).astype(np.float32)
    b = reference.reshape(len(reference), -1).astype(np.float32)
    distances = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    return reference[distances.argmin(axis=1)]


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
