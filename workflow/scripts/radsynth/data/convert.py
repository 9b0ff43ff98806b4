"""One raw image to 8-bit grayscale of the study's size, with a note of everything that was changed on the way."""

import numpy as np
from PIL import Image, ImageOps

from radsynth.common.errors import UserError

FITS = ("pad", "crop", "squash")


def _is_deep(image: Image.Image) -> bool:
    """Return whether an opened, not yet loaded image holds more than 8 bits per channel."""
    # Pillow reads 16-bit colour and gray+alpha as 8-bit modes; only the decoder's raw mode still tells.
    raw_modes = str([tile[3] for tile in getattr(image, "tile", [])])
    return image.mode.startswith(("I", "F")) or ";16" in raw_modes


def _reduce_depth(image: Image.Image, how: str | list[float]) -> Image.Image:
    """Return a deep image as 8-bit; ``how`` is refuse, scale (0..65535 to 0..255) or a window [low, high]."""
    if how == "refuse":
        raise UserError("16 bits or more per pixel; set sixteen_bit to scale or to a window [low, high]")
    gray = image.mode.startswith(("I", "F"))
    if how == "scale" and (image.mode.startswith("I;16") or not gray):
        # Pillow has already dropped the low byte of 16-bit colour.
        window = (0.0, 65535.0) if gray else None
    elif how != "scale" and gray:
        window = (float(how[0]), float(how[1]))
    else:
        raise UserError(f"mode {image.mode} cannot be converted with sixteen_bit: {how}")
    if window is None:
        return image
    low, high = window
    if high <= low:
        raise UserError(f"sixteen_bit: the window [{low:g}, {high:g}] is empty")
    values = (np.asarray(image, dtype=np.float64) - low) * (255.0 / (high - low))
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def to_gray(image: Image.Image, sixteen_bit: str | list[float] = "refuse") -> tuple[Image.Image, set[str]]:
    """Return an opened image as mode L, upright, and what was done to it.

    The notes are names of integrity checks: multi_frame, converted_16_bit, alpha_dropped, colour_to_luminance.
    Raises UserError (without the file's name) for a depth that ``sixteen_bit`` does not allow, and whatever
    Pillow raises for a broken file.
    """
    notes = set()
    if getattr(image, "n_frames", 1) > 1:
        notes.add("multi_frame")
    deep = _is_deep(image)
    image.load()
    if deep:
        image = _reduce_depth(image, sixteen_bit)
        notes.add("converted_16_bit")
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        notes.add("alpha_dropped")
        # Composed over nothing: the colours below the alpha channel are the image.
        image = image.convert("RGBA").convert("RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode != "L":
        channels = np.asarray(image.convert("RGB"))
        if (channels == channels[..., :1]).all():
            return Image.fromarray(np.ascontiguousarray(channels[..., 0])), notes
        notes.add("colour_to_luminance")
        image = image.convert("RGB").convert("L")
    return image, notes


def fit_square(image: Image.Image, size: int, fit: str, resample: Image.Resampling) -> Image.Image:
    """Return ``image`` as ``size`` x ``size`` px.

    ``fit``: pad (whole image, black borders), crop (centre square) or squash (aspect ratio given up).
    """
    if fit not in FITS:
        raise UserError(f"datasets: fit is {fit!r}, expected one of {', '.join(FITS)}")
    if image.size == (size, size):
        return image
    if fit == "crop":
        return ImageOps.fit(image, (size, size), method=resample)
    if fit == "pad":
        return ImageOps.pad(image, (size, size), method=resample, color=0)
    return image.resize((size, size), resample)
