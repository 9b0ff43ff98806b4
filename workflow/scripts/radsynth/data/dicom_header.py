"""What is read of a DICOM file before its pixels: the few elements that the image needs, and none that names a patient.

Messages never hold a header's value: in a damaged file any element may hold a name or a date.
"""

import io
import logging
import math
import warnings
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from radsynth.common.errors import UserError

# pydicom quotes the values that it finds odd, in warnings and in its log. Set here and not around each call, because
# warnings.catch_warnings is not safe with threads.
warnings.filterwarnings("ignore", module="pydicom")
logging.getLogger("pydicom").disabled = True

#: Rows x Columns above this are refused before anything is decoded; the largest mammograms have 30 million pixels.
MAX_PIXELS = 2**26
#: A deflated file may not grow larger than this: 16-bit pixels of the largest image, twice.
MAX_INFLATED = 4 * MAX_PIXELS

KEYWORDS = (
    "SOPClassUID",
    "PresentationIntentType",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTFunction",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "PresentationLUTShape",
)
PIXEL_DATA, FLOAT_PIXELS = 0x7FE00010, (0x7FE00008, 0x7FE00009)
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True)
class Elements:
    """The elements of a header, or of an item in one, by keyword."""

    dataset: Dataset

    def value(self, keyword: str) -> Any:
        """Return a value as pydicom converts it, None if it is missing or empty."""
        if keyword not in self.dataset:
            return None
        try:
            value = self.dataset[keyword].value
        except Exception:  # conversions of damaged values raise many kinds
            raise UserError(f"its {keyword} is damaged") from None
        return None if value in ("", b"") else value

    def numbers(self, keyword: str) -> list[float]:
        """Return all values of an element, an empty list if it is missing; UserError unless all are finite."""
        value = self.value(keyword)
        if value is None:
            return []
        try:
            numbers = [float(one) for one in (value if isinstance(value, list | MultiValue) else [value])]
        except (TypeError, ValueError, OverflowError):
            numbers = [math.nan]
        if not all(math.isfinite(number) for number in numbers):
            raise UserError(f"its {keyword} is not a number")
        return numbers

    def integer(self, keyword: str, default: int | None = None) -> int:
        """Return the one integer that an element holds; UserError if it is not one or missing without a default."""
        numbers = self.numbers(keyword)
        if not numbers and default is not None:
            return default
        if len(numbers) != 1 or not numbers[0].is_integer():
            raise UserError(f"its {keyword} is {'not one integer' if numbers else 'missing'}")
        return int(numbers[0])

    def word(self, keyword: str) -> str:
        """Return a text in capitals, empty if the element is missing. It is for comparisons, not for messages."""
        return str(self.value(keyword) or "").strip(" \0").upper()

    def first_item(self, keyword: str) -> "Elements | None":
        """Return the first item of a sequence, None if it is missing or empty."""
        value = self.value(keyword)
        if not value:
            return None
        if not isinstance(value, Sequence):
            raise UserError(f"its {keyword} is damaged")
        return Elements(value[0])


@dataclass(frozen=True)
class Header(Elements):
    """A header, and where the pixel data are: ``stream`` stands at their first byte.

    ``length`` is what the element announces, UNDEFINED_LENGTH for compressed pixels; ``vr`` is None in implicit VR.
    """

    syntax: uid.UID
    stream: BinaryIO
    size: int
    vr: str | None
    length: int


def _inflate(deflated: bytes) -> BinaryIO:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(deflated, MAX_INFLATED)
    if not inflater.eof:
        raise UserError(f"its deflated data are cut off, or larger than {MAX_INFLATED:,} bytes")
    return io.BytesIO(data)


def _read_meta(stream: BinaryIO) -> uid.UID:
    """Return the transfer syntax; the stream then stands at the data set. Files without preamble or meta are read."""
    if stream.read(132)[128:] != b"DICM":
        stream.seek(0)
        if stream.read(2) not in (b"\x02\0", b"\x08\0"):
            raise UserError("not a DICOM file")
        stream.seek(0)
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, vr, length: tag.group != 2,
        specific_tags=[Tag("TransferSyntaxUID")],
    )
    return uid.UID(str(meta.get("TransferSyntaxUID") or uid.ImplicitVRLittleEndian))


