"""What happens to images on their way from one set to another; uint8 (height, width) in and out."""

import io

import numpy as np
from PIL import Image


def encoded(image: np.ndarray, quality: int = 50) -> np.ndarray:
    """Return an image after JPEG."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def rescaled(image: np.ndarray, share: float = 0.7) -> np.ndarray:
    """Return an image that was made smaller and enlarged again."""
    size = [round(share * length) for length in image.shape[::-1]]
    small = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(small.resize(image.shape[::-1], Image.Resampling.BICUBIC))
