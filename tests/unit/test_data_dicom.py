"""DICOM images are read as they are meant to be looked at, from every coding, and nothing of their header gets out."""

import hashlib

import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_files import LOSSLESS, LOSSY, NATIVE, coded, dataset, lut, ramp, stream_of, to_bytes, with_stream
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing
from radsynth.common.errors import UserError
from radsynth.data.dicom import read_dicom
from radsynth.data.dicom_header import pixel_format, read_header
from radsynth.data.dicom_pixels import read_pixels

# pydicom warns of what is odd in the files that are written here, and of its own overflows.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")


@pytest.fixture
def read(tmp_path):
    """Write a data set or a file's bytes, read it, and return the image."""

    def read_written(made, syntax=uid.ExplicitVRLittleEndian, **options):
        path = tmp_path / "image.dicom"
        path.write_bytes(made if isinstance(made, bytes) else coded(made, syntax))
        return read_dicom(path, **options)

    return read_written


@pytest.fixture
def refuse(tmp_path, read):
    """Return the one-line reason for which a data set or a file's bytes is refused."""

    def refuse_written(made, syntax=uid.ExplicitVRLittleEndian, **options):
        with pytest.raises(UserError) as refused:
            read(made, syntax, **options)
        path, reason = str(refused.value).split(": ", 1)
        assert path == str(tmp_path / "image.dicom") and "\n" not in reason
        return reason

    return refuse_written


def stored_pixels(path):
    """Return the stored values as pydicom's pixel_array has them."""
    with open(path, "rb") as file:
        header = read_header(file)
        form = pixel_format(header)
        values = form.values()[read_pixels(header, form, 0)]
    return values.astype(f"{'i' if form.signed else 'u'}{form.allocated // 8}")


def full_range(values):
    """Return values from 0 (smallest) to 1 (largest)."""
    values = values.astype(np.float64)
    return (values - values.min()) / (values.max() - values.min())


# The pixels.


@pytest.mark.parametrize("syntax", NATIVE + LOSSLESS, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), (10, False), (12, False), (16, False), (12, True), (16, True)]
)
def test_every_lossless_coding_gives_the_same_pixels(tmp_path, syntax, bits, signed):
    # An even and an odd number of pixels; GDCM does not encode the latter.
    for shape in ((40, 36), (35, 33) if "JPEG Lossless" not in syntax.name else (36, 33)):
        pixels = ramp(*shape, bits, signed)
        path = tmp_path / "image.dicom"
        path.write_bytes(coded(dataset(pixels, bits), syntax))
        read = stored_pixels(path)
        assert read.dtype == pixels.dtype
        np.testing.assert_array_equal(read, pixels)
        np.testing.assert_allclose(read_dicom(path).pixels, full_range(pixels), atol=1e-6)


@pytest.mark.parametrize("syntax", [*LOSSY, uid.JPEGBaseline8Bit], ids=lambda syntax: syntax.name)
def test_lossy_codings_give_nearly_the_same_pixels(read, syntax):
    pixels = ramp(32, 40, 8)
    image = read(dataset(pixels, 8), syntax)
    assert 0 < np.abs(image.pixels - pixels / 255).max() < 0.04


