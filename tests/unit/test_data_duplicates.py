"""Duplicate detection on planted copies and on real radiographs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from altered_images import encoded, rescaled
from PIL import Image
from radsynth.data.breast_crop import breast_box
from radsynth.data.convert import Geometry, to_gray
from radsynth.data.duplicates import THUMBNAIL, duplicate_groups, near_duplicate_pairs, thumbnail
from radsynth.data.phantom import render


def prepared(file: Path, size: int = 128) -> np.ndarray:
    with Image.open(file) as opened:
        image, _ = to_gray(opened)
    return np.asarray(Geometry(*image.size, size, "pad").of_image(image, Image.Resampling.LANCZOS))


def thumbnails(images) -> np.ndarray:
    return np.stack([thumbnail(np.ascontiguousarray(image)) for image in images])


CHANGES = {
    "re-encoded": encoded,
    "gamma": lambda image: (255 * (image / 255) ** 1.3).astype(np.uint8),
    "rescaled": rescaled,
    "mirrored": lambda image: image[:, ::-1],
    "turned": lambda image: np.rot90(image),
    "mirrored, turned and re-encoded": lambda image: encoded(np.rot90(image[:, ::-1]).copy()),
}


def found(pairs):
    return {tuple(pair) for pair in pairs.tolist()}


@pytest.mark.parametrize("change", CHANGES)
def test_altered_copies_are_found_and_nothing_else(change):
    originals = [render(index, index, 128, index % 4 > 1)[0] for index in range(60)]
    copies = [CHANGES[change](originals[index]) for index in (3, 10, 20)]
    assert found(near_duplicate_pairs(thumbnails(originals + copies), block=7)) == {(3, 60), (10, 61), (20, 62)}


def test_many_copies_of_few_images_are_no_common_part():
    """Five altered copies of each of thirty images: all are found, though they make up the whole set."""
    images = [render(index, index, 128, index % 2 == 0)[0] for index in range(30)]
    alter = [lambda image: image, *list(CHANGES.values())[:4]]
    copies = [change(image) for image in images for change in alter]
    groups = duplicate_groups([str(index) for index in range(150)], near_duplicate_pairs(thumbnails(copies)))
    assert len(set(groups)) == 30 and all(len(set(groups[5 * k : 5 * k + 5])) == 1 for k in range(30))


def smooth(count, seed, frames=1):
    """Return images of little texture under one or two burned-in frames, all different."""
    random = np.random.default_rng(seed)
    images = np.empty((count, 96, 96))
    for index, image in enumerate(images):
        field = Image.fromarray(random.standard_normal((4, 4)).astype(np.float32))
        image[:] = 60 + 9 * np.asarray(field.resize((96, 96), Image.Resampling.BICUBIC))
        edge = 6 if index % frames == 0 else 14
        image[:edge], image[-edge:], image[:, :edge], image[:, -edge:] = 0, 0, 0, 0
        image[edge + 2 : edge + 6, 8:40] = 255
    return np.clip(images, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("count", [12, 80])
def test_different_images_of_little_texture_are_not_merged(count, frames):
    """What all images of a set (or of a scanner in it) share tells nothing; their copies are found nevertheless."""
    images = smooth(count, seed=1, frames=frames)
    assert len(near_duplicate_pairs(thumbnails(images))) == 0
    if count == 80:
        copies = [images[4][:, ::-1], np.rot90(images[9])]
        assert found(near_duplicate_pairs(thumbnails([*images, *copies]))) == {(4, 80), (9, 81)}


def test_block_size_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (20, THUMBNAIL, THUMBNAIL), dtype=np.uint8)
    images[15] = images[4]
    images[19] = images[4]
    for block in (1, 6, 512):
        assert sorted(near_duplicate_pairs(images, block=block).tolist()) == [[4, 15], [4, 19], [15, 19]]


def test_with_a_split_only_pairs_across_it_are_found():
    images = [render(index, index, 128, True)[0] for index in range(40)]
    images[5], images[30], images[33] = images[2], images[2], images[31]
    assert found(near_duplicate_pairs(thumbnails(images), split=20, block=7)) == {(2, 30), (5, 30)}
    assert found(near_duplicate_pairs(thumbnails(images), split=40)) == set()


def test_constant_thumbnails_are_not_each_others_duplicates():
    assert len(near_duplicate_pairs(np.zeros((3, THUMBNAIL, THUMBNAIL), dtype=np.uint8))) == 0


def test_groups_are_connected_components():
    pairs = np.array([[0, 1], [1, 2]])
    groups = duplicate_groups(["a", "b", "c", "d", "e", "d", "f"], pairs)
    assert groups[0] == groups[1] == groups[2] != -1
    assert groups[3] == groups[5] != groups[0]
    assert groups[4] == groups[6] == -1


def test_images_of_one_patient_do_not_raise_the_threshold():
    """A hundred patients of two nearly equal images: these are pairs of one patient, not different images alike."""
    images = [render(index // 2, index // 2, 128, True)[0] for index in range(200)]
    images = [encoded(image) if index % 2 else image for index, image in enumerate(images)]
    patients = [f"p{index // 2}" for index in range(200)]
    assert found(near_duplicate_pairs(thumbnails(images), patients)) == {(2 * k, 2 * k + 1) for k in range(100)}


def test_real_mammograms_turned_to_one_side_have_no_false_pairs(shared_data):
    files = sorted((shared_data / "cdd_cesm_dm_512" / "images").glob("*.jpg"))
    if not files:
        pytest.skip("needs the shared development images (cdd_cesm_dm_512)")
    images = []
    for file in files:
        with Image.open(file) as opened:
            image = opened.convert("L")
        geometry = Geometry(*image.size, 256, "pad", breast_box(image), "_R_" in file.name)
        images.append(np.asarray(geometry.of_image(image, Image.Resampling.LANCZOS)))
    assert len(near_duplicate_pairs(thumbnails(images))) == 0


def test_real_radiographs_have_no_false_pairs_and_every_altered_copy_is_found(shared_data):
    files = sorted((shared_data / "nih_cxr_500").glob("*/*.png"))
    if not files:
        pytest.skip("needs the shared development images (nih_cxr_500)")
    images = [prepared(file) for file in files]
    assert len(near_duplicate_pairs(thumbnails(images))) == 0
    copies = [change(images[20 * k + i]) for i, change in enumerate(CHANGES.values()) for k in range(15)]
    origins = [20 * k + i for i in range(len(CHANGES)) for k in range(15)]
    pairs = near_duplicate_pairs(thumbnails([*images, *copies]))
    assert found(pairs) == {(origin, len(images) + index) for index, origin in enumerate(origins)}


def test_pairs_of_ultrasound_images_stand_in_a_list_of_duplicates(shared_data):
    """BUSI has many near duplicates (groups by another method and threshold come with it)."""
    folder = shared_data / "busi_256"
    if not folder.is_dir():
        pytest.skip("needs the shared development images (busi_256)")
    manifest = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
    pairs = near_duplicate_pairs(thumbnails(prepared(folder / file) for file in manifest["file"]))
    groups = manifest["near_duplicate_group"].to_numpy()
    known = (groups[pairs[:, 0]] != "") & (groups[pairs[:, 0]] == groups[pairs[:, 1]])
    assert len(pairs) >= 50 and known.sum() >= len(pairs) - 2
