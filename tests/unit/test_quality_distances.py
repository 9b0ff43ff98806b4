"""FID and KID against closed forms, hand cases and the matrix root; the real-against-real baseline's parts."""

import numpy as np
import pytest
from radsynth.quality import frechet, kernel
from radsynth.quality.metric import UndefinedError
from radsynth.quality.samples import draw_parts, part_sizes
from scipy.linalg import sqrtm


def fid(a, b):
    return frechet.value(frechet.statistics(a), frechet.statistics(b))


def kid(a, b):
    return kernel.value(kernel.statistics(a), kernel.statistics(b))


def estimates(a, b, seed, groups=None, b_groups=None, **draws):
    one, other = kernel.Resampled(a, seed, groups, **draws), kernel.Resampled(b, seed + 10**6, b_groups, **draws)
    return kernel.estimates(one, other)


def sample(seed, n, d, scale=1.0, shift=0.0):
    """Return n points whose mean is exactly ``shift`` and whose covariance is exactly diag(scale)^2 (n > d)."""
    x = np.random.default_rng(seed).normal(size=(n, d))
    x -= x.mean(axis=0)
    x, _ = np.linalg.qr(x)
    return x * np.sqrt(n - 1) * scale + shift


def by_matrix_root(a, b):
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(axis=0) - b.mean(axis=0)
    return shift @ shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)


def by_eigenvalues(a, b):
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(axis=0) - b.mean(axis=0)
    roots = np.sqrt(np.clip(np.linalg.eigvals(s1 @ s2).real, 0, None))
    return shift @ shift + np.trace(s1 + s2) - 2 * roots.sum()


def test_fid_of_shifted_unit_gaussians_is_the_dimension():
    assert fid(sample(0, 50, 7), sample(1, 80, 7, shift=1.0)) == pytest.approx(7)


def test_fid_of_diagonal_gaussians_is_the_closed_form():
    s1, s2 = np.array([1.0, 2.0, 0.5]), np.array([3.0, 0.1, 0.5])
    expected = np.sum((s1 - s2) ** 2) + 3 * 0.25
    assert fid(sample(0, 40, 3, s1), sample(1, 30, 3, s2, shift=0.5)) == pytest.approx(expected)


def test_fid_equals_the_matrix_root_at_full_rank():
    generator = np.random.default_rng(0)
    a = generator.normal(size=(60, 12)) @ generator.normal(size=(12, 12))
    b = generator.normal(size=(90, 12)) @ generator.normal(size=(12, 12)) + 1
    assert fid(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-8)


@pytest.mark.parametrize(("n", "m"), [(5, 8), (5, 60), (60, 5)])
def test_fid_with_fewer_images_than_dimensions_equals_the_eigenvalue_form(n, m):
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(n, 20)), generator.normal(size=(m, 20)) * 2
    assert fid(a, b) == pytest.approx(by_eigenvalues(a, b), rel=1e-5)


@pytest.mark.parametrize("n", [10, 100])
def test_fid_is_zero_to_itself_symmetric_and_blind_to_rotation(n):
    generator = np.random.default_rng(2)
    a, b = generator.normal(size=(n, 30)), generator.normal(size=(50, 30)) + 0.3
    rotation, _ = np.linalg.qr(generator.normal(size=(30, 30)))
    assert fid(a, a) == pytest.approx(0, abs=1e-6) and fid(a, a) >= 0
    assert fid(a, b) == pytest.approx(fid(b, a))
    assert fid(a @ rotation, b @ rotation) == pytest.approx(fid(a, b))


def test_fid_of_small_samples_is_mostly_bias():
    """Why every FID stands beside its baseline: one distribution, yet far from 0 until n is much larger than d."""
    scale = 1 / np.sqrt(1 + np.arange(256))
    generator = np.random.default_rng(3)
    few, many, more = (generator.normal(size=(n, 256)) * scale for n in (50, 2000, 2000))
    assert fid(few, many) > 5 * fid(many, more)


def test_kid_of_the_hand_case():
    assert kid(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])) == pytest.approx(297.5)