@pytest.mark.parametrize("syntax", NATIVE + LOSSLESS[:3], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_the_stored_ones_are_masked(read, syntax, signed):
    pixels = ramp(signed=signed)
    dirty = pixels.view("u2") & 0x0FFF | np.uint16(0xA000)
    made = dataset(dirty, 16)
    if syntax in LOSSLESS:
        made = pydicom.dcmread(pydicom.filebase.DicomBytesIO(coded(made, syntax)))
    made.BitsStored, made.HighBit, made.PixelRepresentation = 12, 11, int(signed)
    np.testing.assert_allclose(read(to_bytes(made, syntax)).pixels, full_range(pixels), atol=1e-6)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_what_a_codec_gives_above_the_stored_range_is_clipped(read, syntax):
    pixels = np.array([[0, 1000], [4095, 5000]], dtype="u2").repeat(16, 0).repeat(16, 1)
    made = dataset(pixels, 12, WindowCenter=2048, WindowWidth=4096)
    stream = stream_of(coded(dataset(pixels, 16), syntax))
    corners = read(with_stream(made, stream, syntax)).pixels[::16, ::16]
    np.testing.assert_allclose(corners, [[0, 1000 / 4095], [1, 1]], atol=1e-6)


@pytest.mark.parametrize(("header", "stream"), [(True, False), (False, True)])
def test_the_header_and_not_a_jpeg_2000_stream_says_whether_pixels_are_signed(read, header, stream):
    patterns = ramp()
    coded_stream = stream_of(coded(dataset(as_signed(patterns) if stream else patterns), uid.JPEG2000Lossless))
    image = read(with_stream(dataset(patterns, PixelRepresentation=int(header)), coded_stream, uid.JPEG2000Lossless))
    np.testing.assert_allclose(image.pixels, full_range(as_signed(patterns) if header else patterns), atol=1e-6)


def as_signed(patterns):
    return (patterns.astype("i2") << 4) >> 4


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, *LOSSLESS[:1]])
def test_a_frame_of_several_is_read_only_when_asked_for(read, refuse, syntax):
    frames = np.stack([ramp(3, 5, 8), ramp(3, 5, 8)[::-1]])
    for frame in (0, 1):
        image = read(dataset(frames, 8), syntax, frame=frame)
        np.testing.assert_allclose(image.pixels, frames[frame] / 255, atol=1e-6)
    assert "more than one frame" in refuse(dataset(frames, 8), syntax)
    for frame in (2, -1):
        assert "no frame" in refuse(dataset(frames, 8), syntax, frame=frame)


def test_frames_of_several_fragments_are_refused(refuse):
    made = dataset(np.stack([ramp(bits=8)] * 2), 8)
    streams = [stream_of(coded(dataset(ramp(bits=8), 8), uid.RLELossless))] * 2
    made.PixelData = encapsulate(streams, fragments_per_frame=2)
    made["PixelData"].VR = "OB"
    assert "one fragment each" in refuse(to_bytes(made, uid.RLELossless), frame=0)


def test_one_frame_in_several_fragments_is_joined(read):
    made = dataset(ramp())
    made.PixelData = encapsulate([stream_of(coded(dataset(ramp()), uid.JPEG2000Lossless))], fragments_per_frame=3)
    made["PixelData"].VR = "OB"
    np.testing.assert_allclose(read(to_bytes(made, uid.JPEG2000Lossless)).pixels, full_range(ramp()), atol=1e-6)


# From stored values to what is seen.

#: All values of 12 bits.
ALL = np.arange(4096, dtype="u2").reshape(64, 64)
WINDOW = {"WindowCenter": 1000, "WindowWidth": 500}


def pydicom_window(made):
    """Return what pydicom makes of a data set, with black at 0 and white at 1."""
    form = {"dtype": f"{'i' if made.PixelRepresentation else 'u'}2"}
    stored = np.frombuffer(made.PixelData, **form).reshape(made.Rows, made.Columns)
    shown = apply_windowing(apply_modality_lut(stored, made), made)
    ends = np.array([[-2048, 2047] if made.PixelRepresentation else [0, 4095]])
    low, high = apply_modality_lut(ends, made)[0]
    return (shown - low) / (high - low)


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 0.684, "RescaleIntercept": -200}])
@pytest.mark.parametrize(("center", "width"), [(1000, 500), (-100.5, 3), (2047, 4095), (700, 1.5)])
@pytest.mark.parametrize("signed", [False, True])
def test_windows_are_those_of_pydicom(read, function, rescale, center, width, signed):
    pixels = as_signed(ALL) if signed else ALL
    made = dataset(pixels, WindowCenter=center, WindowWidth=width, **rescale)
    if function:
        made.VOILUTFunction = function
    np.testing.assert_allclose(read(made).pixels, pydicom_window(made), atol=1e-6)


