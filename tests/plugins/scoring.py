"""How sure a classifier is of a label: what the pools beside this file choose by."""

from pathlib import Path

import numpy as np
from radsynth.pools.kind import Given


def sureness(given: Given, classifier: Path, images: np.ndarray, label: str) -> np.ndarray:
    """Return the probability of a label for each image."""
    from radsynth.tasks.keras_backend import prepare

    prepare(backend="torch")
    import keras
    from radsynth.tasks.keras_training import predict

    return predict(keras.saving.load_model(classifier), images)[:, list(given.labels).index(label)]
