"""Exact and near duplicates: perceptual hashes give candidates, correlation confirms them."""

from collections.abc import Sequence

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import uniform_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: Side of the thumbnails on which near duplicates are confirmed, in pixels.
THUMBNAIL = 64
HASH_SIDE = 8
CANDIDATE_BITS = 12
CORRELATION = 0.99


def perceptual_hash(thumbnail: np.ndarray) -> np.uint64:
    """Return the 64-bit DCT hash of a uint8 thumbnail: signs of its 8 x 8 lowest frequencies around their median."""
    low = dctn(thumbnail.astype(np.float32), norm="ortho")[:HASH_SIDE, :HASH_SIDE].ravel()
    return np.packbits(low > np.median(low)).view(np.uint64)[0]


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
    correlation exceeds ``correlation``. Chest radiographs of different patients correlate highly as they are, hence
    the high pass. Time O(n^2) in 64-bit words, memory O(block * n).
    """
    hashes = np.array([perceptual_hash(thumbnail) for thumbnail in thumbnails], dtype=np.uint64)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(hashes), block):
        rows = hashes[start : start + block, None]
        close = np.bitwise_count(rows ^ hashes[None, start:]) <= CANDIDATE_BITS
        first, second = np.nonzero(np.triu(close, k=1))
        first, second = first + start, second + start
        details: dict[int, np.ndarray] = {}
        for i in np.unique(first):
            partners = second[first == i]
            for j in (i, *partners):
                if j not in details:
                    details[j] = high_pass(thumbnails[j])
            confirmed = np.array([j for j in partners if details[i] @ details[j] > correlation], dtype=np.int64)
            pairs.append(np.stack([np.full_like(confirmed, i), confirmed], axis=1))
    return np.concatenate(pairs)


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
