"""Precision, recall, density and coverage: hand cases, known values, and what one distance pass must not get wrong."""

import numpy as np
import pytest
from radsynth.quality import neighbourhoods
from radsynth.quality.metric import UndefinedError
from radsynth.quality.neighbourhoods import Points, encounter
from radsynth.quality.samples import meet

METRICS = ("precision", "recall", "density", "coverage")


def all_four(reference, candidate, k=None):
    ks = (3, 5) if k is None else (k,)
    meeting = encounter(Points(reference), Points(candidate), ks)
    return [getattr(neighbourhoods, metric)(meeting, *([] if k is None else [k])) for metric in METRICS]


def line(*positions):
    return np.array(positions, dtype=float)[:, None]


def test_by_hand():
    """Reference 0, 1, 3, 6 with radii (k = 1) 1, 1, 2, 3; candidates 0.5, 5, 20 with radii 4.5, 4.5, 15."""
    found = all_four(line(0, 1, 3, 6), line(0.5, 5, 20), k=1)
    # 0.5 lies in the balls of 0 and 1, 5 only in that of 6 (3 reaches to 5, not beyond), 20 in none.
    np.testing.assert_allclose(found, [2 / 3, 1, 3 / 3, 3 / 4])


def test_distances_within_a_set_are_exact_over_blocks(monkeypatch):
    monkeypatch.setattr(neighbourhoods, "BLOCK", 4)
    x = np.random.default_rng(0).normal(size=(11, 3)) + 1e6
    x[7] = x[2]
    pairs = np.sort(np.linalg.norm(x[:, None] - x, axis=2) + np.diag([np.inf] * 11), axis=1)[:, :5]
    within = Points(x).within
    np.testing.assert_allclose(within, pairs, atol=1e-12)
    assert within[2, 0] == within[7, 0] == 0
    assert Points(x[:3]).within.shape == (3, 2) and Points(x[:1]).within.shape == (1, 0)


def test_known_values_of_equal_gaussians():
    """64 dimensions, k = 5, 1,000 images on either side: what package prdc gives, too."""
    generator = np.random.default_rng(1)
    found = all_four(generator.normal(size=(1000, 64)), generator.normal(size=(1000, 64)), k=5)
    np.testing.assert_allclose(found, (0.71, 0.76, 0.97, 0.97), atol=0.06)


def test_collapse_has_precision_and_no_recall():
    generator = np.random.default_rng(2)
    reference = generator.normal(size=(600, 64))
    collapsed = reference.mean(axis=0) + 0.01 * generator.normal(size=(600, 64))
    precision, recall, density, coverage = all_four(reference, collapsed, k=5)
    assert precision == 1 and recall < 0.02 and density > 1 and coverage > 0
    moved = all_four(reference, reference[:300] + 100, k=5)
    assert moved == [0, 0, 0, 0]


def test_a_ball_does_not_hold_its_surface_beyond_rounding():
    """Against itself, each ball holds its own image and k - 1 others: the k-th lies on the surface."""
    x = np.random.default_rng(4).normal(size=(700, 20)) + 1e3
    assert all_four(x, x.copy()) == [1, 1, 1, 1]
    assert all_four(x, x[::-1].copy()) == [1, 1, 1, 1]


def test_what_has_no_ball_is_undefined_by_metric():
    generator = np.random.default_rng(3)
    good, few = generator.normal(size=(20, 4)), generator.normal(size=(4, 4))
    meeting = meet(Points(good), Points(few))
    assert 0 <= neighbourhoods.recall(meeting) <= 1 and 0 <= neighbourhoods.coverage(meeting) <= 1
    with pytest.raises(UndefinedError, match="more than 5 images on either side, found 4"):
        neighbourhoods.density(meet(Points(few), Points(good)))
    with pytest.raises(UndefinedError, match="more than 3 images on either side, found 3"):
        neighbourhoods.recall(meet(Points(good), Points(few[:3])))
    repeated = good.copy()
    repeated[:4] = repeated[0]
    meeting = meet(Points(good), Points(repeated))
    with pytest.raises(UndefinedError, match="3 identical others"):
        neighbourhoods.recall(meeting)
    assert neighbourhoods.precision(meeting) > 0.5
    assert neighbourhoods.density(meet(Points(repeated), Points(good))) >= 0  # four identical images, k = 5
    with pytest.raises(UndefinedError, match="found 0"):
        meet(Points(good), Points(good[:0]))
    with pytest.raises(ValueError, match="4 and 3 dimensions"):
        meet(Points(good), Points(good[:, :3]))
    with pytest.raises(ValueError, match="not finite"):
        Points(np.array([[np.nan]]))
