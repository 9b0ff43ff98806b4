"""Exact and near duplicates: perceptual hashes give candidates, correlation confirms them."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from radsynth.common.perceptual import perceptual_hash

#: Side of the thumbnails on which near duplicates are confirmed, in pixels.
THUMBNAIL = 64
# Re-saved, rescaled or re-windowed copies of chest radiographs correlate above 0.97 and differ in at most 8 bits; the
# most alike images of different patients (and of the same patient at another time) reach 0.8. Copies that were
# cropped or annotated lie between and are not found. Without the high pass all chest radiographs correlate highly.
CANDIDATE_BITS = 10
CORRELATION = 0.95


def high_pass(thumbnail: np.ndarray) -> np.ndarray:
    """Return a thumbnail minus its local mean, flat, with mean 0 and norm 1 (all zero if it is constant)."""
    image = thumbnail.astype(np.float32)
    detail = (image - uniform_filter(image, size=9, mode="nearest")).ravel()
    detail -= detail.mean()
    norm = np.linalg.norm(detail)
    return detail / norm if norm > 0 else detail


def near_duplicate_pairs(thumbnails: np.ndarray, correlation: float = CORRELATION, block: int = 512) -> np.ndarray:
    """Return the index pairs (m, 2), i < j, of near duplicates among uint8 thumbnails (n, 64, 64).

    Candidates differ in at most ``CANDIDATE_BITS`` of 64 hash bits; they are confirmed if their high-pass
    correlation exceeds ``correlation``. O(n^2) comparisons of 64-bit words; memory O(block * n) and 8 kB per image.
    """
    hashes = np.array([perceptual_hash(thumbnail) for thumbnail in thumbnails], dtype=np.uint64)
    details = np.array([high_pass(thumbnail) for thumbnail in thumbnails], dtype=np.float16)
    confirmed = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(hashes), block):
        distance = np.bitwise_count(hashes[start : start + block, None] ^ hashes[None, start:])
        candidates = np.argwhere(np.triu(distance <= CANDIDATE_BITS, k=1)) + start
        for pairs in np.split(candidates, range(block, len(candidates), block)):
            first, second = details[pairs[:, 0]].astype(np.float32), details[pairs[:, 1]].astype(np.float32)
            confirmed.append(pairs[np.einsum("ij,ij->i", first, second) > correlation])
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
