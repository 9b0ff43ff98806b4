"""The extractor ``domain``: what a classifier that was trained on a cohort makes of an image before it decides."""

from pathlib import Path
from typing import Any

import keras

from radsynth.common.hashing import sha256_file
from radsynth.tasks.registry import find_architecture


def last_hidden_layer(model: keras.Model) -> keras.Model:
    """Return the model from images, uint8 (n, size, size, 1), to the input of its last layer, float32 (n, dim).

    Used for inference, dropout passes everything. The layers are those of ``model``, not copies.
    """
    return keras.Model(model.input, model.layers[-1].input)


def describe(hidden: keras.Model, path: str | Path, training: dict[str, Any]) -> dict[str, Any]:
    """Return what the features must say about their extractor (radsynth/features/interface.py).

    ``hidden`` comes from ``last_hidden_layer`` of the model in the file ``path``; ``training`` is the record of its
    training (training.json).
    """
    architecture, size = training["architecture"], training["input_size"]
    resized = size != hidden.input_shape[1]
    return {
        "name": "domain",
        "preprocessing": {
            "name": architecture,
            "resize": "bilinear" if resized else "none",
            "size": size,
            "antialias": resized,
            "scaling": find_architecture(architecture).scaling,
            "channels": "gray repeated to RGB",
        },
        "weights": {"file": str(path), "sha256": sha256_file(path)},
        "dim": hidden.output_shape[1],
    }
