"""Duplicate detection on planted copies and on real radiographs."""

import io

import numpy as np
import pytest
from PIL import Image
from radsynth.data.breast_crop import breast_box
from radsynth.data.convert import Geometry
from radsynth.data.duplicates import THUMBNAIL, duplicate_groups, near_duplicate_pairs
from radsynth.data.phantom import render


def thumbnail(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))


def jpeg(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def test_altered_copies_are_found_and_nothing_else():
    originals = [Image.fromarray(render(index // 2, index, 128, index % 4 > 1)[0]) for index in range(60)]
    copies = [
        jpeg(originals[3]),
        originals[10].point(lambda value: int(255 * (value / 255) ** 1.3)),
        originals[20].resize((90, 90), Image.Resampling.LANCZOS),
    ]
    pairs = near_duplicate_pairs(np.stack([thumbnail(image) for image in originals + copies]), block=7)
    assert {tuple(pair) for pair in pairs.tolist()} == {(3, 60), (10, 61), (20, 62)}


def test_block_size_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (20, THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    images[15] = images[4]
    images[19] = images[4]
    for block in (1, 6, 512):
        assert sorted(near_duplicate_pairs(images, block=block).tolist()) == [[4, 15], [4, 19], [15, 19]]


def test_constant_thumbnails_are_not_each_others_duplicates():
    assert len(near_duplicate_pairs(np.zeros((3, THUMBNAIL, THUMBNAIL), dtype=np.uint8))) == 0


def test_groups_are_connected_components():
    pairs = np.array([[0, 1], [1, 2]])
    groups = duplicate_groups(["a", "b", "c", "d", "e", "d", "f"], pairs)
    assert groups[0] == groups[1] == groups[2] != -1
    assert groups[3] == groups[5] != groups[0]
    assert groups[4] == groups[6] == -1


def test_real_mammograms_turned_to_one_side_have_no_false_pairs(shared_data):
    files = sorted((shared_data / "cdd_cesm_dm_512" / "images").glob("*.jpg"))
    if not files:
        pytest.skip("needs the shared development images (cdd_cesm_dm_512)")
    thumbnails = []
    for file in files:
        with Image.open(file) as opened:
            image = opened.convert("L")
        geometry = Geometry(*image.size, 256, "pad", breast_box(image), "_R_" in file.name)
        thumbnails.append(thumbnail(geometry.of_image(image, Image.Resampling.LANCZOS)))
    assert len(near_duplicate_pairs(np.stack(thumbnails))) == 0


def test_real_radiographs_have_no_false_pairs(shared_data):
    files = sorted((shared_data / "nih_cxr_500").glob("*/*.png"))
    if not files:
        pytest.skip("needs the shared development images (nih_cxr_500)")
    assert len(near_duplicate_pairs(np.stack([thumbnail(Image.open(file)) for file in files]))) == 0
