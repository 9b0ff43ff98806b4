"""Prepared and generated images, 8-bit PNGs written by this workflow: reading them, and making them small."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_pixels

#: The modes of PNGs that hold 1, 2, 3 and 4 channels, whatever these stand for.
MODES = ("L", "LA", "RGB", "RGBA")


def read_image(path: str | Path, sha256: str | None = None) -> np.ndarray:
    """Return an image as uint8 (height, width, channels); UserError if it is missing, broken or of no mode of MODES.

    Or if its pixels have another ``sha256`` than its manifest says: it was exchanged or edited since.
    """
    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
            transparent = "transparency" in image.info
            pixels = np.asarray(image)
    except FileNotFoundError:
        raise UserError(
            f"{path}: the image has vanished since its manifest was written; prepare the data again"
        ) from None
    except Exception as error:  # Pillow raises many kinds for damaged files, and for those that would fill the memory
        raise UserError(f"{path}: not a readable image ({error})") from None
    if mode.startswith(("I", "F")):
        raise UserError(
            f"{path}: mode {mode}, more than 8 bits per pixel, expected 8-bit grayscale (mode L); "
            "prepare it from its dataset with sixteen_bit: scale or a window [low, high]"
        )
    if mode not in MODES or transparent:
        alpha = " with transparency" if transparent else ""
        raise UserError(f"{path}: mode {mode}{alpha}, expected 8-bit grayscale (mode L); prepare the data again")
    if sha256 is not None and sha256_pixels(pixels) != sha256:
        raise UserError(
            f"{path}: not the image that its manifest names, whose SHA-256 is {sha256[:12]}...; delete "
            f"{Path(path).parent} to have it made anew, or put back what was there"
        )
    return pixels.reshape(*pixels.shape[:2], -1)


def gray_of(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (..., channels) without their last axis: the one channel, or the rounded mean of several."""
    return images[..., 0] if images.shape[-1] == 1 else np.rint(images.mean(axis=-1)).astype(np.uint8)


def read_gray(path: str | Path, sha256: str | None = None) -> np.ndarray:
    """Return an image as uint8 (height, width) as ``gray_of`` makes it; UserError as of ``read_image``."""
    return gray_of(read_image(path, sha256))


def read_image_stack(root: str | Path, images: pd.DataFrame) -> np.ndarray:
    """Return the images of a manifest's rows as uint8 (n, height, width, channels).

    ``images`` has the columns ``file`` (relative to ``root``) and ``sha256``. UserError if there are none, sizes differ
    or one is not what the manifest says.
    """
    return _read_stack(root, images, read_image)


def read_gray_stack(root: str | Path, images: pd.DataFrame) -> np.ndarray:
    """Return the same as uint8 (n, height, width), each image as ``gray_of`` makes it."""
    return _read_stack(root, images, read_gray)


def _read_stack(root: str | Path, images: pd.DataFrame, read: Callable[[str | Path, str], np.ndarray]) -> np.ndarray:
    if images.empty:
        raise UserError(f"{root}: an image set without images")
    paths, sums = [Path(root) / file for file in images["file"]], list(images["sha256"])
    first = read(paths[0], sums[0])
    stack = np.empty((len(paths), *first.shape), dtype=np.uint8)
    for index, path in enumerate(paths):
        image = read(path, sums[index])
        if image.shape != first.shape:
            raise UserError(f"{path}: size {image.shape}, expected {first.shape} as in {paths[0].name}")
        stack[index] = image
    return stack


def area_weights(source: int, target: int, start: float = 0, stop: float | None = None) -> np.ndarray:
    """Return the (target, source) matrix that averages pixels by the length they share with a target pixel.

    The target pixels divide the window from ``start`` to ``stop``, in source pixels; the whole length if not given.
    """
    edges = np.linspace(start, source if stop is None else stop, target + 1)
    pixels = np.arange(source)
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(shared, 0, None) / (edges[1] - edges[0])


def downsample(images: np.ndarray, size: int) -> np.ndarray:
    """Return area averages of uint8 images (n, height, width), scaled to [0, 1], as float64 (n, size * size)."""
    rows, columns = area_weights(images.shape[1], size), area_weights(images.shape[2], size)
    small = np.empty((len(images), size * size))
    for index, image in enumerate(images):
        small[index] = (rows @ image @ columns.T).ravel()
    return small / 255
