"""Decoders of compressed pixel data, guarded against damaged streams.

GDCM (JPEG, JPEG-LS) and Pillow (JPEG 2000) decode, through pydicom. They trust a stream too far: GDCM writes outside
its memory where a stream announces another size than the file, and ends the process for some application data;
few bytes of JPEG 2000 can ask for minutes and gigabytes; pydicom never returns from some JP2 boxes. So all markers are
checked before a stream is decoded. What its data hold may still be wrong, but is then only a wrong image.
"""

import itertools
import struct

import gdcm
import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from radsynth.common.errors import UserError
from radsynth.data.dicom_header import PixelFormat

# GDCM writes to the terminal by itself.
gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()

#: The start-of-frame marker that a stream must have (ISO/IEC 10918-1 table B.1, ISO/IEC 14495-1 C.1.1).
START_OF_FRAME = {
    uid.JPEGBaseline8Bit: 0xC0,
    uid.JPEGLossless: 0xC3,
    uid.JPEGLosslessSV1: 0xC3,
    uid.JPEGLSLossless: 0xF7,
    uid.JPEGLSNearLossless: 0xF7,
}
JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
#: All that is decoded here.
COMPRESSED = (uid.RLELossless, *START_OF_FRAME, *JPEG_2000)

START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
#: The tables of JPEG (DQT, DHT, DRI) and JPEG-LS (LSE); application data and comments.
TABLES, REMARKS = (0xDB, 0xC4, 0xDD, 0xF8), (*range(0xE0, 0xF0), 0xFE)
#: JPEG 2000: image size, start of a tile part and of its data, coding style (ISO/IEC 15444-1 table A.2).
SIZ, SOT, SOD, COD = 0xFF51, 0xFF90, 0xFF93, 0xFF52
#: Capabilities, lengths of tile parts and packets, quantisation, comment.
OTHER_2000 = (0xFF50, 0xFF55, 0xFF57, 0xFF58, 0xFF5C, 0xFF64)
#: Packets of a JPEG 2000 image; one of 30 million pixels with 8 layers in precincts of 64 x 64 has 350,000.
MAX_PACKETS = 2**20

DAMAGED = "its compressed pixel data are damaged, or of another size than its header says"
CUT_OFF = "its compressed pixel data are cut off"


def _checked_jpeg(stream: bytes, syntax: uid.UID, form: PixelFormat) -> bytes:
    """Compare the segments of a JPEG or JPEG-LS stream, up to its one scan, with the file's header.

    Return the stream without application data and comments.
    """
    if not stream.startswith(START_OF_IMAGE) or not stream.rstrip(b"\0\xff").endswith(END_OF_IMAGE):
        raise UserError(CUT_OFF)
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
    raise UserError(DAMAGED)


def _check_coding_style(segment: bytes, tile: int, form: PixelFormat) -> None:
    """Refuse a coding style (ISO/IEC 15444-1 A.6.1) of too many packets or too small blocks."""
    style, _, layers, _, levels, width, height, _, _ = struct.unpack(">BBHBBBBBB", segment[:10])
    precincts = segment[10:] if style & 1 else b"\xff"
    smallest = min(2 ** ((size & 15) + (size >> 4)) for size in precincts or b"\0")
    packets = layers * (levels + 1) * form.rows * form.columns / min(smallest, tile)
    if packets > MAX_PACKETS or (width & 15) + (height & 15) < 2:
        raise UserError(DAMAGED)


def _check_jpeg_2000(stream: bytes, form: PixelFormat) -> bool:
    """Compare the markers of a JPEG 2000 codestream with the file's header; return whether its pixels are signed."""
    if not stream.rstrip(b"\0\xff").endswith(END_OF_IMAGE):
        raise UserError(CUT_OFF)
    fields = struct.unpack(">IHHIIIIIIIIHBBB", stream[:45].ljust(45, b"\0"))
    start, length, _, right, bottom, left, top, width, height, start_x, start_y, components, depth, *step = fields
    size = (bottom - top, right - left, components, *step)
    if start != 0xFF4F0000 | SIZ or length != 41 or size != (form.rows, form.columns, 1, 1, 1):
        raise UserError(DAMAGED)
    if not form.fits((depth & 0x7F) + 1) or min(width, height) == 0:
        raise UserError(DAMAGED)
    missing = set(range(min(2**16, -((start_x - right) // width) * -((start_y - bottom) // height))))
    position, end = 45, 0
    while stream[position : position + 2] != END_OF_IMAGE:
        marker, length = struct.unpack(">HH", stream[position : position + 4].ljust(4, b"\0"))
        segment = stream[position + 4 : position + 2 + length]
        if marker == SOD and end > position:
            position = end
            continue
        if length < 2 or len(segment) != length - 2:
            raise UserError(DAMAGED)
        if marker == SOT and length == 10:
            tile, part = struct.unpack(">HI", segment[:6])
            missing.discard(tile)
            # The last part of all may leave out its length.
            end = position + part if part else stream.rindex(END_OF_IMAGE)
        elif marker == COD and length >= 12:
            _check_coding_style(segment, width * height, form)
        elif marker not in OTHER_2000:
            raise UserError(DAMAGED)
        position += 2 + length
    if missing:
        raise UserError(CUT_OFF)
    return bool(depth & 0x80)


def _decode(stream: bytes, syntax: uid.UID, form: PixelFormat, plugin: str, signed: bool) -> np.ndarray:
    """Return the values of a checked stream, (rows, columns); ``signed`` is what the stream says of them."""
    try:
        pixels, _ = get_decoder(syntax).as_array(
            encapsulate([stream]),
            index=0,
            raw=True,
            decoding_plugin=plugin,
            rows=form.rows,
            columns=form.columns,
            bits_allocated=form.allocated,
            bits_stored=form.stored,
            pixel_representation=int(signed),
            samples_per_pixel=1,
            number_of_frames=1,
            photometric_interpretation="MONOCHROME2",
            pixel_keyword="PixelData",
        )
    except Exception:  # the decoders raise many kinds for damaged streams
        raise UserError("its compressed pixel data cannot be decoded") from None
    if signed == form.signed:
        # Lossy coding can leave the range of the stored bits; masking would turn white into black.
        return pixels.clip(-(2 ** (form.stored - 1)) if signed else 0, 2 ** (form.stored - signed) - 1)
    return pixels


def _unpack_bits(packed: bytes, size: int) -> np.ndarray:
    """Return the first ``size`` bytes of an RLE segment (PS3.5 G.3.1), and never expand it further."""
    unpacked = bytearray()
    position = 0
    while len(unpacked) < size:
        if position >= len(packed):
            raise UserError(CUT_OFF)
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
        raise UserError(DAMAGED)
    pixels = np.zeros(form.rows * form.columns, f"u{count}")
    for start, end in itertools.pairwise([*offsets[:count], len(stream)]):
        pixels = (pixels << 8 if count > 1 else pixels) | _unpack_bits(stream[start:end], pixels.size)
    return pixels


def decode(stream: bytes, syntax: uid.UID, form: PixelFormat) -> np.ndarray:
    """Decode one frame in one of the COMPRESSED codings; integers (rows x columns pixels), the stored bits lowest.

    UserError, without the file's name, for a stream that is damaged, cut off or does not match the file's header.
    """
    if syntax == uid.RLELossless:
        return _decode_rle(stream, form)
    if syntax in JPEG_2000:
        return _decode(stream, syntax, form, "pillow", _check_jpeg_2000(stream, form))
    return _decode(_checked_jpeg(stream, syntax, form), syntax, form, "gdcm", form.signed)
