"""Grids to look at: generated images beside their nearest training images and beside real ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from radsynth.common.images import gray_of
from radsynth.common.nearest import nearest_by_pixels
from radsynth.common.seeds import derive_seed
from radsynth.common.sets import ImageSet
from radsynth.common.sheets import montage, write_sheets

if TYPE_CHECKING:
    from radsynth.generators.base import Generator


def write_preview(generator: "Generator", data: ImageSet, path: str | Path, seed: int, count: int = 10) -> None:
    """Write samples of a fixed seed, their nearest training images and real images, for each label of the data."""
    sheets = []
    for label in data.label_counts:
        real = gray_of(data.images[data.labels == label])
        own_seed = derive_seed(seed, "preview")
        batches = generator.sample(range(count), own_seed, generator.conditions(label, count, own_seed))
        generated = gray_of(np.concatenate([batch.images for batch in batches]))
        chosen = np.random.default_rng(derive_seed(seed, "preview", label)).permutation(len(real))[:count]
        nearest = real[nearest_by_pixels(generated, real)]
        sheets += [
            (f"{label}: generated", montage(generated, count)),
            (
                "nearest training images (squared pixel difference)",
                montage(nearest, count),
            ),
            ("training images", montage(real[chosen], count)),
        ]
    write_sheets(path, sheets)
