"""The stored pixel values of a DICOM image, from every coding that is read.

Compressed streams are decoded by GDCM through pydicom. Both trust a stream's own header more than they should: a stream
that announces another size than the file makes GDCM write outside its memory, and pydicom never returns from some JP2
boxes. So a stream's markers are compared with the file's header before it is decoded.
"""

import io
import itertools
import struct
from dataclasses import dataclass

import gdcm
import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from radsynth.common.errors import UserError
from radsynth.data.dicom_header import MAX_PIXELS, UNDEFINED_LENGTH, Header

# GDCM writes to the terminal by itself.
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
#: The start-of-frame marker that a stream must have (ISO/IEC 10918-1 table B.1, ISO/IEC 14495-1 C.1.1).
START_OF_FRAME = {
    uid.JPEGBaseline8Bit: 0xC0,
    uid.JPEGLossless: 0xC3,
    uid.JPEGLosslessSV1: 0xC3,
    uid.JPEGLSLossless: 0xF7,
    uid.JPEGLSNearLossless: 0xF7,
}
START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
#: The tables of JPEG (DQT, DHT, DRI) and JPEG-LS (LSE); application data and comments.
TABLES, REMARKS = (0xDB, 0xC4, 0xDD, 0xF8), (*range(0xE0, 0xF0), 0xFE)


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
        """Return whether a stream's bits per pixel need just the bytes allocated; GDCM relies on that."""
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


def _native_pixels(header: Header, form: PixelFormat, frame: int) -> np.ndarray:
    start, end = frame * form.size, (frame + 1) * form.size
    little = header.syntax != uid.ExplicitVRBigEndian
    # Big-endian 8-bit pixels in 16-bit words come in pairs, the second one first (PS3.5 8.1.2).
    paired = form.allocated == 8 and not little and header.vr == "OW"
    needed = max(form.frames * form.size, end + end % 2 if paired else end)
    if header.length == UNDEFINED_LENGTH:
        raise UserError("its pixel data are not coded as its transfer syntax says")
    if needed > header.length or header.stream.tell() + header.length > header.size:
        raise UserError("it has fewer pixel data than its header announces")
    if paired:
        words = np.frombuffer(header.stream.read(end + end % 2), "u2")
        return words.byteswap().view("u1")[start:end]
    header.stream.seek(start, io.SEEK_CUR)
    return np.frombuffer(header.stream.read(form.size), f"{'<' if little else '>'}u{form.allocated // 8}")


def _read_fragments(header: Header) -> list[bytes]:
    """Return the items of encapsulated pixel data, the offset table first (PS3.5 A.4)."""
    fragments = []
    while True:
        item = header.stream.read(8)
        if item[:4] == b"\xfe\xff\xdd\xe0":
            return fragments
        length = int.from_bytes(item[4:], "little")
        if len(item) < 8 or header.stream.tell() + length > header.size:
            raise UserError("its compressed pixel data are cut off")
        if item[:4] != b"\xfe\xff\x00\xe0":
            raise UserError("its compressed pixel data are damaged")
        fragments.append(header.stream.read(length))


def _read_stream(header: Header, form: PixelFormat, frame: int) -> bytes:
    """Return the compressed stream of a frame."""
    if header.length != UNDEFINED_LENGTH:
        raise UserError("its pixel data are not coded as its transfer syntax says")
    fragments = _read_fragments(header)[1:]
    if form.frames == 1:
        return b"".join(fragments)
    if len(fragments) != form.frames:
        raise UserError("its frames are not one fragment each")
    return fragments[frame]


def _checked_jpeg(stream: bytes, syntax: uid.UID, form: PixelFormat) -> bytes:
    """Compare the segments of a JPEG or JPEG-LS stream, up to its one scan, with the file's header.

    Return the stream without application data and comments: GDCM ends the process for some that it finds odd.
    """
    if not stream.startswith(START_OF_IMAGE) or not stream.rstrip(b"\0\xff").endswith(END_OF_IMAGE):
        raise UserError("its compressed pixel data are cut off")
    kept, position, frames = [START_OF_IMAGE], 2, 0
    while True:
        marker, code, length = struct.unpack(">BBH", stream[position : position + 4].ljust(4, b"\0"))
        segment = stream[position + 4 : position + 2 + length]
        if marker != 0xFF or length < 2 or len(segment) != length - 2:
            break
        if code == START_OF_FRAME[syntax] and length == 11:
            precision, rows, columns, components, _, sampling, _ = struct.unpack(">BHHBBBB", segment)
            frames += 1
            same_size = (rows, columns, components, sampling) == (form.rows, form.columns, 1, 0x11)
            if not same_size or not form.fits(precision):
                break
        elif code == 0xDA and frames == 1 and length == 8 and segment[0] == 1:
            return b"".join([*kept, stream[position:]])
        elif code not in TABLES and code not in REMARKS:
            break
        if code not in REMARKS:
            kept.append(stream[position : position + 2 + length])
        position += 2 + length
    raise UserError("its compressed pixel data are damaged, or of another size than its header says")


