"""Damaged and hostile DICOM files: an image or one line, never another exception, a hang, or a word of the header."""

import datetime
import itertools
import logging
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
from dicom_files import LOSSLESS, LOSSY, NATIVE, coded, dataset, lut, ramp, stream_of, to_bytes, with_stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import uid
from radsynth.common.errors import UserError
from radsynth.data import dicom_header
from radsynth.data.dicom import read_dicom

# pydicom warns of what is odd in the files that are written here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
CODINGS = (*NATIVE, *LOSSLESS, *LOSSY, uid.JPEGBaseline8Bit)
#: The same examples in every run. The deadline is for hangs, not for speed.
STABLE = settings(
    derandomize=True,
    database=None,
    deadline=datetime.timedelta(seconds=20),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Read a file's bytes; return the image or the reason of a refusal, and fail on anything else."""
    path = tmp_path_factory.mktemp("damage") / "image.dicom"

    def read_bytes(file, **options):
        path.write_bytes(file)
        try:
            image = read_dicom(path, **options)
        except UserError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            return str(error).removeprefix(f"{path}: ")
        assert image.pixels.dtype == np.float32 and image.pixels.shape == image.valid.shape == image.shape
        assert np.isfinite(image.pixels).all() and image.pixels.min() >= 0 and image.pixels.max() <= 1
        assert (image.pixels[~image.valid] == 0).all()
        return image

    return read_bytes


def textured(bits):
    """Return pixels that no coding makes very small."""
    noise = np.random.default_rng(1).integers(0, 2**bits // 8, (40, 36))
    return (ramp(bits=bits) // 2 + noise).astype("u1" if bits == 8 else "u2")


def rich(pixels, bits):
    """Return a data set with an element of every kind that is read."""
    return dataset(
        pixels,
        bits,
        PatientName="DOE^JANE",
        ImageLaterality="R",
        ViewPosition="CC",
        NumberOfFrames=1,
        WindowCenter=[100, 200],
        WindowWidth=[50, 60],
        RescaleSlope=2,
        RescaleIntercept=-10,
        PixelPaddingValue=0,
        PixelPaddingRangeLimit=3,
        VOILUTSequence=lut(np.arange(64) * 2, 0, 8),
        PresentationLUTShape="IDENTITY",
    )


@pytest.fixture(scope="module")
def files():
    """One file of each coding."""
    made = {}
    for syntax in CODINGS:
        bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
        made[syntax] = coded(rich(textured(bits), bits), syntax)
    return made


# Any header.

NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 0.5, 2**15, 2**16, "1e300", "-1e39", "nan", "inf", "", "DOE^JANE"]),
    st.integers(-5000, 5000),
    st.floats(-5000, 5000).map(lambda number: f"{number:.6g}"),
)
DESCRIPTORS = st.tuples(st.integers(0, 70), st.integers(-100, 100), st.integers(6, 18))


