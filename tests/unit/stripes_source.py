"""A source as somebody else would add it: striped images that it makes itself, two of each patient."""

from functools import partial

import numpy as np
from PIL import Image
from radsynth.data.source import RawImage, RawRecord, Source


def draw(phase, size):
    """Open one raw image."""
    rows = np.sin(np.arange(size) / 2 + phase)
    return RawImage(Image.fromarray(np.uint8(127.5 + 127 * np.outer(rows, np.linspace(0.2, 1, size)))))


class Stripes(Source):
    columns = ("phase",)

    def records(self, image_size, seed):
        phases = np.random.default_rng(seed).uniform(0, 6, self.options["images"])
        return [
            RawRecord(
                source=f"{label}/{index}",
                label=label,
                load=partial(draw, phase, image_size),
                patient_id=f"{label}{index // 2}",
                extra={"phase": f"{phase:.3f}"},
            )
            for label in self.labels
            for index, phase in enumerate(phases)
        ]
