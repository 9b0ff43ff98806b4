"""Grids to look at: generated images beside their nearest training images and beside real ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from radsynth.common.seeds import derive_seed
from radsynth.common.sheets import montage, write_sheets

if TYPE_CHECKING:
    from radsynth.generators.base import Generator, TrainingSet


def nearest(images: np.ndarray, reference: np.ndarray, block: int = 256) -> np.ndarray:
    """Return, for each uint8 image (n, height, width), that of ``reference`` with the smallest squared difference.

    ``block`` reference images are compared at once.
    """
    wanted = images.reshape(len(images), -1).astype(np.float32)
    least, found = np.full(len(images), np.inf), np.zeros(len(images), int)
    for start in range(0, len(reference), block):
        part = reference[start : start + block].reshape(-1, wanted.shape[1]).astype(np.float32)
        distances = (wanted**2).sum(1)[:, None] - 2 * wanted @ part.T + (part**2).sum(1)
        nearer = distances.min(axis=1) < least
        found = np.where(nearer, start + distances.argmin(axis=1), found)
        least = np.where(nearer, distances.min(axis=1), least)
    return reference[found]


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