def test_windows_are_those_of_the_standard(read):
    def corners(**elements):
        return read(dataset(np.array([[0, 10, 20, 30, 40]], "u2"), WindowCenter=20, **elements)).pixels[0]

    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5)
    np.testing.assert_allclose(
        corners(WindowWidth=41), np.clip((np.arange(0, 41, 10) - 19.5) / 40 + 0.5, 0, 1), atol=1e-7
    )
    np.testing.assert_allclose(
        corners(WindowWidth=40, VOILUTFunction="LINEAR_EXACT"), [0, 0.25, 0.5, 0.75, 1], atol=1e-7
    )
    sigmoid = 1 / (1 + np.exp(-4 * (np.arange(0, 41, 10) - 20) / 40))
    np.testing.assert_allclose(corners(WindowWidth=40, VOILUTFunction="SIGMOID"), sigmoid, atol=1e-7)
    np.testing.assert_array_equal(corners(WindowWidth=1), [0, 0, 1, 1, 1])


def test_the_first_of_several_windows_is_applied_and_can_be_left_out(read):
    made = dataset(ALL, WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    np.testing.assert_array_equal(read(made).pixels, read(dataset(ALL, **WINDOW)).pixels)
    np.testing.assert_allclose(read(made, window=False).pixels, ALL / 4095, atol=1e-6)
    half = dataset(ALL, WindowCenter=1000)
    np.testing.assert_allclose(read(half).pixels, ALL / 4095, atol=1e-6)


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowWidth": 0},
        {"WindowWidth": -5},
        {"WindowWidth": 0.5},
        {"WindowWidth": 0, "VOILUTFunction": "SIGMOID"},
        {"WindowWidth": 5, "VOILUTFunction": "LOG"},
    ],
)
def test_windows_that_mean_nothing_are_refused(read, refuse, elements):
    made = dataset(ALL, WindowCenter=1000, **elements)
    assert "WindowWidth is too small" in refuse(made) or "VOILUTFunction" in refuse(made)
    assert read(made, window=False).pixels.max() == 1


@pytest.mark.parametrize(("slope", "intercept"), [(2, -1000), (-1, 4095), (0.001, 0)])
def test_rescale_comes_before_the_window(read, slope, intercept):
    values = ALL * float(slope) + intercept
    made = dataset(ALL, RescaleSlope=slope, RescaleIntercept=intercept)
    np.testing.assert_allclose(read(made).pixels, full_range(values), atol=1e-6)
    made.WindowCenter, made.WindowWidth = 100, 200
    np.testing.assert_allclose(read(made).pixels, np.clip((values - 99.5) / 199 + 0.5, 0, 1), atol=1e-5)


