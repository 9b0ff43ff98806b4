"""What is measured of any set of images, be it a pool or, as a control, other originals: arrays in.

Each function returns, by metric, what is known of it: its value with interval and SD, or the reason why there is none.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from radsynth.common.hashing import sha256_pixels
from radsynth.quality import frechet, kernel, manifold, repeats, similarity
from radsynth.quality.arrays import Estimate, UndefinedError
from radsynth.quality.authenticity import authpct
from radsynth.quality.closest_record import dcr_median, dcr_share
from radsynth.quality.data_copying import c_t
from radsynth.quality.hashes import hash_distances, hash_threshold
from radsynth.quality.memorisation import near_tail, nearest_copy, quantile_threshold, share_below
from radsynth.quality.neighbours import Encounter, Points, encounter
from radsynth.quality.parts import Neighbourhoods
from radsynth.quality.rows import estimated
from radsynth.quality.views import relative_view_distances

Known = dict[str, dict[str, Any]]

DISTANCE = ("fid", "kid", "kid_subsets")
MANIFOLD = ("precision", "recall", "density", "coverage")
SIMILARITY = ("mse", "psnr", "ssim")
COPIES = ("authpct", "c_t", "dcr_median", "dcr_share", "dcr_tail", "copy_rate", "nearest_copy")


def undefined(metrics: Sequence[str], error: UndefinedError) -> Known:
    """Return the same reason for each of the metrics."""
    return {metric: {"reason": str(error)} for metric in metrics}


def meet(reference: Points, candidate: Points) -> Encounter:
    """Return the encounter that ``between`` and ``copies`` read."""
    return encounter(reference, candidate, (manifold.K_PRECISION, manifold.K_COVERAGE))


def between(meeting: Encounter) -> Known:
    """Return the distances and manifold metrics of the encounter of two Samples."""
    reference, candidate = meeting.reference, meeting.candidate
    found = {"fid": estimated(lambda: frechet.value(reference.gaussian, candidate.gaussian))}
    dim = reference.features.shape[1]
    if "value" in found["fid"] and min(len(reference), len(candidate)) <= dim:
        found["fid"]["note"] = f"no more images than dimensions ({dim}): mostly bias"
    return (
        found
        | kernel_distances(lambda: kernel.estimates(reference.resampled, candidate.resampled))
        | {metric: estimated(getattr(manifold, metric), meeting) for metric in MANIFOLD}
    )


def between_parts(
    features: np.ndarray, groups: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], seed: int
) -> list[Known]:
    """Return the distances and manifold metrics of pairs of parts (index arrays) of one set, without intervals.

    ``features`` (n, d), ``groups`` (n,): the patients or the like of the images.
    """
    if not parts:
        return []
    neighbourhoods, known = Neighbourhoods(features), []
    for (a, b), kids in zip(parts, kernel.of_parts(features, groups, parts, seed), strict=True):
        gaussians = (frechet.statistics(features[part]) for part in (a, b))
        found = {"fid": estimated(lambda pair=gaussians: frechet.value(*pair))}
        known.append(found | kernel_distances(kids) | neighbourhoods.manifold(a, b))
    return known


def kernel_distances(estimates: Callable[[], dict[str, Estimate]]) -> Known:
    """Return what is known of the kernel distances that ``estimates()`` gives."""
    try:
        kids = estimates()
    except UndefinedError as error:
        return undefined(DISTANCE[1:], error)
    return {metric: estimated(kids.get, metric) for metric in kids}


def copies(meeting: Encounter, held_out: Points, thresholds: dict[str, float | None], seed: int) -> Known:
    """Return the memorisation metrics of an encounter with the training images; ``held_out`` is compared with."""
    training, candidate = meeting.reference, meeting.candidate
    usual = encounter(training, held_out).distance if len(held_out) else np.empty(0)
    return {
        "authpct": estimated(authpct, meeting),
        "c_t": estimated(c_t, meeting.distance, usual),
        "dcr_median": estimated(dcr_median, meeting.distance),
        "dcr_share": estimated(dcr_share, candidate, training, held_out, seed),
        "dcr_tail": estimated(share_below, meeting.distance, thresholds["dcr_tail"]),
        "copy_rate": estimated(share_below, meeting.relative, thresholds["copy_rate"]),
        "nearest_copy": estimated(nearest_copy, meeting.relative),
    }


def copy_thresholds(training: Points, held_out: Points) -> dict[str, float | None]:
    """Return the thresholds of ``copies``; None for too few training or held-out images."""
    if len(training) < 2 or len(held_out) < 2:
        return {"dcr_tail": None, "copy_rate": None}
    meeting = encounter(training, held_out)
    return {"dcr_tail": quantile_threshold(meeting.distance), "copy_rate": quantile_threshold(meeting.relative)}


def similarities(images: np.ndarray, training: np.ndarray) -> Known:
    """Return how similar uint8 images (n, height, width) are to their nearest training images."""
    try:
        nearest, errors = similarity.nearest_by_mse(images, training)
    except UndefinedError as error:
        return undefined(SIMILARITY, error)
    return {
        "mse": estimated(similarity.mse, errors),
        "psnr": estimated(similarity.psnr, errors),
        "ssim": estimated(similarity.ssim, images, training[nearest]),
    }


def tail_of(distances: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Return what an entry of the controls says of the tail of held-out distances (n,), or why there is none.

    ``groups`` (n,) are the numbers of their patients or the like.
    """
    try:
        tail = near_tail(distances, groups)
    except UndefinedError as error:
        return {"note": f"not calibrated: {error}"}
    return {f"tail_{key}": value for key, value in tail.described().items()}


def near_distances(images: np.ndarray, training: np.ndarray) -> dict[str, np.ndarray]:
    """Return the distances (n,) behind the metrics of ``near_copies``; none without images or 2 training images.

    ``view_nearest`` beside them are the indices (n,) of the training images that are nearest over their views.
    """
    if not len(images) or len(training) < 2:
        return {"view": np.empty(0), "view_nearest": np.empty(0, int), "hash": np.empty(0)}
    relative, nearest = relative_view_distances(images, training)
    return {"view": relative, "view_nearest": nearest, "hash": hash_distances(images, training)}


def near_thresholds(distances: dict[str, np.ndarray]) -> dict[str, float | None]:
    """Return the thresholds that ``near_distances`` of held-out images give; None where there are too few."""
    thresholds = {
        "view_copy_rate": estimated(quantile_threshold, distances["view"]),
        "hash_copy_rate": estimated(hash_threshold, distances["hash"]),
    }
    return {metric: found.get("value") for metric, found in thresholds.items()}


def near_copies(distances: dict[str, np.ndarray], thresholds: dict[str, float | None]) -> Known:
    """Return the shares of images that are not farther from the training images than the threshold, and the nearest."""
    return {
        "view_copy_rate": estimated(share_below, distances["view"], thresholds["view_copy_rate"]),
        "hash_copy_rate": estimated(share_below, distances["hash"], thresholds["hash_copy_rate"]),
        "view_nearest_copy": estimated(nearest_copy, distances["view"]),
    }


def repeated(images: np.ndarray, training: np.ndarray) -> Known:
    """Return the rates of exact copies of training images, of duplicates and of constant images."""
    hashes, known = ([sha256_pixels(image) for image in stack] for stack in (images, training))
    return {
        "exact_copy_rate": estimated(repeats.exact_copy_rate, hashes, known),
        "duplicate_rate": estimated(repeats.duplicate_rate, hashes),
        "constant_rate": estimated(repeats.constant_rate, images),
    }
