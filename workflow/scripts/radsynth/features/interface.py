"""What an extractor is."""

from typing import Any, Protocol

import numpy as np

from radsynth.common.errors import UserError


class Extractor(Protocol):
    """Turns gray images into feature vectors, one per image and independent of the other images in the call.

    ``preprocessing`` says all that happens to an image before the network or projection: ``name``, ``resize``,
    ``size`` (pixels), ``antialias``, ``scaling`` (x is the 8-bit value) and ``channels``; ``weights`` is
    {"file", "sha256"} or None; ``dim`` is the length of a feature vector.
    """

    name: str
    preprocessing: dict[str, Any]
    dim: int
    weights: dict[str, str] | None

    def extract(self, images: np.ndarray) -> np.ndarray:
        """Return the features, float32 (n, dim), of gray images, uint8 (n, height, width)."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Return the arrays that were fitted to the real images (empty if nothing is fitted)."""
        ...


def describe(extractor: Extractor) -> dict[str, Any]:
    """Return what a result must say about its extractor."""
    return {
        "name": extractor.name,
        "preprocessing": extractor.preprocessing,
        "weights": extractor.weights,
        "dim": extractor.dim,
    }


def check_images(images: np.ndarray) -> np.ndarray:
    """Return ``images`` if they are gray 8-bit images, (n, height, width); UserError otherwise."""
    if images.ndim != 3 or images.dtype != np.uint8 or not images.size:
        raise UserError(
            f"images of shape {images.shape}, {images.dtype}: expected gray images, (n, height, width), uint8"
        )
    return images
