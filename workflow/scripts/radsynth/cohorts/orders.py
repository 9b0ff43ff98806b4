"""One order per class, of which every scenario takes a prefix: random, or by k-center greedy."""

import numpy as np
import pandas as pd

_BLOCK = 1024


def random_order(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random order of n images, of which every prefix is a draw without replacement, uniform over the images.

    ``groups`` (n,) holds the numbers of groups of duplicates. They come one after the other, where the permutation has
    the one with the lowest row number, so that a large group is not more likely in a prefix than a single image.
    Patients are no such groups: those with many images are as frequent in a prefix as in the whole set.
    """
    place = np.argsort(rng.permutation(len(groups)))
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return np.lexsort((place, place[first[group]]))


def farthest_first(
    features: np.ndarray, first: int, groups: np.ndarray | None = None, limit: int | None = None
) -> np.ndarray:
    """Return the order of k-center greedy: each next image is the one farthest from all before it.

    Farthest-first traversal with Euclidean distances (Gonzalez 1985, doi 10.1016/0304-3975(85)90224-5; as core-set
    selection Sener and Savarese 2018, arXiv 1708.00489): without duplicates, the first k images cover all images within
    at most twice the optimal radius. Among equally far images the one with the lowest row number comes first.

    ``features`` is float32 (n, d), finite, and ``first`` the row of the first centre. ``groups`` (n,) holds the numbers
    of groups of duplicates: an image that is chosen is followed directly by the others of its group, and the distances
    are measured to all of them. Whose images they are plays no part. After ``limit`` images (default: all) the
    traversal stops, and the rest follows by the distances reached, farthest first. Returns row numbers (n,).

    O(n d) time per centre and O(n) memory beside the features. One float32 matrix-vector product per centre bounds
    the distances from below; only images whose bound is under their distance so far are measured, by differences in
    float64. So duplicates are at distance 0, and the order does not depend on the BLAS library.
    """
    n, d = features.shape
    groups = np.arange(n) if groups is None else groups
    limit = n if limit is None else min(limit, n)
    # In float32, 2 x.c is off by at most 2 d u |x| |c| <= d u (|x|^2 + |c|^2), u = eps / 2 (Higham 2002, section 3.1).
    # Shrinking both squared norms by d * eps covers that twice over.
    norms = np.einsum("ij,ij->i", features, features, dtype=np.float64) * (1 - d * np.finfo(np.float32).eps)
    nearest = np.full(n, np.inf)  # squared distance to the nearest chosen image; -1 for the chosen ones
    order: list[int] = []
    centre = first
    while True:
        group = np.flatnonzero(groups == groups[centre])
        chosen = np.concatenate([[centre], group[group != centre]])
        nearest[chosen] = -1
        for image in chosen:
            bound = norms + norms[image] - 2.0 * (features @ features[image])
            closer = np.flatnonzero(bound < nearest)
            for start in range(0, len(closer), _BLOCK):
                block = closer[start : start + _BLOCK]
                difference = np.subtract(features[block], features[image], dtype=np.float64)
                nearest[block] = np.minimum(nearest[block], np.einsum("ij,ij->i", difference, difference))
        order += chosen.tolist()
        if len(order) >= limit:
            break
        centre = int(np.argmax(nearest))
    rest = np.argsort(-nearest, kind="stable")[: n - len(order)]
    return _pull_together(np.concatenate([order, rest]), groups)


def _pull_together(order: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the order with every group's images moved up, in their sequence, to the first of them."""
    return order[np.argsort(pd.factorize(groups[order])[0], kind="stable")]
