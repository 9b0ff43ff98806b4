"""Planted copies and duplicates are found; held-out images and blurred averages are not taken for copies."""

import numpy as np
import pytest
from radsynth.quality import copies, image_copies, neighbourhoods
from radsynth.quality.copies import authpct, c_t, dcr_median, dcr_share
from radsynth.quality.metric import UndefinedError
from radsynth.quality.neighbourhoods import Points, encounter
from scipy.stats import mannwhitneyu


def points(seed, n, d=8):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_relative_distances_by_hand():
    line = np.array([[0.0], [1.0], [4.0]])
    np.testing.assert_allclose(copies.relative_distances(np.array([[3.0], [1.0]]), line), [1 / 2, 0])


@pytest.mark.parametrize("count", [3, 50])
def test_relative_distances_agree_with_all_pairs_over_blocks(monkeypatch, count):
    monkeypatch.setattr(neighbourhoods, "BLOCK", 4)
    monkeypatch.setattr(neighbourhoods, "NEIGHBOURS", count)
    x, y = points(0, 11), points(1, 9)
    pairs = np.sort(np.linalg.norm(x[:, None] - y[None], axis=2), axis=1)[:, :count]
    np.testing.assert_allclose(copies.relative_distances(x, y), pairs[:, 0] / pairs.mean(axis=1))


def test_a_copy_far_from_the_origin_has_distance_zero():
    far = points(2, 60) + 1e9
    assert (copies.relative_distances(far[:5], far) == 0).all()


def test_threshold_lets_one_held_out_image_in_a_hundred_pass_for_a_copy():
    train, held_out = points(3, 300), points(4, 400)
    assert copies.copy_rate(held_out, train, copies.copy_threshold(held_out, train)) == pytest.approx(0.01)


def spread_out(candidates, count):
    """Return a farthest-first selection: more diverse than a random one."""
    chosen = [0]
    for _ in range(count - 1):
        chosen.append(np.linalg.norm(candidates[:, None] - candidates[chosen], axis=2).min(axis=1).argmax())
    return candidates[chosen]


@pytest.mark.parametrize("train", [points(5, 200), spread_out(points(5, 1000), 200)], ids=["random", "diverse"])
def test_planted_copies_are_found_and_held_out_images_are_not(train):
    threshold = copies.copy_threshold(points(6, 2000), train)
    control = copies.copy_rate(points(7, 2000), train, threshold)
    assert control < 0.02
    noisy = train[:100] + 0.02 * points(8, 100)
    assert copies.copy_rate(noisy, train, threshold) == 1
    pool = np.concatenate([points(9, 1900), noisy])
    assert copies.copy_rate(pool, train, threshold) == pytest.approx(0.05 + control, abs=0.015)


def test_averages_are_close_to_everything_but_few_pass_for_copies():
    train, held_out = points(10, 300, d=30), points(11, 300, d=30)
    blurred = train.mean(axis=0) + 0.1 * points(12, 50, d=30)
    nearest, usual = (np.linalg.norm(x[:, None] - train, axis=2).min(axis=1) for x in (blurred, held_out))
    assert np.mean(nearest < np.quantile(usual, 0.01)) > 0.9  # an absolute distance would flag them
    assert copies.copy_rate(blurred, train, copies.copy_threshold(held_out, train)) < 0.1


def test_equal_pixels_are_counted_by_hash():
    assert image_copies.exact_copy_rate(["a", "b", "c", "a"], ["a", "x"]) == 0.5
    assert image_copies.duplicate_rate(["a", "b", "c", "a"]) == 0.5
    assert image_copies.duplicate_rate(["a", "b", "c"]) == 0


def test_rates_of_nothing_are_undefined():
    for rate in (lambda: image_copies.duplicate_rate([]), lambda: image_copies.exact_copy_rate([], ["a"])):
        with pytest.raises(UndefinedError, match="no images"):
            rate()
    with pytest.raises(UndefinedError, match="at least 2 images on either side, found 1"):
        copies.copy_threshold(points(8, 5), points(8, 1))
    with pytest.raises(UndefinedError, match="found 0"):
        copies.copy_rate(points(8, 0), points(9, 4), 1.0)
    with pytest.raises(UndefinedError, match="no images"):
        copies.share_below(np.empty(0), 1.0)
    with pytest.raises(UndefinedError, match="too few training or held-out images"):
        copies.share_below(np.ones(3), None)
    with pytest.raises(UndefinedError, match="no images"):
        image_copies.constant_rate(np.empty((0, 4, 4)))
    with pytest.raises(UndefinedError, match="at least 2 held-out images for a threshold, found 1"):
        copies.quantile_threshold(np.ones(1))


