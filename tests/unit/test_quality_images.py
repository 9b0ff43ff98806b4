"""What is measured on images: similarity to the nearest training image, diversity of pairs, the Inception score."""

import numpy as np
import pytest
from radsynth.quality import likeness
from radsynth.quality.likeness import inception_score, mean_over_pairs
from radsynth.quality.metric import UndefinedError


def noise(seed, n, side=24):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


def test_the_nearest_training_image_by_mse_over_blocks(monkeypatch):
    monkeypatch.setattr("radsynth.common.nearest.BLOCK", 3 * 24 * 24)
    images, training = noise(0, 7), noise(1, 8)
    training[5] = images[2]
    expected = np.mean((images[:, None].astype(float) - training) ** 2, axis=(2, 3))
    nearest, errors = likeness.nearest_by_mse(images, training)
    np.testing.assert_array_equal(nearest, expected.argmin(axis=1))
    np.testing.assert_allclose(errors, expected.min(axis=1), rtol=1e-6)
    assert nearest[2] == 5 and errors[2] == 0


def test_mse_and_psnr_by_hand():
    errors = np.array([1.0, 100.0])
    assert likeness.mse(errors) == (50.5, None, None, pytest.approx(99 / np.sqrt(2)))
    found = likeness.psnr(errors)
    decibels = 20 * np.log10(255) - np.array([0, 20])
    assert found.value == pytest.approx(decibels.mean()) and found.sd == pytest.approx(20 / np.sqrt(2))
    with pytest.raises(UndefinedError, match="2 images equal a training image: an infinite PSNR"):
        likeness.psnr(np.array([0, 1.0, 0]))
    assert likeness.mse(errors[:1]).sd is None


def test_ssim_is_that_of_wang_et_al_and_1_for_a_copy():
    from scipy.ndimage import gaussian_filter

    a, b = noise(2, 2), noise(3, 2)
    b[0] = a[0]

    def blur(x):
        return gaussian_filter(x.astype(float), 1.5, truncate=3.5)

    x, y = a[1].astype(float), b[1].astype(float)
    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    local = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    expected = local[5:-5, 5:-5].mean()
    found = likeness.ssim(a, b)
    assert found.value == pytest.approx((1 + expected) / 2) and found.sd == pytest.approx((1 - expected) / np.sqrt(2))
    with pytest.raises(UndefinedError, match="at least 11 pixels, found 8"):
        likeness.ssim(noise(4, 1, 8), noise(5, 1, 8))


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0)])
def test_similarity_of_nothing_is_undefined(n, m):
    with pytest.raises(UndefinedError, match="at least 1 image on either side, found 0"):
        likeness.nearest_by_mse(noise(6, n), noise(7, m))


def test_the_interval_of_disjoint_pairs_is_that_of_independent_values():
    values = np.random.default_rng(8).normal(0.4, 0.1, 100)
    found = mean_over_pairs(values, np.arange(200).reshape(100, 2))
    half = 1.959964 * values.std() / 10
    assert found.value == pytest.approx(values.mean()) and found.sd == pytest.approx(values.std(ddof=1))
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_the_interval_of_pairs_that_share_images_covers_the_truth():
    """Values that depend on their images: independent pairs would give an interval that is much too short."""
    generator = np.random.default_rng(9)
    hits, short = 0, 0
    for _ in range(400):
        effects, pairs = generator.normal(size=40), generator.integers(0, 40, (300, 2))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        values = effects[pairs].sum(axis=1) + 0.5 * generator.normal(size=len(pairs))
        found = mean_over_pairs(values, pairs)
        hits += found.low <= 0 <= found.high
        short += abs(found.value) <= 1.96 * values.std() / np.sqrt(len(pairs))
    assert 0.9 < hits / 400 < 0.98 and short / 400 < 0.6


def test_pairs_without_values_are_undefined():
    with pytest.raises(UndefinedError, match="1 of 3 pairs have no finite value"):
        mean_over_pairs(np.array([0.1, np.nan, 0.2]), np.arange(6).reshape(3, 2))
    with pytest.raises(UndefinedError, match="at least 2 pairs of images, found 1"):
        mean_over_pairs(np.array([0.1]), np.array([[0, 1]]))


def test_the_inception_score_lies_between_1_and_the_number_of_classes():
    certain = np.tile(50 * np.eye(4), (25, 1))
    assert inception_score(certain).value == pytest.approx(4, rel=0.02)
    assert inception_score(np.tile([3.0, 1.0, 0.0], (40, 1))) == (pytest.approx(1), None, None, pytest.approx(0))
    with pytest.raises(UndefinedError, match="at least 20 images for 10 splits, found 19"):
        inception_score(np.zeros((19, 3)))
