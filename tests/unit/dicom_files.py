"""Small DICOM files for tests: any header, every coding that can be written here."""

import io
import tempfile
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_fragments

NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
LOSSLESS = (
    uid.RLELossless,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
)
LOSSY = (uid.JPEGLSNearLossless, uid.JPEG2000)


def ramp(height: int = 40, width: int = 36, bits: int = 12, signed: bool = False) -> np.ndarray:
    """Return smooth pixels that reach both ends of the range, as stored."""
    values = np.linspace(0, 2**bits - 1, height * width).round().astype(np.int64).reshape(height, width)
    dtype = f"{'i' if signed else 'u'}{1 if bits == 8 else 2}"
    return (values - 2 ** (bits - 1) if signed else values).astype(dtype)


def dataset(pixels: np.ndarray, bits: int = 12, **elements) -> Dataset:
    """Return an uncompressed image of (h, w) or (frames, h, w) integers; ``elements`` by keyword, None deletes."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    made.Rows, made.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * pixels.dtype.itemsize, bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    made["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        if value is None:
            del made[keyword]
        else:
            setattr(made, keyword, value)
    return made


def lut(entries, first: int, bits: int, signed: bool = False) -> list[Dataset]:
    """Return a LUT sequence of one item."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries) % 2**16, first, bits])
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    return [item]


def to_bytes(made: Dataset, syntax: uid.UID = uid.ExplicitVRLittleEndian) -> bytes:
    """Return the file; the pixel data must already be in that coding."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    if syntax == uid.ExplicitVRBigEndian and made.BitsAllocated == 16:
        made.PixelData = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
    elif syntax == uid.ExplicitVRBigEndian and made["PixelData"].VR == "OW":
        made.PixelData = np.frombuffer(made.PixelData, "<u2").byteswap().tobytes()
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _gdcm_file(file: bytes, syntax: uid.UID) -> bytes:
    """Return a file in another coding, by GDCM: the one encoder of lossless JPEG here."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.dcm", Path(folder) / "target.dcm"
        source.write_bytes(file)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(source))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return target.read_bytes()


def stream_of(file: bytes) -> bytes:
    """Return the compressed stream of a file with one frame."""
    return b"".join(list(generate_fragments(pydicom.dcmread(io.BytesIO(file)).PixelData))[1:])


def coded(made: Dataset, syntax: uid.UID) -> bytes:
    """Return a file of an uncompressed image in any coding of NATIVE, LOSSLESS and LOSSY, or 8-bit baseline JPEG."""
    if syntax in NATIVE:
        return to_bytes(made, syntax)
    if syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        # GDCM drops what it takes for invalid; only the pixels are its own.
        return with_stream(made, stream_of(_gdcm_file(to_bytes(made), syntax)), syntax)
    if syntax == uid.JPEGBaseline8Bit:
        buffer = io.BytesIO()
        image = np.frombuffer(made.PixelData, np.uint8)[: made.Rows * made.Columns].reshape(made.Rows, made.Columns)
        Image.fromarray(image).save(buffer, "jpeg", quality=95)
        return with_stream(made, buffer.getvalue(), syntax)
    to_bytes(made)
    options = {
        uid.RLELossless: {"encoding_plugin": "pydicom"},
        uid.JPEGLSLossless: {"encoding_plugin": "pyjpegls"},
        uid.JPEGLSNearLossless: {"encoding_plugin": "pyjpegls", "jls_error": 2},
        uid.JPEG2000Lossless: {"encoding_plugin": "pylibjpeg"},
        uid.JPEG2000: {"encoding_plugin": "pylibjpeg", "j2k_cr": [2]},
    }[syntax]
    made.compress(syntax, generate_instance_uid=False, **options)
    return to_bytes(made, syntax)


def with_stream(made: Dataset, stream: bytes, syntax: uid.UID) -> bytes:
    """Return a file whose pixel data are that compressed stream."""
    made.PixelData = encapsulate([stream])
    made["PixelData"].VR = "OB"
    return to_bytes(made, syntax)
