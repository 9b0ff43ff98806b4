"""How like each other images are: each to its nearest training image, and pairs of one set, which is its diversity.

Pairs are compared by a similarity (MS-SSIM) or a distance (LPIPS), see features/. The Inception score stands apart.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from radsynth.common.arrays import read_arrays
from radsynth.common.nearest import nearest_by_pixels
from radsynth.quality.metric import (
    CONTROL,
    HIGHER,
    Estimate,
    Meaning,
    OfImages,
    OfLogits,
    OfPairs,
    UndefinedError,
    estimated,
)

MIN_SIDE = 11  # pixels that the Gaussian window of the SSIM spans
SPLITS = 10  # of the Inception score
Z = 1.959964  # 97.5 % quantile of the normal distribution


def nearest_by_mse(images: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per uint8 image (n, height, width), the index (n,) of the training image of least MSE, and that MSE.

    Training images are uint8 (m, height, width). UndefinedError if either set is empty.
    """
    if not (len(images) and len(training)):
        raise UndefinedError("needs at least 1 image on either side, found 0")
    nearest = nearest_by_pixels(images, training)
    errors = [np.mean((a.astype(np.float32) - training[i]) ** 2) for a, i in zip(images, nearest, strict=True)]
    return nearest, np.array(errors, dtype=np.float64)


def _over_images(values: np.ndarray) -> Estimate:
    return Estimate(values.mean(), sd=values.std(ddof=1) if len(values) > 1 else None)


def mse(errors: np.ndarray) -> Estimate:
    """Return mean and SD over images of the mean squared error (n,) to the nearest training image, in gray values^2."""
    return _over_images(errors)


def psnr(errors: np.ndarray) -> Estimate:
    """Return mean and SD of the peak signal-to-noise ratio 10 log10(255^2 / MSE), in dB; undefined with an MSE of 0."""
    if not errors.all():
        raise UndefinedError(f"{np.count_nonzero(errors == 0)} images equal a training image: an infinite PSNR")
    return _over_images(10 * np.log10(255**2 / errors))


def ssim(images: np.ndarray, nearest: np.ndarray) -> Estimate:
    """Return mean and SD of the structural similarity of images and their nearest ones, both uint8 (n, height, width).

    As Wang et al. 2004, Image quality assessment: Gaussian window of SD 1.5, K1 = .01, K2 = .03.
    """
    if min(images.shape[1:]) < MIN_SIDE:
        raise UndefinedError(f"needs images of at least {MIN_SIDE} pixels, found {min(images.shape[1:])}")
    # Imported here: reports and plans know these metrics by name alone.
    from skimage.metrics import structural_similarity

    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    values = [structural_similarity(a, b, **options) for a, b in zip(images, nearest, strict=True)]
    return _over_images(np.array(values))


def inception_score(logits: np.ndarray, splits: int = SPLITS) -> Estimate:
    """Return mean and SD over consecutive splits of exp(mean KL(p(y|x) || p(y))); logits (n, classes), n >= 2 splits.

    Salimans et al. 2016, Improved techniques for training GANs, section 4. At least 1, at most the number of classes;
    it knows the classes of ImageNet only and no real images.
    """
    n = len(logits)
    if n < 2 * splits:
        raise UndefinedError(f"needs at least {2 * splits} images for {splits} splits, found {n}")
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    p = np.exp(log_p)
    scores = []
    for split in range(splits):
        part = slice(split * n // splits, (split + 1) * n // splits)
        marginal = np.log(p[part].mean(axis=0, keepdims=True))
        scores.append(np.exp(np.sum(p[part] * (log_p[part] - marginal), axis=1).mean()))
    return Estimate(np.mean(scores), sd=np.std(scores))


def mean_over_pairs(values: np.ndarray, pairs: np.ndarray) -> Estimate:
    """Return mean, 95 % interval and SD of values (m,) of the pairs (m, 2) of image indices.

    Pairs that share an image are not independent: the standard error is the dyadic one (Aronow et al. 2015,
    Cluster-robust variance estimation for dyadic data, equation 3), which sums the products of the deviations of all
    pairs with a common image; never less than that of independent pairs.
    """
    if len(values) < 2:
        raise UndefinedError(f"needs at least 2 pairs of images, found {len(values)}")
    unknown = np.count_nonzero(~np.isfinite(values))
    if unknown:
        raise UndefinedError(f"{unknown} of {len(values)} pairs have no finite value")
    values = values.astype(np.float64)
    mean, m = values.mean(), len(values)
    deviations = values - mean
    by_image = sum(np.bincount(side, deviations, minlength=pairs.max() + 1) for side in pairs.T)
    independent = np.sum(deviations**2)
    half = Z * math.sqrt(max(np.sum(by_image**2) - independent, independent)) / m
    return Estimate(mean, mean - half, mean + half, values.std(ddof=1))


def pair_rows(path: str | Path) -> list[dict[str, Any]]:
    """Return, for each metric in a file of pair similarities, what a row of the quality JSON says about the set.

    ``n_pairs`` is the number of pairs. The file holds ``pairs`` (m, 2), ``about`` (JSON) and an array (m,) per metric.
    """
    arrays = read_arrays(path)
    about, pairs = json.loads(str(arrays["about"])), arrays["pairs"]
    values = {metric: array for metric, array in arrays.items() if metric not in ("about", "pairs")}
    return [
        {"value": None, "sd": None, "reason": ""}
        | estimated(mean_over_pairs, of_pairs, pairs)
        | {
            "metric": metric,
            "preprocessing": about[metric]["preprocessing"],
            "weights_sha256": (about[metric]["weights"] or {}).get("sha256"),
            "n_pairs": len(of_pairs),
        }
        for metric, of_pairs in values.items()
    ]


SSIM = OfImages(
    "ssim",
    "similarity",
    lambda images: ssim(images.images, images.training[images.by_mse[0]]),
    Meaning("SSIM", CONTROL, decimals=3),
    rank=0,
)
PSNR = OfImages(
    "psnr",
    "similarity",
    lambda images: psnr(images.by_mse[1]),
    Meaning("PSNR (dB)", CONTROL, decimals=1),
    rank=1,
)
MSE = OfImages("mse", "similarity", lambda images: mse(images.by_mse[1]), Meaning("MSE", CONTROL), rank=2, lowest=0)
MS_SSIM = OfPairs(
    "ms_ssim",
    "diversity",
    mean_over_pairs,
    Meaning(
        "MS-SSIM",
        CONTROL,
        "less_varied",
        "two images of the pool resemble each other more than two real images do: too little variety",
        decimals=3,
    ),
    rank=0,
)
LPIPS = OfPairs(
    "lpips",
    "diversity",
    mean_over_pairs,
    Meaning(
        "LPIPS",
        CONTROL,
        "less_different",
        "two images of the pool differ less than two real images do: too little variety",
        decimals=3,
    ),
    rank=1,
    lowest=0,
)
INCEPTION_SCORE = OfLogits(
    "inception_score", "diversity", inception_score, Meaning("Inception score", HIGHER, decimals=2), lowest=0
)
