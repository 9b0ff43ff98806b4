"""One raw image to 8-bit grayscale of the study's size, with a note of everything that was changed on the way."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from radsynth.common.errors import UserError
from radsynth.data.source import Box

FITS = ("pad", "crop", "squash")
Window = tuple[float, float]

#: TIFF: how 0 is meant, and the value for which it is white.
PHOTOMETRIC, MIN_IS_WHITE = 262, 0
#: Levels that must be left of colour of 16 bits, of which Pillow keeps the upper 8.
FEWEST_LEVELS = 128


def is_deep(image: Image.Image) -> bool:
    """Return whether an opened, not yet loaded image holds more than 8 bits per channel."""
    # Pillow reads 16-bit colour and gray+alpha as 8-bit modes; only the decoder's raw mode still tells.
    raw_modes = str([tile[3] for tile in getattr(image, "tile", [])])
    return image.mode.startswith(("I", "F")) or ";16" in raw_modes


def deep_values(image: Image.Image) -> np.ndarray:
    """Return the raw values of a deep image as float64; of colour those that its upper 8 bits stand for.

    UserError if some are no finite numbers.
    """
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise UserError("values that are no finite numbers (NaN or infinity)")
    # Pillow has dropped the low byte of 16-bit colour: 255 stands for 65535.
    return values if image.mode.startswith(("I", "F")) else values * 257


def range_in_use(image: Image.Image) -> Window | None:
    """Return the lowest and the highest raw value of an opened image, None if it has no more than 8 bits."""
    if not is_deep(image):
        return None
    values = deep_values(image)
    colours = values[..., :-1] if values.ndim == 3 and image.getbands()[-1] == "A" else values
    return float(colours.min()), float(colours.max())


def _reduce_depth(image: Image.Image, window: Window | None, inverted: bool) -> Image.Image:
    """Return a deep image as 8-bit: the window (low, high) of raw values becomes 0 to 255, or 255 to 0."""
    values = deep_values(image)
    if window is None:
        raise UserError(
            "16 bits or more per pixel; set sixteen_bit to scale (the range in use over the data set) or to a window "
            "[low, high]"
        )
    low, high = map(float, window)
    if high <= low:
        raise UserError(f"sixteen_bit: the window [{low:g}, {high:g}] is empty")
    gray = image.mode.startswith(("I", "F"))
    if not gray and (high - low) / 257 < FEWEST_LEVELS:
        raise UserError(
            f"16 bits in colour (mode {image.mode}), of which only the upper 8 are read: of [{low:g}, {high:g}] "
            f"{(high - low) / 257:.0f} levels would be left; convert it to 8 bits, or to gray"
        )
    reduced = np.clip(np.rint((values - low) * (255.0 / (high - low))), 0, 255).astype(np.uint8)
    return Image.fromarray(255 - reduced if inverted else reduced, None if gray else image.mode)


def to_gray(image: Image.Image, window: Window | None = None) -> tuple[Image.Image, set[str]]:
    """Return an opened image as mode L, upright, and what was done to it.

    ``window`` (low, high) are the raw values of a deep image that become black and white. The notes are names of
    integrity checks: multi_frame, converted_16_bit, alpha_dropped, colour_to_luminance. Raises UserError (without the
    file's name) for a deep image without a window, and whatever Pillow raises for a broken file.
    """
    notes = set()
    if getattr(image, "n_frames", 1) > 1:
        notes.add("multi_frame")
    # Pillow turns MinIsWhite round in images of 8 bits only.
    deep, inverted = is_deep(image), getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == MIN_IS_WHITE
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        notes.add("alpha_dropped")
        # Composed over nothing: the colours below the alpha channel are the image.
        if deep and image.mode == "LA":
            image = image.getchannel(0)
        elif not image.mode.startswith(("I", "F")):  # which names a gray level as transparent, and stays as it is
            image = image.convert("RGBA").convert("RGB")
    if deep:
        image = _reduce_depth(image, window, inverted)
        notes.add("converted_16_bit")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode != "L":
        channels = np.asarray(image.convert("RGB"))
        if (channels == channels[..., :1]).all():
            return Image.fromarray(np.ascontiguousarray(channels[..., 0])), notes
        notes.add("colour_to_luminance")
        image = image.convert("RGB").convert("L")
    return image, notes


def is_two_valued(gray: Image.Image) -> bool:
    """Return whether an image (mode L, not of one value) has two gray levels, but for what JPEG and resizing add.

    Few pixels are between then: in the inner three quarters of its range less than a quarter of those at either end.
    """
    counts, (low, high) = np.array(gray.histogram()), gray.getextrema()
    edge = (high - low) / 8
    values = np.arange(256)
    dark, light = counts[values <= low + edge].sum(), counts[values >= high - edge].sum()
    return bool(4 * (counts.sum() - dark - light) < min(dark, light))


@dataclass(frozen=True)
class Geometry:
    """The way of an image of ``width`` x ``height`` px to a square of ``size`` px: cut out, mirrored, fitted.

    ``crop`` is (left, upper, right, lower). ``fit``: pad (all of it, black borders), crop (centre square) or squash
    (aspect ratio given up).
    """

    width: int
    height: int
    size: int
    fit: str
    crop: tuple[int, int, int, int] | None = None
    mirror: bool = False

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise UserError(f"datasets: fit is {self.fit!r}, expected one of {', '.join(FITS)}")

    @property
    def cut(self) -> tuple[int, int, int, int]:
        """The part that is cut out, or the whole image."""
        return self.crop or (0, 0, self.width, self.height)

    def _fitted(self) -> tuple[tuple[float, float, float, float], tuple[int, int], tuple[int, int]]:
        """Return which part of the cut is resized, to which size, and where in the square that is put."""
        left, upper, right, lower = self.cut
        width, height, size = right - left, lower - upper, self.size
        part, resized = (0.0, 0.0, float(width), float(height)), (size, size)
        if self.fit == "crop":
            side = min(width, height)
            part = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
        elif self.fit == "pad" and width > height:
            resized = (size, max(1, round(height / width * size)))
        elif self.fit == "pad" and width < height:
            resized = (max(1, round(width / height * size)), size)
        return part, resized, (round((size - resized[0]) / 2), round((size - resized[1]) / 2))

    def of_image(self, image: Image.Image, resample: Image.Resampling) -> Image.Image:
        """Return an image (or mask) after all steps."""
        if self.crop:
            image = image.crop(self.crop)
        if self.mirror:
            image = ImageOps.mirror(image)
        if image.size == (self.size, self.size):
            return image
        part, resized, offset = self._fitted()
        image = image.resize(resized, resample, box=part)
        if resized == (self.size, self.size):
            return image
        square = Image.new(image.mode, (self.size, self.size))
        square.paste(image, offset)
        return square

    def of_box(self, box: Box) -> tuple[float, float, float, float]:
        """Return xmin, ymin, xmax, ymax of a box in the square, which it may leave."""
        left, upper, right, _ = self.cut
        xs = (right - box.xmax, right - box.xmin) if self.mirror else (box.xmin - left, box.xmax - left)
        part, resized, offset = self._fitted()
        across, down = (resized[0] / (part[2] - part[0]), resized[1] / (part[3] - part[1]))
        xmin, xmax = ((x - part[0]) * across + offset[0] for x in xs)
        ymin, ymax = ((y - upper - part[1]) * down + offset[1] for y in (box.ymin, box.ymax))
        return xmin, ymin, xmax, ymax

    def visible(self, box: Box) -> tuple[list[float] | None, bool]:
        """Return the part of a box that the square shows, rounded to 0.01 px, and whether it is the whole box.

        None if less than a tenth of its area is left.
        """
        corners = self.of_box(box)
        _, (width, height), (left, upper) = self._fitted()
        ends = (left + width, upper + height) * 2
        clipped = [min(max(c, low), high) for c, low, high in zip(corners, (left, upper) * 2, ends, strict=True)]
        area, kept = ((b[2] - b[0]) * (b[3] - b[1]) for b in (corners, clipped))
        if kept < 0.1 * area:
            return None, False
        return [round(float(corner), 2) for corner in clipped], kept > 0.999 * area
