"""The class orders: random and k-center greedy."""

from itertools import combinations

import numpy as np
import pytest
from radsynth.cohorts.diversity import mean_pairwise_distance
from radsynth.cohorts.orders import farthest_first, random_order
from radsynth.common.tables import read_table
from scipy.spatial.distance import cdist
from scipy.stats import hypergeom


def line(*points):
    return np.array(points, dtype=np.float32)[:, None]


def reference_k_center(features, first):
    """Farthest-first traversal from the full distance matrix, in float64."""
    distances = cdist(features.astype(float), features.astype(float))
    order = [first]
    while len(order) < len(features):
        nearest = distances[:, order].min(axis=1)
        nearest[order] = -1
        order.append(int(nearest.argmax()))
    return order


def radius(features, centres):
    return cdist(features, features[centres]).min(axis=1).max()


def test_farthest_first_on_a_line():
    # From 0 the farthest is 10, then the middle, 4; 6 is farther (2) from {0, 10, 4} than 1 (1) is.
    assert farthest_first(line(0, 1, 4, 6, 10), 0).tolist() == [0, 4, 2, 3, 1]


def test_equally_far_images_come_by_row_number():
    assert farthest_first(line(0, -5, 5, 5, -5, 0), 0).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("seed", range(6))
def test_farthest_first_agrees_with_the_full_distance_matrix(seed):
    rng = np.random.default_rng(seed)
    features = rng.gamma(1.0, 1.0, (150, 40)).astype(np.float32)
    features[100:120] = features[:20]  # duplicates
    assert farthest_first(features, 7).tolist() == reference_k_center(features, 7)


def test_distances_are_right_far_from_the_origin():
    # At offset 4096 the expanded form |x|^2 - 2 x.c + |c|^2 in float32 has errors of about 2, above all distances here.
    points = np.array([[0, 0], [0, 0], [0.5, 0], [0, 0.25], [1, 1], [0.75, 1], [0.5, 0]], dtype=np.float32)
    features = np.concatenate([points, np.zeros((7, 30), np.float32)], axis=1) + np.float32(4096)
    order = farthest_first(features, 0)
    assert order.tolist() == reference_k_center(features, 0)
    # The last two are the duplicates of images drawn before them.
    assert order[-2:].tolist() == [1, 6]


@pytest.mark.parametrize("seed", range(5))
def test_radius_is_at_most_twice_the_optimum(seed):
    features = np.random.default_rng(seed).normal(size=(12, 2)).astype(np.float32)
    order = farthest_first(features, seed)
    for k in (1, 2, 3, 4):
        best = min(radius(features, list(centres)) for centres in combinations(range(12), k))
        assert radius(features, order[:k]) <= 2 * best + 1e-6


def test_a_limit_keeps_the_prefix_and_orders_the_rest_by_distance():
    features = np.random.default_rng(1).normal(size=(80, 5)).astype(np.float32)
    whole, part = farthest_first(features, 3), farthest_first(features, 3, limit=20)
    assert part[:20].tolist() == whole[:20].tolist()
    assert sorted(part) == list(range(80))
    distances = cdist(features[part[20:]], features[part[:20]]).min(axis=1)
    assert (np.diff(distances) <= 1e-6).all()
    assert part[20:].tolist() != whole[20:].tolist()


def test_duplicates_follow_their_image_and_count_as_centres():
    points, groups = line(0, 10, 9, 5, 1), np.array([0, 1, 2, 3, 1])
    # Image 4 (at 1) is of the group of image 1 (at 10); without groups it would come last.
    assert farthest_first(points, 0, groups).tolist() == [0, 1, 4, 3, 2]
    assert farthest_first(points, 0).tolist() == [0, 1, 3, 2, 4]
    # Image 1 (at 1) follows image 0 (at 10); measured to it, 5 is the farthest; to 10 alone it would be 0.
    assert farthest_first(line(10, 1, 0, 5), 0, np.array([0, 0, 1, 2])).tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("draw", ["random", "k_center_greedy"])