def test_constant_images_are_counted():
    images = np.zeros((4, 3, 3), np.uint8)
    images[1] = 255
    images[2, 0, 0] = images[3, 2, 1] = 1
    assert image_copies.constant_rate(images) == 0.5


def line(*positions):
    return Points(np.array(positions, dtype=float)[:, None])


def test_authpct_by_hand():
    """Training images at 0, 1 and 10: their own nearest neighbours are 1, 1 and 9 away."""
    assert authpct(encounter(line(0, 1, 10), line(0.4, 2.5, 2.0, 15.0, 30.0))) == 100 * 2 / 5
    with pytest.raises(UndefinedError, match="at least 2 training images, found 1"):
        authpct(encounter(line(0), line(1, 2)))


def test_authpct_of_equal_distributions_is_no_half_and_copies_lower_it():
    train, fresh = Points(points(20, 300, d=16)), points(21, 300, d=16)
    assert 60 < authpct(encounter(train, Points(fresh))) < 85
    copies = np.concatenate([fresh[:150], train.features[:150] + 1e-3])
    assert authpct(encounter(train, Points(copies))) < 45


def test_c_t_is_the_z_of_the_mann_whitney_test_and_negative_for_copies():
    generator = np.random.default_rng(22)
    pool, held_out = generator.normal(0.3, 1, 60), generator.normal(0, 1, 80)
    u = mannwhitneyu(pool, held_out).statistic
    assert c_t(pool, held_out) == pytest.approx((u - 60 * 80 / 2) / np.sqrt(60 * 80 * 141 / 12))
    assert c_t(np.zeros(200), generator.uniform(1, 2, 200)) < -17  # all of them closer: copying
    assert c_t(held_out, pool) == pytest.approx(-c_t(pool, held_out))
    assert c_t(np.ones(5), np.ones(7)) == 0
    null = [c_t(generator.normal(size=50), generator.normal(size=70)) for _ in range(300)]
    assert abs(np.mean(null)) < 0.2 and np.std(null) == pytest.approx(1, abs=0.15)
    with pytest.raises(UndefinedError, match="found 1"):
        c_t(pool[:1], held_out)


def test_distance_to_the_closest_record_by_hand():
    assert dcr_median(encounter(line(0, 10), line(1, 2, 17)).distance) == 2
    assert dcr_share(line(1, 2, 4.5, 7), line(0), line(9), seed=0) == (1 + 1 + 0.5 + 0) / 4
    with pytest.raises(UndefinedError, match="found 0"):
        dcr_share(line(1, 2), line(0), Points(np.empty((0, 1))), seed=0)


def test_dcr_share_does_not_reward_the_larger_set_and_sees_copies():
    train, few, fresh = Points(points(30, 800)), Points(points(31, 200)), Points(points(32, 600))
    assert dcr_share(fresh, train, few, seed=1) == pytest.approx(0.5, abs=0.07)
    assert dcr_share(fresh, few, train, seed=1) == pytest.approx(0.5, abs=0.07)
    assert dcr_share(fresh, few, train, seed=1) == dcr_share(fresh, few, train, seed=1)
    assert dcr_share(Points(few.features + 1e-3), few, train, seed=1) == 1


def test_the_tail_shows_a_few_copies_that_the_mean_hides():
    train, usual, fresh = Points(points(33, 300)), Points(points(34, 800)), points(35, 760)
    pool = np.concatenate([fresh, train.features[:40]])
    threshold = copies.quantile_threshold(encounter(train, usual).distance)
    tail = copies.share_below(encounter(train, Points(pool)).distance, threshold)
    assert tail > 0.05 and dcr_share(Points(pool), train, usual, seed=0) < 0.6
