"""Grayscale images from DICOM files, ready to look at: bright is bright, and only the body is left.

Of the header only the image's own elements are read (``dicom_header``); neither a result nor a message holds anything
else of it. ``dicom_pixels`` finds the pixels and ``dicom_codecs`` decodes them. The decoders hold Python's lock:
several files at a time need several processes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import uid

from radsynth.common.errors import UserError
from radsynth.data.dicom_header import Elements, Header, PixelFormat, pixel_format, read_header
from radsynth.data.dicom_pixels import read_pixels

FOR_PROCESSING = (
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.DigitalXRayImageStorageForProcessing,
    uid.DigitalIntraOralXRayImageStorageForProcessing,
)


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One image.

    ``pixels`` is float32 (h, w) in [0, 1], 0 black; ``valid`` is bool (h, w), False where the detector saw nothing
    (padding, black in ``pixels``); ``laterality`` is L, R or empty, ``view`` CC, MLO or empty.
    """

    pixels: np.ndarray
    valid: np.ndarray
    laterality: str
    view: str

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape

    def to_uint8(self) -> np.ndarray:
        """Return the pixels as uint8 (h, w), 255 white."""
        return np.rint(self.pixels * 255).astype(np.uint8)


def _look_up(lut: Elements, keyword: str, little: bool, values: np.ndarray) -> tuple[np.ndarray, int]:
    """Map values by an item of a LUT sequence (PS3.3 C.11.1.1); return the output and its number of bits.

    pydicom's apply_modality_lut and apply_voi_lut would do, but for unsigned pixels with a negative first value,
    for 8-bit tables of more than 256 entries, and for values that a rescale has made fractions.
    """
    descriptor = lut.numbers("LUTDescriptor")
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise UserError(f"the LUTDescriptor of its {keyword} is damaged")
    entries, first, bits = int(descriptor[0]) or 2**16, int(descriptor[1]), int(descriptor[2])
    if first >= 2**15 and values.min() < 0:
        # A negative number that was coded, or read in implicit VR, as an unsigned one.
        first -= 2**16
    table = lut.value("LUTData")
    if isinstance(table, bytes):
        table = np.frombuffer(table[: len(table) // 2 * 2], "<u2" if little else ">u2")
    else:
        table = np.array(lut.numbers("LUTData"))
    if not 0 < entries <= len(table):
        raise UserError(f"the LUTData of its {keyword} are fewer than announced")
    index = np.clip(np.rint(values) - first, 0, entries - 1).astype(int)
    return np.clip(table[index], 0, 2**bits - 1).astype(np.float64), bits


def _modality(header: Header, little: bool, values: np.ndarray) -> np.ndarray:
    """Apply the modality LUT, or without one the rescale (PS3.3 C.11.1); float64."""
    lut = header.first_item("ModalityLUTSequence")
    if lut:
        return _look_up(lut, "ModalityLUTSequence", little, values)[0]
    slope = (header.numbers("RescaleSlope") or [1.0])[0]
    intercept = (header.numbers("RescaleIntercept") or [0.0])[0]
    if slope == 0:
        raise UserError("its RescaleSlope is 0")
    with np.errstate(over="ignore", invalid="ignore"):
        values = values * slope + intercept
    if not (np.abs(values) < np.finfo(np.float32).max).all():
        raise UserError("its RescaleSlope or RescaleIntercept is too large")
    return values


def _window(header: Header, values: np.ndarray) -> np.ndarray | None:
    """Apply the first window (PS3.3 C.11.2.1.2 and C.11.2.1.3), black 0, white 1; None if there is none."""
    centers, widths = header.numbers("WindowCenter"), header.numbers("WindowWidth")
    if not centers or not widths:
        return None
    center, width = centers[0], widths[0]
    function = header.word("VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UserError("its VOILUTFunction is not LINEAR, LINEAR_EXACT or SIGMOID")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise UserError("its WindowWidth is too small")
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (values > center).astype(np.float64)
    with np.errstate(over="ignore"):
        distance = (values - center) / width
    if function == "SIGMOID":
        # 1 / (1 + exp(-4 d)), without its overflow.
        return (1 + np.tanh(2 * distance)) / 2
    return np.clip(distance + 0.5, 0, 1)


def _rendering(header: Header, form: PixelFormat, patterns: np.ndarray, window: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return what each bit pattern looks like, float32 in [0, 1], and whether it is no padding: both (2 ** stored,).

    A VOI LUT goes before a window: both are the maker's proposals, and the LUT is the more exact one. Without either
    the values that occur outside the padding go from black to white.
    """
    little = header.syntax != uid.ExplicitVRBigEndian
    stored = form.values()
    valid = np.ones(stored.size, dtype=bool)
    if header.value("PixelPaddingValue") is not None:
        padding = [header.integer("PixelPaddingValue")]
        padding.append(header.integer("PixelPaddingRangeLimit", padding[0]))
        if form.signed:
            # Also where a negative number was coded as an unsigned one.
            padding = [(value + 2**15) % 2**16 - 2**15 for value in padding]
        # The value is the lower end of the range for MONOCHROME2, the upper one for MONOCHROME1.
        valid = (stored < min(padding)) | (stored > max(padding))

    values = _modality(header, little, stored)
    lut = header.first_item("VOILUTSequence") if window else None
    if lut:
        output, bits = _look_up(lut, "VOILUTSequence", little, values)
        shown = output / (2**bits - 1)
    else:
        shown = _window(header, values) if window else None
    if shown is None:
        occurs = np.zeros(stored.size, dtype=bool)
        for row in patterns:
            occurs[row] = True
        seen = values[valid & occurs]
        low, high = (seen.min(), seen.max()) if seen.size else (0.0, 0.0)
        shown = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros(stored.size)
    # Either says it, and a MONOCHROME1 image says both.
    if header.word("PhotometricInterpretation") == "MONOCHROME1" or header.word("PresentationLUTShape") == "INVERSE":
        shown = 1 - shown
    return np.where(valid, shown, 0).astype(np.float32), valid


def _by_pattern(table: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """Return ``table[patterns]``, row by row: NumPy would copy all patterns to 64-bit indices at once."""
    found = np.empty(patterns.shape, table.dtype)
    for row, target in zip(patterns, found, strict=True):
        np.take(table, row, out=target, mode="clip")
    return found


def _choose_frame(form: PixelFormat, frame: int | None) -> int:
    if frame is None and form.frames > 1:
        raise UserError("it has more than one frame")
    if frame is not None and not 0 <= frame < form.frames:
        raise UserError(f"it has no frame {frame}")
    return frame or 0


def _read_image(path: str | Path, for_processing: str, frame: int | None, window: bool) -> DicomImage:
    with open(path, "rb") as file:
        header = read_header(file)
        raw = header.word("PresentationIntentType") == "FOR PROCESSING" or header.word("SOPClassUID") in FOR_PROCESSING
        if raw and for_processing == "refuse":
            raise UserError("it is FOR PROCESSING: raw detector values, not an image to look at")
        form = pixel_format(header)
        patterns = read_pixels(header, form, _choose_frame(form, frame))
        shown, valid = _rendering(header, form, patterns, window)
    laterality = header.word("ImageLaterality") or header.word("Laterality")
    view = header.word("ViewPosition")
    return DicomImage(
        pixels=_by_pattern(shown, patterns),
        valid=_by_pattern(valid, patterns),
        laterality=laterality if laterality in ("L", "R") else "",
        view=view if view in ("CC", "MLO") else "",
    )


def read_dicom(
    path: str | Path, *, for_processing: str = "refuse", frame: int | None = None, window: bool = True
) -> DicomImage:
    """Read a grayscale DICOM file of 8 to 16 bits as it is meant to be looked at.

    ``for_processing``: refuse or read images that are marked FOR PROCESSING; ``frame``: the index of the one to read
    of a multi-frame file, which is refused without; ``window``: whether the VOI LUT or window is applied.
    UserError with the path and the reason, but nothing of the header, for all that cannot or must not be read.
    """
    try:
        return _read_image(path, for_processing, frame, window)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: it cannot be read ({error.strerror})") from None