@pytest.mark.parametrize("elements", [{"RescaleSlope": 0}, {"RescaleSlope": "1e300"}, {"RescaleIntercept": "-1e39"}])
def test_a_rescale_that_leaves_no_image_is_refused(refuse, elements):
    assert "Rescale" in refuse(dataset(ALL, **elements))


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("first", [-2048, -100, 0, 50])
def test_modality_tables_are_those_of_pydicom(read, syntax, first):
    pixels = as_signed(ALL)
    table = (np.arange(1000) * 7919) % 60000
    made = dataset(pixels, ModalityLUTSequence=lut(table, first, 16, signed=True), RescaleSlope=3, RescaleIntercept=9)
    expected = full_range(apply_modality_lut(pixels.astype("i4"), made))
    np.testing.assert_allclose(read(made, syntax).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(("first", "bits"), [(0, 16), (500, 12), (4000, 10)])
def test_voi_tables_are_those_of_pydicom(read, syntax, first, bits):
    table = np.sqrt(np.linspace(0, 1, 2000)) * (2**bits - 1)
    made = dataset(ALL, VOILUTSequence=lut(table, first, bits))
    expected = apply_voi_lut(ALL, made) / (2**bits - 1)
    np.testing.assert_allclose(read(made, syntax).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_tables_of_words_are_read_in_the_byte_order_of_the_file(read, syntax):
    table = np.arange(4096, dtype="u2")[::-1] * 16
    made = dataset(ALL, VOILUTSequence=lut(table, 0, 16))
    item = made.VOILUTSequence[0]
    del item["LUTData"]
    item.add_new("LUTData", "OW", table.astype("<u2" if syntax.is_little_endian else ">u2").tobytes())
    np.testing.assert_allclose(read(made, syntax).pixels, table[ALL] / 65535, atol=1e-6)


def test_tables_that_pydicom_gets_wrong(read):
    # 8 bits, but more than 256 entries: pydicom's index wraps round.
    eight = dataset(ALL, VOILUTSequence=lut(np.arange(4096) // 16, 0, 8))
    np.testing.assert_allclose(read(eight).pixels, (ALL // 16) / 255, atol=1e-6)
    # All 65,536 entries are written as 0.
    long = dataset(ALL, VOILUTSequence=lut(np.arange(2**16), 0, 16))
    np.testing.assert_allclose(read(long).pixels, ALL / 65535, atol=1e-6)
    # A table for negative values of a rescale, its first value coded as an unsigned one.
    made = dataset(ALL, RescaleSlope=1, RescaleIntercept=-1000, VOILUTSequence=lut(np.arange(4096), 2**16 - 1000, 12))
    np.testing.assert_allclose(read(made).pixels, ALL / 4095, atol=1e-6)


def test_a_voi_table_goes_before_a_window(read):
    table = dataset(ALL, VOILUTSequence=lut(np.arange(4096)[::-1], 0, 12))
    both = dataset(ALL, VOILUTSequence=lut(np.arange(4096)[::-1], 0, 12), **WINDOW)
    np.testing.assert_array_equal(read(both).pixels, read(table).pixels)
    empty = dataset(ALL, VOILUTSequence=[], **WINDOW)
    np.testing.assert_array_equal(read(empty).pixels, read(dataset(ALL, **WINDOW)).pixels)


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_damaged_tables_are_refused(refuse, keyword):
    short = lut(np.arange(100), 0, 12)
    short[0].LUTDescriptor = [200, 0, 12]
    assert "fewer than announced" in refuse(dataset(ALL, **{keyword: short}))
    for descriptor in ([100, 0], [100, 0, 40], [100, 0, 0]):
        wrong = lut(np.arange(100), 0, 12)
        wrong[0].LUTDescriptor = descriptor
        assert "LUTDescriptor" in refuse(dataset(ALL, **{keyword: wrong}))
    none = lut(np.arange(100), 0, 12)
    del none[0].LUTData
    assert "fewer than announced" in refuse(dataset(ALL, **{keyword: none}))


@pytest.mark.parametrize("window", [{}, WINDOW])
def test_low_is_bright_in_monochrome1_and_with_an_inverse_presentation_but_never_twice(read, window):
    def shown(photometric, **elements):
        return read(dataset(ALL, PhotometricInterpretation=photometric, **window, **elements)).pixels

    plain = shown("MONOCHROME2")
    assert plain[0, 0] == 0 and plain[-1, -1] == 1
    np.testing.assert_array_equal(shown("MONOCHROME2", PresentationLUTShape="IDENTITY"), plain)
    for photometric, shape in (("MONOCHROME1", None), ("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "INVERSE")):
        inverse = shown(photometric, **({"PresentationLUTShape": shape} if shape else {}))
        np.testing.assert_allclose(inverse, 1 - plain, atol=1e-6)


@pytest.mark.parametrize(("photometric", "value", "limit"), [("MONOCHROME2", 0, 30), ("MONOCHROME1", 4095, 4000)])
def test_padding_is_black_and_not_valid(read, photometric, value, limit):
    low, high = sorted((value, limit))
    padded = (low <= ALL) & (high >= ALL)
    elements = {"PhotometricInterpretation": photometric, "PixelPaddingValue": value}
    image = read(dataset(ALL, **elements, PixelPaddingRangeLimit=limit))
    np.testing.assert_array_equal(image.valid, ~padded)
    assert (image.pixels[padded] == 0).all()
    # The values that are left go from black to white.
    body = image.pixels[~padded]
    assert body.min() == 0 and body.max() == 1
    np.testing.assert_array_equal(read(dataset(ALL, **elements)).valid, value != ALL)


def test_negative_padding_is_found_when_coded_as_an_unsigned_number(read):
    pixels = as_signed(ALL)
    made = dataset(pixels, PixelPaddingValue=-2000)
    made["PixelPaddingValue"].VR = "US"
    made["PixelPaddingValue"].value = 2**16 - 2000
    np.testing.assert_array_equal(read(made).valid, pixels != -2000)


def test_an_image_of_one_value_or_of_padding_is_black(read):
    flat = read(dataset(np.full((3, 4), 7, "u2")))
    assert flat.valid.all() and (flat.pixels == 0).all()
    nothing = read(dataset(np.full((3, 4), 7, "u2"), PixelPaddingValue=7))
    assert not nothing.valid.any() and (nothing.pixels == 0).all()


# The header.


def test_an_image_says_what_it_is(read):
    image = read(dataset(ALL, ImageLaterality="R", Laterality="L", ViewPosition="MLO"))
    assert (image.laterality, image.view, image.shape) == ("R", "MLO", (64, 64))
    assert image.pixels.dtype == np.float32 and image.valid.dtype == bool
    eight = image.to_uint8()
    assert eight.dtype == np.uint8 and eight.min() == 0 and eight.max() == 255
    assert read(dataset(ALL, Laterality="L")).laterality == "L"
    bare = read(dataset(ALL, ImageLaterality="B", ViewPosition="LATERAL"))
    assert (bare.laterality, bare.view) == ("", "")


def test_a_header_without_its_optional_elements_is_read(read):
    optional = ("SOPClassUID", "SOPInstanceUID", "SamplesPerPixel", "HighBit")
    made = dataset(ALL, **dict.fromkeys(optional))
    np.testing.assert_allclose(read(made).pixels, ALL / 4095, atol=1e-6)
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"):
        file = to_bytes(dataset(ALL))
        made = pydicom.dcmread(pydicom.filebase.DicomBytesIO(file))
        del made[keyword]
        with pytest.raises(UserError, match=f"{keyword} is missing"):
            read(to_bytes(made))


@pytest.mark.parametrize("explicit", [False, True])
def test_files_without_preamble_or_meta_are_read(read, explicit):
    file = to_bytes(dataset(ALL), uid.ExplicitVRLittleEndian if explicit else uid.ImplicitVRLittleEndian)
    length = int.from_bytes(file[140:144], "little")
    for bare in (file[132:], file[144 + length :], file[:132] + file[144 + length :]):
        np.testing.assert_allclose(read(bare).pixels, ALL / 4095, atol=1e-6)


@pytest.mark.parametrize(
    "elements",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"SOPClassUID": uid.DigitalMammographyXRayImageStorageForProcessing},
    ],
)
def test_images_for_processing_are_refused_unless_asked_for(read, refuse, elements):
    assert "FOR PROCESSING" in refuse(dataset(ALL, **elements))
    np.testing.assert_allclose(read(dataset(ALL, **elements), for_processing="read").pixels, ALL / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"PhotometricInterpretation": None}, "colour"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "8 to 16 bits"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "8 to 16 bits"),
        ({"BitsStored": 17}, "8 to 16 bits"),
        ({"HighBit": 15}, "HighBit"),
        ({"PixelRepresentation": 2}, "PixelRepresentation"),
        ({"Rows": 0}, "Rows"),
        ({"Columns": 0}, "Columns"),
        ({"NumberOfFrames": 0}, "NumberOfFrames"),
        ({"NumberOfFrames": -1}, "NumberOfFrames"),
        ({"Rows": 65}, "fewer pixel data"),
        ({"Rows": 65535, "Columns": 65535}, "67,108,864 pixels"),
        ({"PixelData": None}, "no pixel data"),
        ({"PixelData": None, "FloatPixelData": b"\0" * 64}, "floating-point"),
    ],
)
def test_what_is_not_read_is_refused_with_its_reason(refuse, elements, reason):
    assert reason in refuse(to_bytes(dataset(ALL, **elements)))


def test_what_is_no_dicom_file_is_refused(refuse, tmp_path):
    for content in (b"", b"DICM", b"\x89PNG\r\n\x1a\n" + b"\0" * 500, b"a,b\n1,2\n" * 100):
        assert refuse(content) == "not a DICOM file"
    with pytest.raises(UserError, match="missing.dicom: it cannot be read"):
        read_dicom(tmp_path / "missing.dicom")
    with pytest.raises(UserError, match="it cannot be read"):
        read_dicom(tmp_path)


def test_codings_that_are_not_read_are_named(refuse):
    made = with_stream(dataset(ALL), b"\0" * 100, uid.JPEGExtended12Bit)
    assert refuse(made) == "its transfer syntax JPEG Extended (Process 2 and 4) is not read"
    assert (
        refuse(made.replace(uid.JPEGExtended12Bit.encode(), b"1.2.840.99999.1.2.4.51"))
        == "its transfer syntax is not read"
    )


@pytest.mark.parametrize(("written", "said"), [("native", "compressed"), ("compressed", "native")])
def test_pixel_data_in_another_coding_than_the_header_says_are_refused(refuse, written, said):
    if written == "native":
        file = to_bytes(dataset(ALL)).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    else:
        file = coded(dataset(ALL), uid.RLELossless).replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")
    assert "not coded as its transfer syntax says" in refuse(file)


# Real files.

FILES = {
    "MG1_J2KI.dcm": ("L", "MLO"),
    "GH133_MG_GE.dcm": ("R", "MLO"),
    "RG3_RLE.dcm": ("R", ""),
    "dx_image_MONO1_dog.dcm": ("L", ""),
}


@pytest.fixture(scope="module")
def real(shared_data):
    folder = shared_data / "dicom_test_files"
    return folder, pd.read_csv(folder / "manifest.csv", keep_default_na=False)


def test_the_stored_pixels_of_real_files_are_those_of_other_decoders(real):
    folder, manifest = real
    compared = 0
    for row in manifest.itertuples():
        if row.sha256_stored_pixels:
            digest = hashlib.sha256(stored_pixels(folder / row.file).tobytes()).hexdigest()
            assert digest == row.sha256_stored_pixels, row.file
            compared += 1
    assert compared == 18


def test_real_files_look_right(real):
    folder, manifest = real
    images = {}
    for row in manifest.itertuples():
        if row.file == "RG3_JPLY.dcm":
            with pytest.raises(UserError, match="JPEG Extended .* is not read"):
                read_dicom(folder / row.file)
            continue
        image = read_dicom(folder / row.file)
        assert image.shape == (row.rows, row.columns) and np.isfinite(image.pixels).all()
        assert 0 <= image.pixels.min() < image.pixels.max() <= 1
        assert (image.laterality, image.view) == FILES.get(row.file, (image.laterality, image.view))
        images[row.file.split(".")[0]] = image.pixels[::8, ::8], image.valid[::8, ::8]
    for first, *others in (("RG2_J2KR", "RG2_JPLL"), ("RG3_J2KR", "RG3_JPLL", "RG3_JLSL", "RG3_RLE")):
        for other in others:
            np.testing.assert_array_equal(images[first][0], images[other][0])
    # Air is black: beside the breast, the lungs against the spine, beside the leg.
    breast, valid = images["GH133_MG_GE"]
    assert 0.3 < valid.mean() < 0.35 and (breast[~valid] == 0).all() and breast[:, -3:].mean() > breast[:, :100].mean()
    film = images["MG1_J2KI"][0]
    assert film[200:400, 20:120].mean() > film[200:400, -60:-20].mean() + 0.3
    chest = images["RG1_J2KI"][0]
    assert chest[60:120, 100:130].mean() > chest[60:120, 40:80].mean() + 0.1
    leg = images["RG3_RLE"][0]
    assert leg[60:100, 110:125].mean() > leg[60:100, 63:68].mean() + 0.2
