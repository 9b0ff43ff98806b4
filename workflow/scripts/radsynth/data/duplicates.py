"""Exact and near duplicates: what images show beyond what all of their set share is compared, hashes first.

All chest radiographs look alike, and so do ultrasound images in one frame or fundus images in one circle. What a set
has in common tells nothing of copies: its mean and first principal components are taken out of every image before two
are compared. Re-saved, rescaled, noisy or re-windowed copies of radiographs, mammograms, photographs and ultrasound
images then correlate above .93, hardly any different images above .8 (CORRELATION lies between; of the pairs found in
380 images of the BUSI set all but two at most stand in a list of its duplicates). How alike different images of the set
at hand are is measured, too, and raises the threshold where there is little texture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import uniform_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from radsynth.common.images import area_weights
from radsynth.common.perceptual import HASH_SIDE, perceptual_hash

#: Side of the thumbnails on which near duplicates are confirmed, in pixels.
THUMBNAIL = 64
# By the window of the high pass (pixels of the thumbnail; None: all frequencies, for images of little texture) the
# correlation above which two images are near duplicates.
CORRELATION = {17: 0.85, None: 0.9}
# Sets too small to know what their images have in common.
FEW, CORRELATION_OF_FEW = 20, 0.95
COMPONENTS = 4  # one for every ten images at most
CANDIDATE_BITS = 12
SAMPLE = 20_000  # random pairs by which the threshold is set
QUANTILES = (0.05, 0.25)
# A pair of different images is called near duplicates with this probability at most, in the whole set.
FALSE_PAIR = 0.05
# Images that tell what a set has in common, at most.
COMMON = 2000
SYMMETRIES = 8  # as it is, mirrored, and both in four turns


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return what is compared of a prepared image, uint8 (height, width): its area averages, uint8 (64, 64)."""
    rows, columns = (area_weights(length, THUMBNAIL) for length in image.shape)
    return np.rint(rows @ image @ columns.T).astype(np.uint8)


def _turned(images: np.ndarray, symmetry: int) -> np.ndarray:
    """Return images (n, side, side) mirrored (symmetry 4 to 7) and turned by (symmetry % 4) quarters."""
    return np.rot90(images[:, :, ::-1] if symmetry >= 4 else images, symmetry % 4, axes=(1, 2))


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 1e-6, norms, np.inf)


def _details(thumbnails: np.ndarray, window: int | None) -> np.ndarray:
    """Return thumbnails minus their local mean, float16 (n, 64, 64) with mean 0 and norm 1 (zero if constant)."""
    details = np.empty(thumbnails.shape, np.float16)
    for detail, thumbnail in zip(details, thumbnails, strict=True):
        image = thumbnail.astype(np.float32)
        if window:
            image -= uniform_filter(image, size=window, mode="nearest")
        detail[:] = _unit((image - image.mean()).reshape(1, -1)).reshape(image.shape)
    return details


@dataclass(frozen=True)
class _Common:
    """What the images of a set share: their mean (d,) and orthonormal principal components (k, d) of their details."""

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def of(cls, details: np.ndarray) -> "_Common":
        """Return what details (n, 64, 64) share: nothing where they are FEW."""
        rows = details.reshape(len(details), THUMBNAIL**2).astype(np.float32)
        if len(rows) < FEW:
            return cls(np.zeros(rows.shape[1], np.float32), np.empty((0, rows.shape[1]), np.float32))
        mean = rows.mean(axis=0)
        rows -= mean
        count = min(COMPONENTS, len(rows) // 10)
        vectors = np.linalg.eigh(rows @ rows.T)[1][:, -count:]
        return cls(mean, _unit(vectors.T @ rows))

    def removed(self, details: np.ndarray) -> np.ndarray:
        """Return details (n, 64, 64) without what is shared, float32 (n, d) of norm 1 (zero where nothing is left)."""
        rows = details.reshape(len(details), THUMBNAIL**2).astype(np.float32) - self.mean
        return _unit(rows - (rows @ self.components.T) @ self.components)


def _hashes(rows: np.ndarray) -> np.ndarray:
    """Return 64-bit hashes (n,) of what is left of images (n, d): the signs of low frequencies around their median."""
    images = rows.reshape(-1, THUMBNAIL, THUMBNAIL)
    low = dctn(images, axes=(1, 2), norm="ortho")[:, :HASH_SIDE, :HASH_SIDE].reshape(len(rows), -1)
    return np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1).view(np.uint64)[:, 0]


