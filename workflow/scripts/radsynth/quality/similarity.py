"""How similar synthetic images are to their nearest training image, pixel by pixel."""

import numpy as np
from skimage.metrics import structural_similarity

from radsynth.common.nearest import nearest_by_pixels
from radsynth.quality.arrays import Estimate, UndefinedError

MIN_SIDE = 11  # pixels that the Gaussian window of the SSIM spans


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
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    values = [structural_similarity(a, b, **options) for a, b in zip(images, nearest, strict=True)]
    return _over_images(np.array(values))
