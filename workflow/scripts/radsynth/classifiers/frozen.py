"""What a frozen base makes of images: computed once, since no epoch changes it."""

import keras
import numpy as np

from radsynth.common.progress import Progress


def compute_features(base: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Return the outputs of ``base``, float32 (n, dim), for images as it takes them, uint8 (n, size, size, 1).

    Only one batch at a time exists at the size of the network's input, and only one copy of the features:
    4,400 images at 224 px take 441 MB for VGG16 and 1.8 GB for ResNet50.
    """
    features = np.empty((len(images), *base.output_shape[1:]), np.float32)
    progress = Progress("features of the frozen base", len(images), unit="image")
    for start in range(0, len(images), batch_size):
        batch = base.predict_on_batch(images[start : start + batch_size])
        features[start : start + len(batch)] = batch
        progress.update(len(batch))
    return features
