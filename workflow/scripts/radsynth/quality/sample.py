"""A set of images in one feature space: what concerns it alone is computed once, and can be kept."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from radsynth.common.errors import UserError
from radsynth.quality import frechet, kernel
from radsynth.quality.arrays import UndefinedError
from radsynth.quality.neighbours import Points

KERNEL = "kernel_"  # followed by the size of the subsets


class Sample(Points):
    """Features (n, d) of one set, its nearest neighbours, its Gaussian and its draws.

    ``seed`` settles the draws, and must differ from that of the set that it is compared with; ``groups`` (n,) are the
    patients or the like of the images, each its own without them.
    """

    def __init__(self, features: np.ndarray, seed: int, groups: np.ndarray | None = None):
        super().__init__(features)
        self.seed, self.groups = seed, groups

    @cached_property
    def gaussian(self) -> frechet.Gaussian:
        """Mean and covariance; UndefinedError for fewer than 2 images."""
        return frechet.statistics(self.features)

    @cached_property
    def resampled(self) -> kernel.Resampled:
        """The draws behind the interval of the kernel distance; UndefinedError for fewer than 2 images or groups."""
        return kernel.Resampled(self.features, self.seed, self.groups)

    def kept(self, partner: int) -> dict[str, np.ndarray]:
        """Return all that is known of this set alone where it meets one of ``partner`` images, as plain arrays."""
        arrays = {}
        try:
            arrays |= {
                "seed": np.array(self.seed),
                "mean": self.gaussian.mean,
                "root": self.gaussian.root,
                "within": self.within,
            }
            size = kernel.subset_size(len(self), partner)
            arrays[f"{KERNEL}{size}"] = self.resampled.within(size)
        except UndefinedError:
            pass  # it is so again where it is asked for
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> "Sample":
        """Take over what ``kept`` returned for the same features, seed and groups; UserError if it is of others."""
        if not arrays:
            return self
        mean = self.features.mean(axis=0)
        if int(arrays["seed"]) != self.seed or not np.array_equal(arrays["mean"], mean):
            raise UserError("what was kept of the real images is of other images; measure the controls again")
        self.within = arrays["within"]
        self.gaussian = frechet.Gaussian(arrays["mean"], arrays["root"])
        for name, values in arrays.items():
            if name.startswith(KERNEL):
                self.resampled.known[int(name.removeprefix(KERNEL))] = values
        return self
