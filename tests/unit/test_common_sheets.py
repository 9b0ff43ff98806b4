"""Sheets of images: small ones can be looked at, too."""

import numpy as np
import pytest
from PIL import Image
from radsynth.common.sheets import SHOWN_SIZE, montage, write_sheets
from radsynth.data.describe import TILE, _tile

SQUARES = np.indices((32, 32)).sum(axis=0).astype(np.uint8) % 2 * 255


@pytest.mark.parametrize(("size", "times"), [(28, 4), (32, 3), (64, 2), (96, 1), (128, 1)])
def test_small_images_are_enlarged_by_whole_pixels(size, times):
    images = np.random.default_rng(1).integers(0, 255, (3, size, size), dtype=np.uint8)
    sheet = montage(images, columns=2)
    side = size * times
    assert side >= min(size, SHOWN_SIZE) and sheet.shape == (2 * side + 2, 2 * side + 2)
    second = sheet[:side, side + 2 :]
    for row in range(times):
        assert (second[row::times, row::times] == images[1]).all()
    assert (sheet[side + 2 :, side + 2 :] == 255).all(), "no fourth image"


def test_a_sheet_shows_each_pixel_of_a_small_image_as_a_square(tmp_path):
    write_sheets(tmp_path / "sheet.png", [("squares", montage(np.stack([SQUARES] * 8), 8))])
    with Image.open(tmp_path / "sheet.png") as sheet:
        gray = np.asarray(sheet.convert("L")).astype(int)
    middle = gray[gray.shape[0] // 2]
    runs = np.diff(np.flatnonzero(np.diff(middle)))
    assert np.median(runs) >= 4 and set(np.unique(middle)) == {0, 255}, "neither small nor smoothed"


def test_a_raw_image_is_shown_as_the_squares_that_its_pixels_are():
    tile = np.asarray(_tile(Image.fromarray(SQUARES), []))[..., 0]
    assert (tile == SQUARES.repeat(TILE // 32, axis=0).repeat(TILE // 32, axis=1)).all()
