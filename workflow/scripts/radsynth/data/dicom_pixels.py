"""The stored pixel values of a DICOM image."""

import io

import numpy as np
from pydicom import uid

from radsynth.common.errors import UserError
from radsynth.data.dicom_codecs import COMPRESSED, CUT_OFF, DAMAGED, decode
from radsynth.data.dicom_header import UNDEFINED_LENGTH, Header, PixelFormat

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)


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
            raise UserError(CUT_OFF)
        if item[:4] != b"\xfe\xff\x00\xe0":
            raise UserError(DAMAGED)
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


def read_pixels(header: Header, form: PixelFormat, frame: int) -> np.ndarray:
    """Return the bit patterns of a frame: unsigned integers (rows, columns) below 2 ** stored.

    Bits above the stored ones are masked. UserError, without the file's name, for codings that are not read and for
    pixel data that are damaged, cut off, or of another size than the header says.
    """
    if header.syntax in NATIVE:
        pixels = _native_pixels(header, form, frame)
    elif header.syntax in COMPRESSED:
        pixels = decode(_read_stream(header, form, frame), header.syntax, form)
    else:
        known = header.syntax.type == "Transfer Syntax"
        raise UserError(f"its transfer syntax{f' {header.syntax.name}' if known else ''} is not read")
    patterns = pixels.astype(f"u{form.allocated // 8}", copy=False).reshape(form.rows, form.columns)
    return patterns & (2**form.stored - 1) if form.stored < form.allocated else patterns