def _threshold(details: np.ndarray, common: _Common, patients: np.ndarray, floor: float) -> float:
    """Return the correlation above which a pair is no chance in this set: ``floor`` or more.

    Distances between images of different patients fall off like a power towards 0 (compare radsynth.common.tails);
    its exponent is taken from two low quantiles of random pairs, which duplicates among these hardly move, and
    extrapolated to all pairs of the set in all symmetries.
    """
    n = len(details)
    first, second = np.random.default_rng(0).integers(0, n, (2, SAMPLE))
    different = (first != second) & ((patients[first] != patients[second]) | (patients[first] == ""))
    correlations = [
        np.einsum("ij,ij->i", *(common.removed(details[side[part]]) for side in (first, second)))
        for part in np.array_split(np.flatnonzero(different), max(1, SAMPLE // 500))
        if len(part)
    ]
    if n < 5 or not correlations:
        return floor
    distances = np.sqrt(np.maximum(2 - 2 * np.concatenate(correlations), 0))
    low, high = np.quantile(distances, QUANTILES)
    if low <= 0:
        return 1.0  # different images are alike to the last digit: nothing can be told from a copy
    if high <= low:
        return floor
    chance = FALSE_PAIR / (len(CORRELATION) * SYMMETRIES * n * (n - 1) / 2)
    exponent = np.log(QUANTILES[1] / QUANTILES[0]) / np.log(high / low)
    distance = low * (chance / QUANTILES[0]) ** (1 / exponent)
    return float(max(floor, 1 - distance**2 / 2))


def near_duplicate_pairs(
    thumbnails: np.ndarray, patients: Sequence[str] | None = None, split: int | None = None, block: int = 512
) -> np.ndarray:
    """Return the index pairs (m, 2), i < j, of near duplicates among uint8 thumbnails (n, 64, 64).

    With ``split`` only the pairs of one of the first so many images with one of the others.

    One image of a pair may be mirrored or turned by quarters. Candidates differ in at most ``CANDIDATE_BITS`` of 64
    hash bits; they are confirmed if what they show beyond the set's common part correlates above the threshold of the
    set. ``patients`` ("" if unknown) are those of the images: pairs of one patient do not count as different images
    when the threshold is set. O(n^2) comparisons of 64-bit words for each of 8 symmetries, twice; memory O(block * n)
    and 8 kB per image, and some 100 MB.
    """
    patients = np.full(len(thumbnails), "") if patients is None else np.asarray(patients, dtype=str)
    # One image of each hash: many copies of one image would pass for what the set has in common.
    distinct = np.unique([perceptual_hash(thumbnail) for thumbnail in thumbnails], return_index=True)[1]
    distinct = distinct[:: max(1, -(-len(distinct) // COMMON))]
    found = []
    for window, floor in CORRELATION.items():
        details = _details(thumbnails, window)
        common = _Common.of(details[distinct])
        threshold = _threshold(details, common, patients, floor if len(common.components) else CORRELATION_OF_FEW)
        found.append(_pairs(details, common, threshold, split, block))
    return np.unique(np.concatenate(found), axis=0)


def _pairs(details: np.ndarray, common: _Common, threshold: float, split: int | None, block: int) -> np.ndarray:
    """Return the index pairs (m, 2), i < j, of details (n, 64, 64) that correlate above the threshold in some symmetry.

    With ``split`` only those of i < split <= j.
    """
    n, apart = len(details), split is not None
    split = split if apart else n

    def hashes(symmetry: int) -> np.ndarray:
        turned = (_turned(details[start : start + block], symmetry) for start in range(0, n, block))
        parts = [_hashes(common.removed(part)) for part in turned]
        return np.concatenate([*parts, np.empty(0, np.uint64)])

    upright, confirmed = hashes(0), [np.empty((0, 2), dtype=np.int64)]
    for symmetry in range(SYMMETRIES):
        turned = hashes(symmetry)
        for start in range(0, split, block):
            rows, others = slice(start, min(start + block, split)), split if apart else start
            near = np.bitwise_count(upright[rows, None] ^ turned[None, others:]) <= CANDIDATE_BITS
            candidates = np.argwhere(near if apart else np.triu(near, k=1)) + (start, others)
            for pairs in np.split(candidates, range(block, len(candidates), block)):
                first = common.removed(details[pairs[:, 0]])
                second = common.removed(_turned(details[pairs[:, 1]], symmetry))
                confirmed.append(pairs[np.einsum("ij,ij->i", first, second) > threshold])
    return np.concatenate(confirmed)


def duplicate_groups(digests: Sequence[str], pairs: np.ndarray) -> np.ndarray:
    """Return a group number per image (-1 for an image without duplicates).

    Groups are the connected components of equal ``digests`` and of ``pairs``.
    """
    count = len(digests)
    _, representative = np.unique(np.asarray(digests), return_index=True)
    first_of = dict(zip(np.asarray(digests)[representative], representative, strict=True))
    edges = np.concatenate([np.array([[first_of[d], i] for i, d in enumerate(digests)], dtype=np.int64), pairs])
    graph = coo_array((np.ones(len(edges), dtype=bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    sizes = np.bincount(component)
    return np.where(sizes[component] > 1, component, -1)