def read_header(stream: BinaryIO) -> Header:
    """Read a DICOM file up to its pixel data.

    UserError, without the file's name, for what is no DICOM file, is damaged, or has no integer pixel data.
    """
    found: list[tuple[int, str | None, int, int]] = []

    def at_pixel_data(tag: int, vr: str | None, length: int) -> bool:
        if tag == PIXEL_DATA or tag in FLOAT_PIXELS:
            found.append((tag, vr, length, stream.tell()))
            return True
        return False

    try:
        syntax = _read_meta(stream)
        if syntax == uid.DeflatedExplicitVRLittleEndian:
            stream = _inflate(stream.read())
        dataset = read_dataset(
            stream,
            # A wrong one, as in files without meta, is found out by pydicom itself.
            is_implicit_VR=syntax == uid.ImplicitVRLittleEndian,
            is_little_endian=syntax != uid.ExplicitVRBigEndian,
            stop_when=at_pixel_data,
            specific_tags=[Tag(keyword) for keyword in KEYWORDS],
        )
    except UserError:
        raise
    except Exception:  # pydicom raises many kinds for damaged files
        raise UserError("its header is damaged") from None
    if not found:
        raise UserError("it has no pixel data, or ends before them")
    tag, vr, length, start = found[-1]
    if tag != PIXEL_DATA:
        raise UserError("its pixels are floating-point numbers; only integers are read")
    size = stream.seek(0, io.SEEK_END)
    stream.seek(start)
    return Header(dataset, syntax, stream, size, vr, length)


@dataclass(frozen=True)
class PixelFormat:
    """How the pixels of a grayscale image are stored (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    allocated: int
    stored: int
    signed: bool
    frames: int

    @property
    def size(self) -> int:
        """Bytes of one frame."""
        return self.rows * self.columns * self.allocated // 8

    def fits(self, precision: int) -> bool:
        """Return whether a stream's bits per pixel need just the bytes allocated; decoders rely on that."""
        return 2 <= precision <= 16 and (precision > 8) == (self.allocated == 16)

    def values(self) -> np.ndarray:
        """Return the value of each bit pattern: int32 (2 ** stored,), in the order of the patterns."""
        patterns = np.arange(2**self.stored, dtype=np.int32)
        negative = self.signed & (patterns >> (self.stored - 1))
        return patterns - (negative << self.stored)


def pixel_format(header: Header) -> PixelFormat:
    """Return how the pixels are stored; UserError for what is not grayscale with 8 to 16 bits, or too large."""
    if header.integer("SamplesPerPixel", 1) != 1 or header.word("PhotometricInterpretation") not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise UserError("its PhotometricInterpretation is not MONOCHROME1 or MONOCHROME2: colour images are not read")
    allocated, stored = header.integer("BitsAllocated"), header.integer("BitsStored")
    if allocated not in (8, 16) or not 8 <= stored <= allocated:
        raise UserError("it does not have 8 to 16 bits stored in 8 or 16 bits allocated")
    if header.integer("HighBit", stored - 1) != stored - 1:
        raise UserError("its HighBit is not BitsStored - 1")
    sign = header.integer("PixelRepresentation")
    rows, columns, frames = header.integer("Rows"), header.integer("Columns"), header.integer("NumberOfFrames", 1)
    if sign not in (0, 1) or min(rows, columns, frames) < 1:
        raise UserError("its PixelRepresentation, Rows, Columns or NumberOfFrames is outside its range")
    if rows * columns > MAX_PIXELS:
        raise UserError(f"Rows x Columns is more than {MAX_PIXELS:,} pixels")
    return PixelFormat(rows, columns, allocated, stored, sign == 1, frames)
