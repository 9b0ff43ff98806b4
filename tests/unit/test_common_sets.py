"""Sets of images, conditions and batches; the registry of all that the configuration names."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_pixels
from radsynth.common.images import MODES, read_gray, read_gray_stack, read_image, read_image_stack
from radsynth.common.registry import KINDS, find
from radsynth.common.sets import Batch, Conditions, ImageSet


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_one_to_four_channels(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, channels), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image.squeeze(axis=-1) if channels == 1 else image).save(tmp_path / f"{number}.png")
    with Image.open(tmp_path / "0.png") as written:
        assert written.mode == MODES[channels - 1]
    table = pd.DataFrame({"file": ["0.png", "1.png"], "sha256": [sha256_pixels(image) for image in pixels]})
    assert np.array_equal(read_image(tmp_path / "0.png", table["sha256"][0]), pixels[0])
    assert np.array_equal(read_image_stack(tmp_path, table), pixels)
    gray = pixels[..., 0] if channels == 1 else np.rint(pixels.mean(axis=-1))
    assert np.array_equal(read_gray_stack(tmp_path, table), gray)
    images = ImageSet(pixels, [{"label": "A"}] * 2, tuple("rgba"[:channels]))
    assert np.array_equal(images.gray(), gray) and images.gray().dtype == np.uint8
    # Every channel counts, not their mean alone.
    Image.fromarray((255 - pixels[0]).squeeze(axis=-1) if channels == 1 else pixels[0, ..., ::-1]).save(
        tmp_path / "0.png"
    )
    with pytest.raises(UserError, match="0.png: not the image that its manifest names"):
        read_gray(tmp_path / "0.png", table["sha256"][0])


@pytest.mark.parametrize("mode", ["P", "1", "CMYK"])
def test_other_modes_are_refused(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(UserError, match=f"mode {mode}, expected 8-bit grayscale"):
        read_image(path)


def test_transparency_of_a_gray_image_is_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png", transparency=0)
    with pytest.raises(UserError, match="mode L with transparency"):
        read_gray(tmp_path / "a.png")


@pytest.fixture
def table(tmp_path):
    """Three images, of which the second has no mask."""
    rng, rows = np.random.default_rng(0), []
    (tmp_path / "masks").mkdir()
    for index in range(3):
        pixels, mask = rng.integers(0, 256, (8, 8), dtype=np.uint8), np.full((8, 8), index + 1, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
        Image.fromarray(mask).save(tmp_path / f"masks/{index}.png")
        about = {"image_id": str(index), "label": "A", "view": "PA", "file": f"{index}.png"}
        files = {"sha256": sha256_pixels(pixels), "mask_file": f"masks/{index}.png", "mask_sha256": sha256_pixels(mask)}
        rows.append(about | files | ({"mask_file": "", "mask_sha256": ""} if index == 1 else {}))
    return pd.DataFrame(rows)


def test_an_image_without_mask_is_kept(tmp_path, table):
    table.to_csv(tmp_path / "train.csv", index=False)
    images = ImageSet.from_manifest(tmp_path / "train.csv", tmp_path, ["A"])
    assert images.images.shape == (3, 8, 8, 1) and images.channels == ("gray",)
    assert images.has_mask.tolist() == [True, False, True]
    assert [np.unique(mask).tolist() for mask in images.masks] == [[1], [0], [3]]
    assert images.rows == [{"label": "A", "view": "PA"}] * 3
    without = ImageSet.from_manifest(tmp_path / "train.csv", tmp_path, ["A"], withheld={"0", "2"})
    assert without.masks is None and without.has_mask.tolist() == [False]


def test_channels_are_those_of_the_table(tmp_path, table):
    table.assign(channels="soft bone").to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(UserError, match=r"0\.png: 1 channels, expected 2 \(soft bone\)"):
        ImageSet.from_manifest(tmp_path / "train.csv", tmp_path, ["A"])
    table.assign(channels=["gray", "gray", "soft bone"]).to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(UserError, match="images with the channels gray and soft bone"):
        ImageSet.from_manifest(tmp_path / "train.csv", tmp_path, ["A"])


@pytest.mark.parametrize(
    ("shape", "channels"), [((2, 8, 8), ("a",)), ((2, 8, 8, 2), ("a",)), ((2, 8, 8, 5), tuple("abcde"))]
)
def test_every_channel_has_a_name(shape, channels):
    with pytest.raises(ValueError, match="with a name for each of 1 to 4 channels"):
        Batch([0, 1], np.zeros(shape, np.uint8), channels=channels)


def test_conditions_are_taken_by_position():
    asked = Conditions([{"label": "A"}, {"label": "B", "boxes": [(0, 0, 1, 0.5)]}])
    assert asked.at([1, 1, 0]).rows == [asked.rows[1], asked.rows[1], asked.rows[0]]
    assert len(Conditions.of_label("A", 3)) == 3


@pytest.mark.parametrize(("kind", "noun"), [("sources", "source"), ("extractors", "extractor"), ("families", "family")])
def test_an_unknown_name_is_told_with_its_key_and_the_known_ones(kind, noun):
    known = ", ".join(KINDS[kind])
    with pytest.raises(UserError, match=f"^some.key: unknown {noun} 'none', expected one of {known}$"):
        find(kind, "none", "some.key")
    for name, entry in KINDS[kind].items():
        assert find(kind, name, "some.key") is entry and entry.path == f"{entry.module}:{entry.path.split(':')[1]}"


def test_the_faces_of_sources_need_no_reader_of_dicom():
    """Planning asks them to check their options, in an environment that has no more than it needs."""
    code = (
        "import sys; from radsynth.common.registry import KINDS; "
        "[entry.load() for entry in KINDS['sources'].values()]; "
        "print(sorted({'pydicom', 'scipy', 'kagglehub', 'torch'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
