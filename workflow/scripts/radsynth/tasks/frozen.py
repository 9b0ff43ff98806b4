"""What a frozen base makes of images: computed once, since no epoch changes it."""

import math
import os
import tempfile

import keras
import numpy as np

from radsynth.common.files import writing
from radsynth.common.progress import Progress


def compute_features(base: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the outputs of ``base``, float32 (n, dim), for images as it takes them, uint8 (n, size, size, 1).

    They lie in a temporary file without a name (100 kB per image at 224 px for VGG16, 401 kB for ResNet50), of which
    the system keeps in memory what there is room for; where the folder of temporary files (TMPDIR) is one in memory, so
    are they. Only one batch at a time exists at the size of the network's input. UserError if there is no room.
    """
    features = _on_disk((len(images), *base.output_shape[1:]))
    progress = Progress("features of the frozen base", len(images), unit="image")
    for start in range(0, len(images), batch_size):
        batch = base.predict_on_batch(images[start : start + batch_size])
        features[start : start + len(batch)] = batch
        progress.update(len(batch))
    return features


def _on_disk(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of zeros, float32, in a temporary file that is gone when nobody holds the array any more."""
    size = 4 * math.prod(shape)
    if not size:
        return np.empty(shape, np.float32)
    place = f"{tempfile.gettempdir()} (TMPDIR names another folder), {size / 2**20:.0f} MB of features"
    with writing(place), tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, size)  # a full disk shows here, not as a crash while it is filled
        return np.asarray(np.memmap(file, np.float32, "r+", shape=shape))