def test_kid_equals_the_double_sum_over_blocks(monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", 3)
    generator = np.random.default_rng(5)
    x, y = generator.normal(size=(7, 4)), generator.normal(size=(5, 4)) + 0.5

    def k(a, b):
        return (a @ b / 4 + 1) ** 3

    xx = np.mean([k(x[i], x[j]) for i in range(7) for j in range(7) if i != j])
    yy = np.mean([k(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert kid(x, y) == pytest.approx(xx + yy - 2 * xy)
    assert kid(y, x) == pytest.approx(kid(x, y))


def test_kid_is_unbiased_and_not_clipped():
    generator = np.random.default_rng(6)
    values = [kid(generator.normal(size=(40, 16)), generator.normal(size=(60, 16))) for _ in range(200)]
    negative = np.mean(np.array(values) < 0)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)
    assert 0.35 < negative < 0.75


def test_weighted_kid_leaves_out_pairs_of_an_image_with_itself(monkeypatch):
    """Against an explicit sum over the images that whole-number weights repeat."""
    monkeypatch.setattr(kernel, "BLOCK", 2)
    generator = np.random.default_rng(8)
    x, y = generator.normal(size=(5, 3)), generator.normal(size=(4, 3)) + 0.5
    v, w = np.array([2, 0, 1, 1, 1]), np.array([0, 3, 1, 0])

    def k(a, b):
        return (a @ b / 3 + 1) ** 3

    def within(z, weights):
        drawn = np.repeat(np.arange(len(z)), weights)
        return np.mean([k(z[i], z[j]) for i in drawn for j in drawn if i != j])

    across = np.mean([k(x[i], y[j]) for i in np.repeat(range(5), v) for j in np.repeat(range(4), w)])
    expected = within(x, v) + within(y, w) - 2 * across
    v, w = np.stack([v, np.ones(5)]), np.stack([w, np.ones(4)])
    both = kernel._weighted_within(x, np.arange(5), v) + kernel._weighted_within(y, np.arange(4), w)
    both -= 2 * kernel._weighted_sums(x, y, v, w) / (v.sum(axis=1) * w.sum(axis=1))
    np.testing.assert_allclose(both, [expected, kid(x, y)])


def test_kid_estimates_are_seeded_and_the_value_is_the_full_statistic():
    generator = np.random.default_rng(9)
    x, y = generator.normal(size=(60, 5)), generator.normal(size=(40, 5)) + 0.3
    one, same, other = (estimates(x, y, seed=seed, draws=50) for seed in (1, 1, 2))
    assert one == same and one["kid"].low != other["kid"].low
    assert one["kid"].value == pytest.approx(kid(x, y)) and one["kid"].low < one["kid"].value < one["kid"].high
    few = estimates(x[:9], y, seed=1, draws=50)["kid"]
    assert few.low is None and few.value == pytest.approx(kid(x[:9], y))


def test_patients_are_drawn_whole_for_the_interval_of_kid():
    """Sixty patients of one image each, seen five times over, say as much as sixty images, not as three hundred."""
    random = np.random.default_rng(3)
    once, pool = random.normal(size=(60, 4)), random.normal(0.5, size=(200, 4))
    often, patients = np.repeat(once, 5, axis=0) + random.normal(scale=0.01, size=(300, 4)), np.repeat(np.arange(60), 5)

    def width(kid):
        return kid.high - kid.low

    alone = estimates(once, pool, seed=1)["kid"]
    whole = estimates(often, pool, seed=1, groups=patients)["kid"]
    apart = estimates(often, pool, seed=1)["kid"]
    assert abs(whole.value - alone.value) < 0.05 * alone.value < apart.value - alone.value
    assert width(apart) < 0.75 * width(alone) and 0.85 * width(alone) < width(whole) < 1.15 * width(alone)
    assert estimates(often, pool, seed=1, groups=patients // 10)["kid"].low is None, "six patients are too few"


def test_images_of_one_patient_are_no_pairs():
    """Fifty patients of four images that correlate by .8 within a patient, of the pool's own distribution: KID is 0.

    With pairs of one patient the mean was +.076 and no interval held 0. The second set is the one with patients, too.
    """
    generator, d, repetitions = np.random.default_rng(20), 16, 60
    patients, values, hits = np.repeat(np.arange(50), 4), [], 0
    for repetition in range(repetitions):
        shared, own = generator.normal(size=(50, d)), generator.normal(size=(200, d))
        reals, pool = np.sqrt(0.8) * shared[patients] + np.sqrt(0.2) * own, generator.normal(size=(400, d))
        found = estimates(reals, pool, repetition, draws=100, subsets=1, groups=patients)["kid"]
        swapped = estimates(pool, reals, repetition, draws=0, subsets=1, b_groups=patients)["kid"]
        whole = kernel.statistics(reals, patients)
        assert found.value == pytest.approx(swapped.value)
        assert found.value == pytest.approx(kernel.value(whole, kernel.statistics(pool)))
        values.append(found.value)
        hits += found.low <= 0 <= found.high
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(repetitions)
    assert hits >= 0.95 * repetitions - 3
    with pytest.raises(UndefinedError, match="at least 2 patients"):
        kernel.statistics(reals, np.zeros(200, int))


def test_kid_subsets_have_the_size_of_the_smaller_set_at_most(monkeypatch):
    """With subsets as large as both sets all are equal to the full statistic; smaller ones scatter around it."""
    generator = np.random.default_rng(10)
    x, y = generator.normal(size=(50, 4)), generator.normal(size=(50, 4)) + 0.4
    full = estimates(x, y, seed=0, draws=0)["kid_subsets"]
    assert full.value == pytest.approx(kid(x, y)) and full.sd == pytest.approx(0, abs=1e-12)
    monkeypatch.setattr(kernel, "SUBSET_SIZE", 25)
    smaller = estimates(x, y, seed=0, draws=0, subsets=400)["kid_subsets"]
    assert smaller.sd > 0.01 and smaller.value == pytest.approx(kid(x, y), abs=4 * smaller.sd / 20)


@pytest.mark.parametrize(("shift", "least"), [(1.0, 0.9), (0.0, 0.97)])
def test_the_interval_of_kid_covers_the_truth(shift, least):
    """95 % away from 0; conservative at 0, where the statistic is degenerate. The truth is KID's closed form."""
    d, repetitions = 2, 250
    generator = np.random.default_rng(11)
    # E (z / d + 1)^3 for z = x.y with x ~ N(u 1, I), y ~ N(v 1, I): moments of a sum of d products.
    u = generator.normal(size=(400_000, d))
    v = generator.normal(size=(400_000, d))

    def mean_kernel(a, b):
        return np.mean(((a * b).sum(axis=1) / d + 1) ** 3)

    truth = mean_kernel(u, v) + mean_kernel(u + shift, v + shift) - 2 * mean_kernel(u, v + shift)
    truth = truth if shift else 0.0
    hits = 0
    for repetition in range(repetitions):
        a, b = generator.normal(size=(60, d)), generator.normal(size=(80, d)) + shift
        found = estimates(a, b, seed=repetition, draws=200, subsets=1)["kid"]
        hits += found.low <= truth <= found.high
    assert least <= hits / repetitions
    assert shift == 0 or hits / repetitions <= 0.99


@pytest.mark.parametrize("distance", [fid, kid])
def test_what_has_no_distance_is_refused(distance):
    good = np.random.default_rng(7).normal(size=(5, 3))
    with pytest.raises(UndefinedError, match="at least 2 images on either side, found 1"):
        distance(good[:1], good)
    with pytest.raises(UndefinedError, match="found 0"):
        distance(good, good[:0])
    spoilt = good.copy()
    spoilt[2, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        distance(spoilt, good)
    with pytest.raises(ValueError, match="3 and 2 dimensions"):
        distance(good, good[:, :2])
    with pytest.raises(ValueError, match="expected \\(n, d\\)"):
        distance(good[0], good)


@pytest.mark.parametrize(
    ("real", "reference", "synthetic", "expected"),
    [
        (3000, 200, 2000, (200, 2000)),
        (1100, 200, 2000, (100, 1000)),
        (200, 200, 2000, (18, 181)),
        (40, 30, 10, (30, 10)),
    ],
)
def test_baseline_parts_have_the_sizes_of_the_comparison_or_keep_their_ratio(real, reference, synthetic, expected):
    assert part_sizes(np.arange(real), reference, synthetic) == expected


def test_baseline_of_too_few_reals_is_undefined():
    with pytest.raises(
        UndefinedError, match="10 real images in 10 groups .* too few for two parts in the ratio 200:2000"
    ):
        part_sizes(np.arange(10), 200, 2000)
    with pytest.raises(UndefinedError):
        part_sizes(np.arange(0), 0, 0)
    with pytest.raises(UndefinedError, match="40 real images in 1 groups"):
        part_sizes(np.zeros(40, int), 4, 4)


def test_baseline_parts_are_disjoint_seeded_and_new_in_each_draw():
    first, again = (list(draw_parts(np.arange(30), (5, 20), draws=3, seed=9)) for _ in range(2))
    assert len(first) == 3
    for (a, b), (same_a, same_b) in zip(first, again, strict=True):
        assert (len(a), len(b)) == (5, 20) and len({*a, *b}) == 25
        np.testing.assert_array_equal(a, same_a)
        np.testing.assert_array_equal(b, same_b)
    assert set(first[0][0]) != set(first[1][0])


def test_baseline_parts_share_no_patient():
    groups = np.repeat(np.arange(20), [1, 9, *[3] * 18])
    sizes = part_sizes(groups, 20, 60)
    assert sizes == (14, 42), "the largest group may lose 8 of the 64 images"
    for a, b in draw_parts(groups, sizes, draws=50, seed=1):
        assert (len(set(a)), len(set(b))) == sizes
        assert not set(groups[a]) & set(groups[b])


def test_kid_estimates_of_too_few_are_undefined():
    good = np.ones((5, 3))
    with pytest.raises(UndefinedError, match="found 1"):
        estimates(good[:1], good, seed=0)
    with pytest.raises(ValueError, match="3 and 2 dimensions"):
        estimates(good, good[:, :2], seed=0)
