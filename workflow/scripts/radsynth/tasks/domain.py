"""The extractor ``domain``: what a classifier that was trained on a cohort makes of an image before it decides."""

from pathlib import Path
from typing import Any

import numpy as np

from radsynth.common.hashing import sha256_file
from radsynth.tasks.learner import Learner


def describe(learner: Learner, folder: str | Path, images: np.ndarray, features: np.ndarray) -> dict[str, Any]:
    """Return what the features must say about their extractor (radsynth/features/interface.py).

    ``learner`` has been read from ``folder``; ``features`` (n, dim) are what it makes of prepared ``images``, uint8
    (n, size, size, channels).
    """
    weights = Path(folder) / learner.weights_name
    return {
        "name": "domain",
        "preprocessing": learner.preprocessing(images.shape[1]),
        "weights": {"file": str(weights), "sha256": sha256_file(weights)},
        "dim": features.shape[1],
    }