@pytest.mark.parametrize("limit", [None, 15])
def test_orders_hold_every_image_once_and_duplicates_together(draw, limit):
    rng = np.random.default_rng(5)
    for _ in range(20):
        n = int(rng.integers(1, 60))
        groups = rng.integers(n, size=n)
        if draw == "random":
            order = random_order(groups, rng)
        else:
            features = rng.normal(size=(n, 3)).astype(np.float32)
            order = farthest_first(features, int(rng.integers(n)), groups, limit)
        assert sorted(order) == list(range(n))
        changes = np.count_nonzero(np.diff(groups[order])) + 1
        assert changes == len(set(groups.tolist()))


def test_every_image_is_as_likely_as_any_other_at_the_front_of_a_random_order():
    rng = np.random.default_rng(0)
    orders = [random_order(np.arange(4), rng) for _ in range(4000)]
    for place in range(4):
        counts = np.bincount([order[place] for order in orders], minlength=4)
        assert (abs(counts - 1000) < 150).all()  # 5.5 standard deviations
    # A pair of duplicates among 40 images is in a third of them no more often than the others are.
    groups = np.array([0, 0, *range(1, 39)])
    drawn = np.bincount(np.concatenate([random_order(groups, rng)[:13] for _ in range(4000)]), minlength=40)
    assert drawn[:2].mean() == pytest.approx(4000 * 13 / 40, rel=0.08)


def check_patients_of_draws(patients, k, draws=300):
    """Check that among the first k of an order patients are as frequent, and as many, as in uniform draws of images."""
    patients = np.unique(patients, return_inverse=True)[1]
    sizes, n = np.bincount(patients), len(patients)
    rng, found = np.random.default_rng(1), []
    for _ in range(draws):
        drawn = patients[random_order(np.arange(n), rng)[:k]]
        found.append((sizes[drawn].mean(), len(set(drawn.tolist()))))
    images_per_patient, distinct = np.mean(found, axis=0)
    assert images_per_patient == pytest.approx(sizes[patients].mean(), rel=0.05)
    # A patient of m images is missing with the hypergeometric probability that none of them is drawn.
    assert distinct == pytest.approx((1 - hypergeom.pmf(0, n, sizes, k)).sum(), rel=0.05)


def test_patients_with_many_images_are_no_more_frequent_than_in_the_set():
    sizes = np.repeat([1, 3, 8, 30], [200, 60, 30, 5])
    check_patients_of_draws(np.repeat(np.arange(len(sizes)), sizes), 150)


@pytest.mark.parametrize("label", ["NORMAL", "PNEUMONIA"])
def test_patients_of_real_radiographs_are_drawn_as_they_are_in_the_set(shared_data, label):
    manifest = read_table(shared_data / "kermany_cxr_224" / "manifest.csv")
    check_patients_of_draws(manifest.loc[manifest["label"] == label, "patient_id"].to_numpy(), 200)


def test_mean_pairwise_distance():
    assert mean_pairwise_distance(line(0, 3, 9)) == pytest.approx((3 + 9 + 6) / 3)
    assert mean_pairwise_distance(line(4)) is None
    assert mean_pairwise_distance(line()) is None
    assert mean_pairwise_distance(np.full((5, 3), 1e3, np.float32)) == 0
    features = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    distances = cdist(features, features)
    assert mean_pairwise_distance(features) == pytest.approx(distances.sum() / (3000 * 2999))


def test_k_center_greedy_is_more_diverse_than_a_random_draw():
    rng = np.random.default_rng(2)
    features = rng.gamma(1.0, 1.0, (600, 64)).astype(np.float32)
    greedy = mean_pairwise_distance(features[farthest_first(features, 0, limit=60)[:60]])
    draws = [mean_pairwise_distance(features[random_order(np.arange(600), rng)[:60]]) for _ in range(5)]
    assert greedy > max(draws)
