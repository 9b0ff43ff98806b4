"""Principal components of downsampled images: an extractor that needs no network and no download."""

from collections.abc import Mapping

import numpy as np

from radsynth.common.errors import UserError
from radsynth.common.images import downsample
from radsynth.features.interface import check_images

SIZE = 32
MAX_COMPONENTS = 64
MIN_VARIANCE_RATIO = 1e-10


class Pixels:
    """Coordinates of the 32 x 32 image on the first 64 principal components of the real dataset.

    Fewer components if the dataset spans fewer dimensions. Lengths are kept (no whitening): a distance between features
    is the distance between the projected images, in units of full scale.
    """

    name = "pixels"
    weights = None
    preprocessing = {
        "name": "area32",
        "resize": "area",
        "size": SIZE,
        "antialias": True,
        "scaling": "x / 255",
        "channels": "gray",
    }

    def __init__(self) -> None:
        self.mean: np.ndarray | None = None
        self.components: np.ndarray | None = None

    @property
    def dim(self) -> int:
        return len(self.components)

    def fit(self, images: np.ndarray) -> None:
        """Find the principal components of uint8 images (n, height, width), by a full eigendecomposition."""
        from sklearn.decomposition import PCA

        small = downsample(check_images(images), SIZE)
        if not np.ptp(small, axis=0).any():
            raise UserError(f"extractor pixels: {len(images)} images without any difference, expected at least two")
        pca = PCA(n_components=min(MAX_COMPONENTS, *small.shape), svd_solver="covariance_eigh").fit(small)
        # Directions in which the data do not vary are arbitrary, yet a pool would have coordinates along them.
        varies = pca.explained_variance_ratio_ > MIN_VARIANCE_RATIO
        self.restore({"basis_mean": pca.mean_, "basis_components": pca.components_[varies]})

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Use the basis of an earlier fit: ``basis_mean`` (1024,) and ``basis_components`` (dim, 1024), float64."""
        self.mean, self.components = state["basis_mean"], state["basis_components"]

    def state(self) -> dict[str, np.ndarray]:
        return {"basis_mean": self.mean, "basis_components": self.components}

    def extract(self, images: np.ndarray) -> np.ndarray:
        return ((downsample(check_images(images), SIZE) - self.mean) @ self.components.T).astype(np.float32)