@settings(STABLE, max_examples=300)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    allocated=st.sampled_from([8, 16]),
    stored=st.integers(7, 17),
    signed=st.booleans(),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2", "MONOCHROME2", "PALETTE COLOR"]),
    numbers=st.dictionaries(
        st.sampled_from(["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"]), NUMBERS
    ),
    padding=st.lists(st.integers(0, 2**16 - 1), max_size=2),
    function=st.sampled_from([None, "LINEAR", "LINEAR_EXACT", "SIGMOID", "sigmoid ", "LOG"]),
    tables=st.dictionaries(st.sampled_from(["ModalityLUTSequence", "VOILUTSequence"]), DESCRIPTORS),
    window=st.booleans(),
    syntax=st.sampled_from(NATIVE),
    seed=st.integers(0, 99),
)
def test_any_header_gives_an_image_or_one_line(
    read, shape, allocated, stored, signed, photometric, numbers, padding, function, tables, window, syntax, seed
):
    pixels = np.random.default_rng(seed).integers(0, 2**allocated, shape).astype(f"u{allocated // 8}")
    made = dataset(pixels, stored, PhotometricInterpretation=photometric, PixelRepresentation=int(signed))
    for keyword, value in numbers.items():
        # As another kind of text, so that anything can be written.
        made.add_new(keyword, "LO", str(value))
    for keyword, value in zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), padding, strict=False):
        made.add_new(keyword, "US", value)
    if function:
        made.VOILUTFunction = function
    for keyword, (entries, first, bits) in tables.items():
        table = lut(np.arange(40) * 2**bits // 40 % 2**16, first, min(bits, 16), signed=True)
        table[0].LUTDescriptor = [entries, first, bits]
        setattr(made, keyword, table)
    image = read(to_bytes(made, syntax), window=window)
    if not isinstance(image, str):
        assert image.shape == shape and 8 <= stored <= allocated


# Damage.


@pytest.mark.parametrize("syntax", CODINGS, ids=lambda syntax: syntax.name)
def test_a_file_that_is_cut_off_anywhere_is_refused(read, files, syntax):
    whole = files[syntax]
    expected = read(whole).pixels
    for length in itertools.chain(range(0, len(whole), 13), range(len(whole) - 12, len(whole))):
        image = read(whole[:length])
        # The last bytes pad the pixel data or their end.
        if not isinstance(image, str):
            assert length > len(whole) - 8
            np.testing.assert_array_equal(image.pixels, expected)


def damage(file, edits):
    """Return a file with bytes replaced, removed, or put in, at places given as parts of its length."""
    damaged = bytearray(file)
    for place, kind, byte in edits:
        position = 128 + int(place * (len(damaged) - 129))
        if kind == "replace":
            damaged[position] = byte
        elif kind == "flip":
            damaged[position] ^= 1 << byte % 8
        elif kind == "remove":
            del damaged[position : position + 1 + byte % 8]
        else:
            damaged[position:position] = bytes([byte]) * (1 + byte % 8)
    return bytes(damaged)


KINDS = st.sampled_from(["replace", "replace", "flip", "flip", "remove", "insert"])
EDITS = st.lists(st.tuples(st.floats(0, 1), KINDS, st.integers(0, 255)), min_size=1, max_size=6)


@settings(STABLE, max_examples=400)
@given(syntax=st.sampled_from(CODINGS), edits=EDITS)
def test_damaged_files_give_an_image_or_one_line(read, files, syntax, edits):
    read(damage(files[syntax], edits))


@settings(STABLE, max_examples=400)
@given(syntax=st.sampled_from(CODINGS), edits=EDITS)
def test_damaged_headers_give_an_image_or_one_line(read, files, syntax, edits):
    file = files[syntax]
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        start = 144 + int.from_bytes(file[140:144], "little")
        inflated = zlib.decompress(file[start:], -zlib.MAX_WBITS)
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        read(file[:start] + packer.compress(damage(inflated, edits)) + packer.flush())
    else:
        cut = len(file) if len(file) < 1200 else 1200
        read(damage(file[:cut], edits) + file[cut:])


@settings(STABLE, max_examples=400)
@given(syntax=st.sampled_from(CODINGS[4:]), edits=EDITS)
def test_damaged_streams_give_an_image_or_one_line(read, files, syntax, edits):
    stream = stream_of(files[syntax])
    # The markers are in the first bytes.
    head = damage(bytes(128) + stream[:180], edits)[128:] + stream[180:]
    bits = 8 if syntax == uid.JPEGBaseline8Bit else 12
    read(with_stream(dataset(textured(bits), bits), head, syntax))


@settings(STABLE, max_examples=100)
@given(content=st.binary(max_size=400), start=st.sampled_from([b"", bytes(128) + b"DICM", b"\x08\0", b"\x02\0"]))
def test_any_bytes_are_refused(read, content, start):
    assert isinstance(read(start + content), str)


# Hostile files.


def jpeg_parts(file):
    """Return a lossless JPEG stream up to its frame header, that header, and the rest."""
    stream = stream_of(file)
    start = stream.index(b"\xff\xc3")
    return stream[:start], stream[start : start + 13], stream[start + 13 :]


def test_a_jpeg_stream_of_another_shape_than_the_header_is_refused(read, files):
    before, frame, after = jpeg_parts(files[uid.JPEGLosslessSV1])
    made = dataset(textured(12))
    for position, values in ((4, (8, 2, 17, 0)), (6, (41, 39, 255)), (8, (37, 35)), (9, (3, 0)), (11, (0x22, 0x21))):
        for value in values:
            wrong = bytearray(frame)
            wrong[position] = value
            reason = read(with_stream(made, before + bytes(wrong) + after, uid.JPEGLosslessSV1))
            assert "of another size" in reason, (position, value)
    for stream in (before + frame + frame + after, before + after, before + frame, b"\xff\xd8\xff\xd9"):
        assert isinstance(read(with_stream(made, stream, uid.JPEGLosslessSV1)), str)


def test_application_data_of_a_jpeg_stream_are_left_out(read, files):
    """GDCM ends the process for this JFIF version."""
    before, frame, after = jpeg_parts(files[uid.JPEGLosslessSV1])
    jfif = b"\xff\xe0\0\x10JFIF\0\x6d\x01\0\0\x01\0\x01\0\0" + b"\xff\xfe\0\x0aDOE^JANE"
    image = read(with_stream(dataset(textured(12)), before + jfif + frame + after, uid.JPEGLosslessSV1))
    assert not isinstance(image, str)


def codestream(file):
    """Return a JPEG 2000 stream and where its coding style begins."""
    stream = stream_of(file)
    return stream, stream.index(b"\xff\x52")


def test_a_jpeg_2000_stream_of_another_shape_than_the_header_is_refused(read, files):
    stream, _ = codestream(files[uid.JPEG2000Lossless])
    made = dataset(textured(12))
    for position, value in ((11, 37), (15, 41), (19, 1), (27, 0), (41, 2), (42, 7), (42, 40), (43, 2), (44, 2)):
        wrong = bytearray(stream)
        wrong[position] = value
        reason = read(with_stream(made, bytes(wrong), uid.JPEG2000Lossless))
        assert "of another size" in reason, (position, value)
    # Tiles that are not there.
    wrong = bytearray(stream)
    wrong[24:32] = struct.pack(">II", 18, 20)
    assert "cut off" in read(with_stream(made, bytes(wrong), uid.JPEG2000Lossless))


def test_a_jpeg_2000_stream_that_asks_for_gigabytes_is_refused(read):
    pixels = np.zeros((2000, 2000), "u2")
    stream, style = codestream(coded(dataset(pixels), uid.JPEG2000Lossless))
    length = struct.unpack(">H", stream[style + 2 : style + 4])[0]
    levels = stream[style + 9]
    segment = bytearray(stream[style : style + 2 + length])
    segment[2:5] = struct.pack(">HB", length + levels + 1, 1)

    def with_precincts(size):
        changed = bytes(segment) + bytes([size]) * (levels + 1)
        return with_stream(
            dataset(pixels), stream[:style] + changed + stream[style + 2 + length :], uid.JPEG2000Lossless
        )

    assert not isinstance(read(with_precincts(0x77)), str)
    for size in (0x00, 0x11, 0x22):
        assert "of another size" in read(with_precincts(size))
    small = bytearray(stream)
    small[style + 10] = small[style + 11] = 0
    assert "of another size" in read(with_stream(dataset(pixels), bytes(small), uid.JPEG2000Lossless))


def test_a_jpeg_2000_file_in_the_stream_is_refused(read, files):
    """pydicom does not return from a box of length 0."""
    stream, _ = codestream(files[uid.JPEG2000Lossless])
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0ftyp" + stream
    assert "of another size" in read(with_stream(dataset(textured(12)), boxes, uid.JPEG2000Lossless))


def test_run_lengths_are_not_expanded_beyond_the_image(read):
    bomb = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 500_000
    made = with_stream(dataset(np.zeros((40, 36), "u1"), 8), bomb, uid.RLELossless)
    tracemalloc.start()
    read(made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # 64 MB if it were


def test_a_deflated_file_is_not_inflated_without_bound(read, monkeypatch):
    file = to_bytes(dataset(np.zeros((500, 500), "u2")), uid.DeflatedExplicitVRLittleEndian)
    assert not isinstance(read(file), str)
    monkeypatch.setattr(dicom_header, "MAX_INFLATED", 400_000)
    assert "larger than 400,000 bytes" in read(file)


def test_announced_lengths_are_not_allocated(read, files):
    """A table and pixel data of 4 GB in a file of a few kB."""
    native = to_bytes(rich(textured(12), 12))
    tables = native.index(struct.pack("<HH", 0x28, 0x3006))
    pixels = native.index(struct.pack("<HH", 0x7FE0, 0x10))
    compressed = files[uid.JPEG2000Lossless]
    fragment = compressed.index(struct.pack("<HH", 0x7FE0, 0x10)) + 12 + 12
    huge = struct.pack("<I", 2**32 - 16)
    with_table = native[: tables + 4] + b"OW\0\0" + huge + native[tables + 12 :]
    for file in (
        with_table,
        native[: pixels + 8] + huge + native[pixels + 12 :],
        compressed[: fragment + 4] + huge + compressed[fragment + 8 :],
    ):
        assert isinstance(read(file), str)


def test_sequences_within_sequences_are_read_or_refused(read):
    item = struct.pack("<HHIHH2sHI", 0xFFFE, 0xE000, 2**32 - 1, 0x28, 0x3010, b"SQ", 0, 2**32 - 1)
    start = struct.pack("<HH2sHI", 0x28, 0x3010, b"SQ", 0, 2**32 - 1)
    assert isinstance(read(b"\x08\0\x05\0CS\0\0" + start + item * 50_000), str)


# Patient data.

SECRETS = ("DOE^JANE", "19400203", "PAT-4711", "Doe Hospital")

SCRIPT = """
import logging, pathlib, sys, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from radsynth.common.errors import UserError
from radsynth.data.dicom import read_dicom
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        print(path.name, read_dicom(path))
    except UserError:
        traceback.print_exc()
"""


def with_secrets(made):
    made.PatientName, made.PatientID, made.PatientBirthDate = SECRETS[0], SECRETS[2], SECRETS[1]
    made.StudyDate, made.InstitutionName = SECRETS[1], SECRETS[3]
    made.StudyInstanceUID = made.SeriesInstanceUID = made.SOPInstanceUID = "00112233445566778899aabbccddeeff"
    return made


def test_nothing_of_a_header_reaches_the_terminal_or_a_log(root, tmp_path, files):
    """Read in a process that shows all that is logged, with names and dates in all places that are read."""
    made = {"plain": to_bytes(with_secrets(rich(textured(12), 12)))}
    for keyword, secret in itertools.product((*dicom_header.KEYWORDS, "SpecificCharacterSet"), SECRETS):
        planted = with_secrets(rich(textured(12), 12))
        planted.SpecificCharacterSet = "ISO_IR 100"
        for vr in ("LO", "UN", "DS", "IS", "US", "SQ"):
            planted[keyword] = pydicom.DataElement(keyword, "LO", secret)
            # The kind is changed in the file, where pydicom would not write such a value.
            file = to_bytes(planted)
            tag = struct.pack("<HH", planted[keyword].tag.group, planted[keyword].tag.element)
            made[f"{keyword}_{SECRETS.index(secret)}_{vr}"] = file.replace(tag + b"LO", tag + vr.encode(), 1)
    for index, secret in enumerate(SECRETS):
        syntax = uid.JPEG2000Lossless.ljust(24).encode()
        assert len(syntax) == 24
        file = files[uid.JPEG2000Lossless]
        place = file.index(uid.JPEG2000Lossless.encode())
        made[f"syntax_{index}"] = file[:place] + secret.encode().ljust(22, b"\0") + file[place + 22 :]
        stream = secret.encode() * 20
        made[f"stream_{index}"] = with_stream(with_secrets(rich(textured(12), 12)), stream, uid.JPEGLosslessSV1)
    for name, file in made.items():
        (tmp_path / f"{name}.dicom").write_bytes(file)
    (tmp_path / "cut.dicom").write_bytes(made["plain"][:700])
    environment = {**os.environ, "PYTHONPATH": str(root / "workflow/scripts"), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    # The array's own values may be printed, a header's not.
    output = result.stdout + result.stderr
    assert output.count("plain.dicom DicomImage") == 1
    assert output.count("UserError") > len(made) / 4
    for secret in (*SECRETS, "DOE", "1940", "00112233"):
        assert secret not in output, next(line for line in output.splitlines() if secret in line)
    assert "pydicom" not in output and "Warning" not in output


def test_pydicom_keeps_silent_where_it_is_imported(read, caplog):
    with caplog.at_level(logging.DEBUG):
        read(to_bytes(dataset(textured(12), WindowCenter="1", SOPInstanceUID="00112233445566778899aabbccddeeff")))
        assert isinstance(read(b"\x08\0" + bytes(range(256)) * 20), str)
    assert not caplog.records
