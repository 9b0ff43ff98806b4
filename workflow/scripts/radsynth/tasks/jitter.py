"""Random changes of training images that leave their label as it is, in NumPy: the same for every Keras backend."""

import math

import numpy as np
from scipy.ndimage import affine_transform


def moved(image: np.ndarray, degrees: float, shift: tuple[float, float], scale: float) -> np.ndarray:
    """Return a gray image, uint8 (height, width), turned about its centre, enlarged by ``scale``, then shifted.

    Positive ``degrees`` turn counter-clockwise; ``shift`` is (down, right) in pixels. Bilinear; what comes in from
    outside the image is black.
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    back = np.array([[cos, sin], [-sin, cos]]) / scale  # from a place in the result to its place in the image
    centre = (np.array(image.shape) - 1) / 2
    values = affine_transform(image.astype(np.float32), back, centre - back @ (centre + shift), order=1)
    return np.rint(values).astype(np.uint8)


def cxr(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return chest X-rays, uint8 (n, height, width), each with its own small affine change and brightness.

    Uniform: rotation within 10 degrees, shift within 10 % of height and width, scale 0.85 to 1.15, gray values times
    0.9 to 1.1. These are the ranges of COVID-Net (Wang et al. 2020, doi 10.1038/s41598-020-76550-z) without its
    mirror images, which would put the heart on the other side.
    """
    low, high = (-10, -0.1, -0.1, 0.85, 0.9), (10, 0.1, 0.1, 1.15, 1.1)
    changed = np.empty_like(images)
    draws = rng.uniform(low, high, (len(images), len(low)))
    for index, (degrees, down, right, scale, brightness) in enumerate(draws):
        height, width = images.shape[1:]
        image = moved(images[index], degrees, (down * height, right * width), scale)
        changed[index] = np.rint(np.minimum(image * brightness, 255))
    return changed


AUGMENTATIONS = {"cxr": cxr}
