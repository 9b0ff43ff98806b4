"""Planted copies and duplicates are found; held-out images and blurred averages are not taken for copies."""

import numpy as np
import pytest
from radsynth.quality import memorisation
from radsynth.quality.arrays import UndefinedError


def points(seed, n, d=8):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_relative_distances_by_hand():
    line = np.array([[0.0], [1.0], [4.0]])
    np.testing.assert_allclose(memorisation.relative_distances(np.array([[3.0], [1.0]]), line), [1 / 2, 0])


@pytest.mark.parametrize("neighbours", [3, 50])
def test_relative_distances_agree_with_all_pairs_over_blocks(monkeypatch, neighbours):
    monkeypatch.setattr(memorisation, "BLOCK", 4)
    monkeypatch.setattr(memorisation, "NEIGHBOURS", neighbours)
    x, y = points(0, 11), points(1, 9)
    pairs = np.sort(np.linalg.norm(x[:, None] - y[None], axis=2), axis=1)[:, :neighbours]
    np.testing.assert_allclose(memorisation.relative_distances(x, y), pairs[:, 0] / pairs.mean(axis=1))


def test_a_copy_far_from_the_origin_has_distance_zero():
    far = points(2, 60) + 1e9
    assert (memorisation.relative_distances(far[:5], far) == 0).all()


def test_threshold_lets_one_held_out_image_in_a_hundred_pass_for_a_copy():
    train, held_out = points(3, 300), points(4, 400)
    assert memorisation.copy_rate(held_out, train, memorisation.copy_threshold(held_out, train)) == pytest.approx(0.01)


def spread_out(candidates, count):
    """Return a farthest-first selection: more diverse than a random one."""
    chosen = [0]
    for _ in range(count - 1):
        chosen.append(np.linalg.norm(candidates[:, None] - candidates[chosen], axis=2).min(axis=1).argmax())
    return candidates[chosen]


@pytest.mark.parametrize("train", [points(5, 200), spread_out(points(5, 1000), 200)], ids=["random", "diverse"])
def test_planted_copies_are_found_and_held_out_images_are_not(train):
    threshold = memorisation.copy_threshold(points(6, 2000), train)
    control = memorisation.copy_rate(points(7, 2000), train, threshold)
    assert control < 0.02
    noisy = train[:100] + 0.02 * points(8, 100)
    assert memorisation.copy_rate(noisy, train, threshold) == 1
    pool = np.concatenate([points(9, 1900), noisy])
    assert memorisation.copy_rate(pool, train, threshold) == pytest.approx(0.05 + control, abs=0.015)


def test_averages_are_close_to_everything_but_few_pass_for_copies():
    train, held_out = points(10, 300, d=30), points(11, 300, d=30)
    blurred = train.mean(axis=0) + 0.1 * points(12, 50, d=30)
    nearest, usual = (np.linalg.norm(x[:, None] - train, axis=2).min(axis=1) for x in (blurred, held_out))
    assert np.mean(nearest < np.quantile(usual, 0.01)) > 0.9  # an absolute distance would flag them
    assert memorisation.copy_rate(blurred, train, memorisation.copy_threshold(held_out, train)) < 0.1


def test_equal_pixels_are_counted_by_hash():
    assert memorisation.exact_copy_rate(["a", "b", "c", "a"], ["a", "x"]) == 0.5
    assert memorisation.duplicate_rate(["a", "b", "c", "a"]) == 0.5
    assert memorisation.duplicate_rate(["a", "b", "c"]) == 0


def test_rates_of_nothing_are_undefined():
    for rate in (lambda: memorisation.duplicate_rate([]), lambda: memorisation.exact_copy_rate([], ["a"])):
        with pytest.raises(UndefinedError, match="no images"):
            rate()
    with pytest.raises(UndefinedError, match="at least 2 images on either side, found 1"):
        memorisation.copy_threshold(points(8, 5), points(8, 1))
    with pytest.raises(UndefinedError, match="found 0"):
        memorisation.copy_rate(points(8, 0), points(9, 4), 1.0)
