"""Planted copies and duplicates are found, held-out images are not taken for copies."""

import numpy as np
import pytest
from radsynth.quality import memorisation
from radsynth.quality.arrays import UndefinedError


def points(seed, n, d=8):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_nearest_distances_by_hand():
    line = np.array([[0.0], [1.0], [4.0]])
    np.testing.assert_allclose(memorisation.nearest_distances(line), [1, 1, 3])
    np.testing.assert_allclose(memorisation.nearest_distances(np.array([[3.0], [0.25]]), line), [1, 0.25])


def test_nearest_distances_agree_with_all_pairs_over_blocks(monkeypatch):
    monkeypatch.setattr(memorisation, "BLOCK", 4)
    x, y = points(0, 11), points(1, 9)
    pairs = np.linalg.norm(x[:, None] - y[None], axis=2)
    np.testing.assert_allclose(memorisation.nearest_distances(x, y), pairs.min(axis=1))
    own = np.linalg.norm(x[:, None] - x[None], axis=2) + np.diag(np.full(11, np.inf))
    np.testing.assert_allclose(memorisation.nearest_distances(x), own.min(axis=1))


def test_a_copy_far_from_the_origin_has_distance_zero():
    far = points(2, 50) + 1e6
    assert (memorisation.nearest_distances(far[:5], far) == 0).all()


def test_threshold_is_the_first_percentile_of_the_training_images_own_neighbours():
    train = points(3, 400)
    threshold = memorisation.copy_threshold(train)
    assert np.mean(memorisation.nearest_distances(train) < threshold) == pytest.approx(0.01)


def test_planted_copies_are_found_and_held_out_images_are_not():
    train, held_out, fresh = points(4, 500), points(5, 2000), points(6, 1900)
    threshold = memorisation.copy_threshold(train)
    control = memorisation.copy_rate(held_out, train, threshold)
    assert control < 0.025
    noisy = train[:100] + 0.02 * points(7, 100)
    assert memorisation.copy_rate(noisy, train, threshold) == 1
    pool = np.concatenate([fresh, noisy])
    assert memorisation.copy_rate(pool, train, threshold) == pytest.approx(0.05 + control, abs=0.015)


def test_equal_pixels_are_counted_by_hash():
    assert memorisation.exact_copy_rate(["a", "b", "c", "a"], ["a", "x"]) == 0.5
    assert memorisation.duplicate_rate(["a", "b", "c", "a"]) == 0.5
    assert memorisation.duplicate_rate(["a", "b", "c"]) == 0


def test_rates_of_nothing_are_undefined():
    for rate in (lambda: memorisation.duplicate_rate([]), lambda: memorisation.exact_copy_rate([], ["a"])):
        with pytest.raises(UndefinedError, match="no images"):
            rate()
    with pytest.raises(UndefinedError, match="found 1"):
        memorisation.copy_threshold(points(8, 1))
    with pytest.raises(UndefinedError, match="found 0"):
        memorisation.copy_rate(points(8, 0), points(9, 4), 1.0)