def _check_jpeg_2000(stream: bytes, form: PixelFormat) -> None:
    """Compare the size marker of a JPEG 2000 codestream (ISO/IEC 15444-1 A.5.1) with the file's header."""
    if not stream.rstrip(b"\0\xff").endswith(END_OF_IMAGE):
        raise UserError("its compressed pixel data are cut off")
    fields = struct.unpack(">IHHIIIIIIIIHBBB", stream[:45].ljust(45, b"\0"))
    start, length, _, right, bottom, left, top, *_, components, depth, step_x, step_y = fields
    size = (bottom - top, right - left, components, step_x, step_y)
    same_size = size == (form.rows, form.columns, 1, 1, 1)
    if start != 0xFF4FFF51 or length != 41 or not same_size or not form.fits((depth & 0x7F) + 1):
        raise UserError("its compressed pixel data are damaged, or of another size than its header says")


def _decode(stream: bytes, syntax: uid.UID, form: PixelFormat) -> np.ndarray:
    try:
        pixels, _ = get_decoder(syntax).as_array(
            encapsulate([stream]),
            index=0,
            raw=True,
            decoding_plugin="gdcm",
            rows=form.rows,
            columns=form.columns,
            bits_allocated=form.allocated,
            bits_stored=form.stored,
            pixel_representation=int(form.signed),
            samples_per_pixel=1,
            number_of_frames=1,
            photometric_interpretation="MONOCHROME2",
            pixel_keyword="PixelData",
        )
    except Exception:  # pydicom and GDCM raise many kinds for damaged streams
        raise UserError("its compressed pixel data cannot be decoded") from None
    # Lossy coding can leave the range of the stored bits; masking would turn white into black.
    return pixels.clip(-(2 ** (form.stored - 1)) if form.signed else 0, 2 ** (form.stored - form.signed) - 1)


def _unpack_bits(packed: bytes, size: int) -> np.ndarray:
    """Return the first ``size`` bytes of an RLE segment (PS3.5 G.3.1), and never expand it further."""
    unpacked = bytearray()
    position = 0
    while len(unpacked) < size:
        if position >= len(packed):
            raise UserError("its compressed pixel data are cut off")
        code = packed[position]
        if code < 128:
            unpacked += packed[position + 1 : position + 2 + code]
            position += 2 + code
        else:
            # 128 stands alone and means nothing.
            unpacked += packed[position + 1 : position + 2] * (257 - code if code > 128 else 0)
            position += 2 if code > 128 else 1
    return np.frombuffer(unpacked, np.uint8, size)


def _decode_rle(stream: bytes, form: PixelFormat) -> np.ndarray:
    """Decode one byte plane after the other, the most significant first (PS3.5 G.2)."""
    count, *offsets = struct.unpack("<16I", stream[:64].ljust(64, b"\0"))
    if count != form.allocated // 8:
        raise UserError("its compressed pixel data are damaged, or of another size than its header says")
    pixels = np.zeros(form.rows * form.columns, f"u{count}")
    for start, end in itertools.pairwise([*offsets[:count], len(stream)]):
        pixels = (pixels << 8 if count > 1 else pixels) | _unpack_bits(stream[start:end], pixels.size)
    return pixels


def read_pixels(header: Header, form: PixelFormat, frame: int) -> np.ndarray:
    """Return the bit patterns of a frame: unsigned integers (rows, columns) below 2 ** stored.

    Bits above the stored ones are masked. UserError, without the file's name, for codings that are not read and for
    pixel data that are damaged, cut off, or of another size than the header says.
    """
    if header.syntax in NATIVE:
        pixels = _native_pixels(header, form, frame)
    else:
        if header.syntax not in (uid.RLELossless, *START_OF_FRAME, *JPEG_2000):
            known = header.syntax.type == "Transfer Syntax"
            raise UserError(f"its transfer syntax{f' {header.syntax.name}' if known else ''} is not read")
        stream = _read_stream(header, form, frame)
        if header.syntax == uid.RLELossless:
            pixels = _decode_rle(stream, form)
        else:
            if header.syntax in JPEG_2000:
                _check_jpeg_2000(stream, form)
            else:
                stream = _checked_jpeg(stream, header.syntax, form)
            pixels = _decode(stream, header.syntax, form)
    patterns = pixels.astype(f"u{form.allocated // 8}", copy=False).reshape(form.rows, form.columns)
    return patterns & (2**form.stored - 1) if form.stored < form.allocated else patterns
