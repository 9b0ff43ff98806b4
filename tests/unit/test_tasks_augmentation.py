"""Augmentation: known movements, the ranges that are promised, and the same images for every backend."""

import subprocess
import sys

import numpy as np
import pytest
from radsynth.tasks.jitter import cxr, moved
from scipy.ndimage import center_of_mass


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def blobs(distance: float = 12, size: int = 64) -> np.ndarray:
    """Return a bright blob ``distance`` px left and a darker one as far right of the centre."""
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    left, right = (np.exp(-(rows**2 + (columns - at) ** 2) / 8) for at in (-distance, distance))
    return np.rint(200 * left + 100 * right).astype(np.uint8)


def places(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (row, column) of the blobs, counted from the centre of the image: of the left and the right half."""
    half = image.shape[1] // 2
    middle = (np.array(image.shape) - 1) / 2
    return np.array(center_of_mass(image[:, :half])) - middle, center_of_mass(image[:, half:]) - middle + [0, half]


def test_movements_whose_result_is_known():
    image = noise(9, 9)
    assert np.array_equal(moved(image, 0, (0, 0), 1), image)
    assert np.array_equal(moved(image, 90, (0, 0), 1), np.rot90(image)), "counter-clockwise about the centre"
    shifted = np.zeros_like(image)
    shifted[2:, :-3] = image[:-2, 3:]
    assert np.array_equal(moved(image, 0, (2, -3), 1), shifted)
    assert np.array_equal(moved(image, 0, (0, 0), 2)[::2, ::2], image[2:7, 2:7]), "twice as large"
    turned_then_shifted = np.zeros_like(image)
    turned_then_shifted[1:] = np.rot90(image)[:-1]
    assert np.array_equal(moved(image, 90, (1, 0), 1), turned_then_shifted)


def test_chest_radiographs_move_and_brighten_within_the_ranges_and_use_them():
    rng = np.random.default_rng(1)
    images = np.repeat(blobs()[None], 400, axis=0)
    pairs = np.array([places(image) for image in cxr(images, rng)])
    across = pairs[:, 1] - pairs[:, 0]
    found = {
        "degrees": np.degrees(np.arctan2(-across[:, 0], across[:, 1])),
        "down": pairs.mean(axis=1)[:, 0] / 64,
        "right": pairs.mean(axis=1)[:, 1] / 64,
        "scale": np.linalg.norm(across, axis=1) / 24,
        "brightness": cxr(np.full((400, 9, 9), 100, np.uint8), rng)[:, 4, 4] / 100,
    }
    ranges = {
        "degrees": (-10, 10),
        "down": (-0.1, 0.1),
        "right": (-0.1, 0.1),
        "scale": (0.85, 1.15),
        "brightness": (0.9, 1.1),
    }
    for name, (low, high) in ranges.items():
        margin = 0.04 * (high - low)  # centroids of blobs on whole gray values
        assert low - margin < found[name].min() < low + 2 * margin, name
        assert high - 2 * margin < found[name].max() < high + margin, name
        # 400 uniform draws: the mean has a standard deviation of (high - low) / sqrt(12 x 400).
        assert found[name].mean() == pytest.approx((low + high) / 2, abs=4 * (high - low) / 4800**0.5 + margin), name
    independent = np.corrcoef([found[name] for name in ("degrees", "down", "right", "scale")])
    assert np.abs(independent - np.eye(4)).max() < 4 / 400**0.5


def test_no_mirror_images_no_overflow_and_the_input_stays_as_it_is():
    images = np.repeat(blobs()[None], 50, axis=0)
    images[:, 20:44, 20:44] += 55  # 255 at the bright blob
    before = images.copy()
    changed = cxr(images, np.random.default_rng(0))
    assert np.array_equal(images, before)
    assert changed.shape == images.shape and changed.dtype == np.uint8
    assert (changed[:, :, :32].max(axis=(1, 2)) > changed[:, :, 32:].max(axis=(1, 2))).all()
    assert changed.max() == 255 and (changed[:, 31, 31] > 30).all()


def test_augmentation_knows_no_backend(root):
    code = "import sys, radsynth.tasks.jitter; assert not {'keras', 'tensorflow', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=root / "workflow" / "scripts", check=True)
