"""Near copies of training images in one feature space.

A copy is much closer to its nearest training image than to the further neighbours of that image: the distance is taken
relative to the mean over the nearest 50 training images (Carlini et al. 2023, Extracting training data from diffusion
models, section 4.2). An absolute distance would take every blurred image for a copy, since an average lies close to
everything. The threshold is what THRESHOLD_QUANTILE of held-out reals fall below. It is not taken from the training
images' own neighbours: cohorts that were selected to be diverse are farther apart than reals usually are. Other
held-out reals, under the same threshold, are the control: a copy rate means something only as far as it exceeds theirs.

A few copies do not move a share. The nearest image of a pool is therefore judged by itself: by the chance that a
held-out real comes as near, extrapolated below the nearest of those that there are (radsynth.common.tails).
"""

import numpy as np

from radsynth.common.tails import LEAST, LowerTail
from radsynth.quality.arrays import UndefinedError, checked
from radsynth.quality.neighbours import Points, encounter

THRESHOLD_QUANTILE = 0.01


def relative_distances(images: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return, per image (n, d), its distance to the nearest training image (m, d) over the mean to the nearest 50.

    The values (n,) lie in [0, 1]: 0 is a copy, 1 is equally far from all. Where m < 50, all of them are the neighbours.
    """
    return encounter(Points(checked(training)), Points(images)).relative


def quantile_threshold(distances: np.ndarray) -> float:
    """Return the distance that only THRESHOLD_QUANTILE of those of held-out reals (n,) fall below; n >= 2."""
    if len(distances) < 2:
        raise UndefinedError(f"needs at least 2 held-out images for a threshold, found {len(distances)}")
    return float(np.quantile(distances, THRESHOLD_QUANTILE))


def share_below(distances: np.ndarray, threshold: float | None) -> float:
    """Return the share of distances (n,) that are not above ``threshold``; undefined without threshold or images."""
    if threshold is None:
        raise UndefinedError("no threshold: too few training or held-out images, or too many of these look like copies")
    if not len(distances):
        raise UndefinedError("no images")
    return float(np.mean(distances <= threshold))


def copy_threshold(held_out: np.ndarray, training: np.ndarray) -> float:
    """Return the relative distance that only THRESHOLD_QUANTILE of held-out reals (n, d) fall below."""
    return quantile_threshold(relative_distances(held_out, training))


def copy_rate(images: np.ndarray, training: np.ndarray, threshold: float) -> float:
    """Return the share of images (n, d) whose relative distance to training (m, d) is not above ``threshold``."""
    return share_below(relative_distances(images, training), threshold)


def near_tail(distances: np.ndarray, groups: np.ndarray) -> LowerTail:
    """Return the tail of the relative distances of held-out reals (n,), of which each of the groups (n,) counts once.

    Images of one patient are not independent: the smallest of them stands for all, which makes chances larger, never
    smaller. UndefinedError for fewer than 10 groups, or where held-out reals already lie on training images.
    """
    nearest = np.full(groups.max(initial=-1) + 1, np.inf)
    np.minimum.at(nearest, groups, distances)
    tail = LowerTail.of(nearest[np.isfinite(nearest)])
    if tail is None:
        n = len(np.unique(groups))
        what = f"needs held-out images of at least {LEAST} patients, found {n}"
        raise UndefinedError(what if n < LEAST else "held-out images at distance 0 of training images, or all at one")
    return tail


def nearest_copy(distances: np.ndarray) -> float:
    """Return the smallest of relative distances (n,) to training images, n >= 1."""
    if not len(distances):
        raise UndefinedError("no images")
    return float(distances.min())
