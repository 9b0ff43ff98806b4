"""Planted copies: what the search for single copies could find, were it there.

Altered copies of training images stand in for a pool. The distance that 95 of 100 of them stay within, in the worst of
the alterations, is what the search must reach: a pool in which nothing was found says no more than that.
"""

import io

import numpy as np
from PIL import Image

from radsynth.quality.views import relative_view_distances

IMAGES = 40  # training images that are copied, each once by every alteration
QUANTILE = 0.95
NOISE = 5  # SD, gray values
QUALITY = 50  # of JPEG
BRIGHTER = 1.1
SHIFT = 0.02  # of the side


def _noisy(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(image + generator.normal(0, NOISE, image.shape)), 0, 255).astype(np.uint8)


def _compressed(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(stream))


def _brighter(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(BRIGHTER * image), 0, 255).astype(np.uint8)


def _shifted(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    length = max(1, round(SHIFT * min(image.shape)))
    down, right = generator.choice([-length, length], 2)
    rows, columns = (np.arange(size) for size in image.shape)
    return image[np.clip(rows - down, 0, len(rows) - 1)][:, np.clip(columns - right, 0, len(columns) - 1)]


def _mirrored(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return image[:, ::-1]


#: Alterations of a uint8 image (height, width), by the name that the reports give them.
ALTERATIONS = {
    "noise": _noisy,
    "JPEG": _compressed,
    "brighter": _brighter,
    "shifted": _shifted,
    "mirrored": _mirrored,
}


def planted_distance(training: np.ndarray, seed: int) -> float:
    """Return the relative view distance that 95 % of altered copies of training images stay within, of the worst kind.

    ``training`` are uint8 images (n, height, width), n >= 2.
    """
    generator = np.random.default_rng(seed)
    chosen = training[generator.permutation(len(training))[:IMAGES]]
    kinds = [np.stack([alter(image, generator) for image in chosen]) for alter in ALTERATIONS.values()]
    distances, _ = relative_view_distances(np.concatenate(kinds), training)
    return float(np.quantile(distances.reshape(len(kinds), -1), QUANTILE, axis=1).max())
