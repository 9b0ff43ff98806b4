"""Distance to the closest record (DCR): how close images come to single training images, in one feature space.

The share compares training with held-out images (Platzer & Reutterer 2021, Holdout-based empirical assessment of
mixed-type synthetic data, section 3.3). A few copies hardly move it; the tail (``share_below``) shows them.
"""

import numpy as np

from radsynth.quality.neighbours import Points, encounter


def dcr_median(distances: np.ndarray) -> float:
    """Return the median of the distances (n,) to the closest training image."""
    return float(np.median(distances))


def dcr_share(candidates: Points, training: Points, held_out: Points, seed: int) -> float:
    """Return the share of candidates that are closer to a training image than to a held-out one; ties count half.

    The larger of the two sets is reduced at random to the size of the smaller, so that .5 means no difference.
    """
    n = min(len(training), len(held_out))
    generator = np.random.default_rng(seed)
    halves = (points.features[generator.permutation(len(points))[:n]] for points in (training, held_out))
    to_training, to_held_out = (encounter(Points(half), candidates).distance for half in halves)
    return float(np.mean((to_training < to_held_out) + 0.5 * (to_training == to_held_out)))
