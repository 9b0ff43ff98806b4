"""Memorisation in one feature space: how images lie among the training images.

A copy is much closer to its nearest training image than to the further neighbours of that image: the distance is taken
relative to the mean over the nearest 50 training images (Carlini et al. 2023, Extracting training data from diffusion
models, section 4.2). An absolute distance would take every blurred image for a copy, since an average lies close to
everything. The threshold is what THRESHOLD_QUANTILE of held-out reals fall below. It is not taken from the training
images' own neighbours: cohorts that were selected to be diverse are farther apart than reals usually are. Other
held-out reals, under the same threshold, are the control: a copy rate means something only as far as it exceeds theirs.

A few copies do not move a share. The nearest image of a pool is therefore judged by itself: by the chance that a
held-out real comes as near, extrapolated below the nearest of those that there are (radsynth.common.tails).

Beside that, of all images: authenticity (Alaa et al. 2022, How faithful is your synthetic data?, section 3.3), the test
of data copying (Meehan et al. 2020, A non-parametric test to detect data-copying in generative models), and the
distance to the closest record (DCR), whose share compares training with held-out images (Platzer & Reutterer 2021,
Holdout-based empirical assessment of mixed-type synthetic data, section 3.3). A few copies hardly move that share; the
tail (``share_below``) shows them.
"""

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from scipy.stats import rankdata

from radsynth.common.tails import LEAST, LowerTail
from radsynth.quality.metric import CONTROL, HIGHER, LOWER, Meaning, OfCopies, UndefinedError, any_image, checked
from radsynth.quality.neighbourhoods import Encounter, Points, encounter

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
    any_image(distances)
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
    any_image(distances)
    return float(distances.min())


def authpct(meeting: Encounter) -> float:
    """Return the percentage of candidates farther from their nearest training image than that one is from its own.

    Equal distributions do not give 50 but 65 to 84 in practice, since the nearest of many is nearer to a new image
    than to one of its own kind only by chance: read it beside the control. Copies lower it.
    """
    if len(meeting.reference) < 2:
        raise UndefinedError(f"needs at least 2 training images, found {len(meeting.reference)}")
    own = meeting.reference.within[:, 0]
    return float(100 * np.mean(meeting.distance > own[meeting.nearest]))


def c_t(candidates: np.ndarray, held_out: np.ndarray) -> float:
    """Return C_T over a single cell: the z of the Mann-Whitney U of distances to the nearest training image.

    ``candidates`` (m,) and ``held_out`` (n,) are such distances. Negative: the candidates lie closer to the training
    images than held-out reals do (copying); positive: farther (underfitting); around -3 to 3: no difference. The
    normal approximation ignores that the distances share the training images. Ties count half (section 3.1).
    """
    m, n = len(candidates), len(held_out)
    if min(m, n) < 2:
        raise UndefinedError(f"needs at least 2 images on either side, found {min(m, n)}")
    ranks = rankdata(np.concatenate([candidates, held_out]))[:m]
    u = ranks.sum() - m * (m + 1) / 2
    return float((u - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12))


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


class Among:
    """What is known of images among the training images, for the metrics below.

    ``meeting`` is the encounter of training images and candidates; ``held_out`` are the held-out reals that both a pool
    and its control are compared with; ``thresholds`` by metric what these set; ``seed`` that of ``dcr_share``.
    """

    def __init__(self, meeting: Encounter, held_out: Points, thresholds: Mapping[str, float | None], seed: int):
        self.meeting, self.held_out, self.thresholds, self.seed = meeting, held_out, thresholds, seed

    @property
    def distance(self) -> np.ndarray:
        """Distances (n,) to the nearest training image."""
        return self.meeting.distance

    @property
    def relative(self) -> np.ndarray:
        """The same, relative to its neighbours (n,)."""
        return self.meeting.relative

    @cached_property
    def usual(self) -> np.ndarray:
        """Distances (m,) of the held-out images to their nearest training image."""
        return encounter(self.meeting.reference, self.held_out).distance if len(self.held_out) else np.empty(0)


def _threshold(meeting: Encounter, distances: np.ndarray) -> float:
    if len(meeting.reference) < 2:
        raise UndefinedError(f"needs at least 2 training images for a threshold, found {len(meeting.reference)}")
    return quantile_threshold(distances)


AUTHPCT = OfCopies(
    "authpct",
    "memorisation",
    lambda among: authpct(among.meeting),
    Meaning(
        "AuthPct",
        HIGHER,
        "below",
        "fewer images are farther from their nearest training image than this is from its own nearest",
        whole=100,
    ),
    rank=3,
    lowest=0,
    highest=100,
)
C_T = OfCopies(
    "c_t",
    "memorisation",
    lambda among: c_t(among.distance, among.usual),
    Meaning(
        "C_T",
        HIGHER,
        "c_t",
        "the pool lies closer to the training images than held-out real images do (a z-score)",
        decimals=1,
    ),
    rank=3,
)
DCR_MEDIAN = OfCopies(
    "dcr_median",
    "memorisation",
    lambda among: dcr_median(among.distance),
    Meaning("DCR median", HIGHER),
    rank=3,
    lowest=0,
)
DCR_SHARE = OfCopies(
    "dcr_share",
    "memorisation",
    lambda among: dcr_share(among.meeting.candidate, among.meeting.reference, among.held_out, among.seed),
    Meaning("DCR share", LOWER, whole=1),
    rank=3,
    lowest=0,
    highest=1,
)
DCR_TAIL = OfCopies(
    "dcr_tail",
    "memorisation",
    lambda among: share_below(among.distance, among.thresholds["dcr_tail"]),
    Meaning(
        "DCR tail",
        LOWER,
        "above",
        "more images lie as close to a training image as hardly any held-out real image does",
        whole=1,
    ),
    rank=3,
    lowest=0,
    highest=1,
    threshold=lambda among: _threshold(among.meeting, among.distance),
)
COPY_RATE = OfCopies(
    "copy_rate",
    "memorisation",
    lambda among: share_below(among.relative, among.thresholds["copy_rate"]),
    Meaning(
        "copy rate",
        LOWER,
        "above",
        "more images come as near to a training image as hardly any held-out real image does: near-copies",
        whole=1,
    ),
    rank=0,
    lowest=0,
    highest=1,
    threshold=lambda among: _threshold(among.meeting, among.relative),
)
NEAREST_COPY = OfCopies(
    "nearest_copy",
    "memorisation",
    lambda among: nearest_copy(among.relative),
    Meaning(
        "nearest image",
        CONTROL,
        "nearest",
        "a single image is nearer to a training image than any of so many held-out real images could be: a copy",
        decimals=3,
    ),
    rank=1,
    lowest=0,
    search=lambda among: (among.relative, among.meeting.nearest),
)
