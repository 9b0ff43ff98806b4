"""How well an attack does: by hand, at chance, with planted effects, and what few patients could have shown."""

import json

import numpy as np
import pytest
from radsynth.privacy import measure
from radsynth.privacy.attack import Attack
from radsynth.quality.metric import UndefinedError
from sklearn.metrics import roc_auc_score


def names(start, n, each=1):
    return np.repeat([f"p{index}" for index in range(start, start + n)], each)


def draw(seed, n=40, m=40, each=1, alike=0.8, effect=0.0):
    """Return scores of n and m patients with images that resemble each other, members' shifted, and their patients."""
    random = np.random.default_rng(seed)

    def scores(patients):
        own = random.normal(size=(patients, each))
        return (np.sqrt(alike) * random.normal(size=(patients, 1)) + np.sqrt(1 - alike) * own).ravel()

    return scores(n) + effect, scores(m), names(0, n, each), names(n, m, each)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(measure, "DRAWS", 400)
    monkeypatch.setattr(measure, "PERMUTATIONS", 100)


def test_auc_by_hand_and_as_of_scikit_learn():
    assert measure.auc(np.array([3.0, 1.0]), np.array([2.0, 0.0])) == 0.75
    assert measure.auc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    random = np.random.default_rng(0)
    a, b = np.round(random.normal(0.3, 1, 70), 1), np.round(random.normal(size=50), 1)
    assert measure.auc(a, b) == pytest.approx(roc_auc_score(np.r_[np.ones(70), np.zeros(50)], np.r_[a, b]))


def test_true_positives_at_the_fewest_false_alarms_that_five_non_members_support():
    non_members = np.arange(100.0)
    members = np.array([200.0, 95.0, 94.9, 3.0])
    assert measure.at_low_false_alarms(members, non_members) == (0.5, 0.05)
    assert measure.at_low_false_alarms(members, np.minimum(non_members, 90)) == (0.75, 0.1), "ties count, too"
    assert measure.at_low_false_alarms(members, non_members[:4]) == (None, None)


@pytest.mark.parametrize(("n", "m", "each"), [(40, 40, 1), (12, 30, 1), (30, 30, 4)])
def test_at_chance_the_interval_excludes_it_in_one_of_twenty(quick, n, m, each):
    """Also with few patients, and with several images of each."""
    found = [measure.success(*draw(seed, n, m, each), seed) for seed in range(200)]
    assert 0.02 <= np.mean([one.shown for one in found]) <= 0.08
    assert 0.02 <= np.mean([one.p_value < 0.05 for one in found]) <= 0.09
    assert abs(np.mean([one.auc for one in found]) - 0.5) < 0.02


def test_images_of_one_patient_are_not_independent(quick):
    """Taken for patients of their own they would accuse far too often where there is no effect."""
    apart = []
    for seed in range(60):
        members, non_members, *_ = draw(seed, 20, 20, each=6)
        apart.append(measure.success(members, non_members, names(0, 120), names(120, 120), seed).shown)
    assert np.mean(apart) > 0.2


def test_planted_effects_are_found(quick):
    found = [measure.success(*draw(seed, each=2, effect=1.2), seed) for seed in range(40)]
    assert np.mean([one.shown for one in found]) > 0.95 and all(one.p_value < 0.05 for one in found if one.shown)
    # Two normal distributions whose means lie d SDs apart have an AUC of Phi(d / sqrt 2).
    assert np.mean([one.low <= 0.802 <= one.high for one in found]) > 0.85
    members, non_members, *patients = draw(0, 100, 100)
    members[:20] += 9
    few = measure.success(members, non_members, *patients, seed=0)
    assert few.tpr >= 0.2 and few.fpr == 0.05


def test_the_least_auc_is_where_intervals_begin_to_exclude_chance(quick):
    least = measure.least_auc(40, 40)
    assert least == pytest.approx(0.5 + 1.959964 * np.sqrt(81 / 12 / 1600))
    found = [measure.success(*draw(seed, effect=0.45), seed) for seed in range(100)]
    assert np.mean([one.shown for one in found if one.auc < least - 0.02]) < 0.05
    assert np.mean([one.shown for one in found if one.auc > least + 0.02]) > 0.95
    assert {one.least_auc for one in found} == {least}
    assert measure.least_auc(2, 2) is None, "not even perfect scores of two patients each"


def test_the_same_seed_gives_the_same_and_all_of_it_can_be_written(quick):
    one, same, other = (measure.success(*draw(3), seed) for seed in (1, 1, 2))
    assert one == same and one.low != other.low and one.auc == other.auc
    assert json.loads(json.dumps(one.described(), allow_nan=False))["chance"] == 0.5


def test_few_patients_have_no_interval_and_constant_scores_show_nothing(quick):
    few = measure.success(*draw(0, 9, 50, effect=5), seed=0)
    assert few.low is few.high is None and not few.shown and few.p_value < 0.05
    flat = measure.success(np.ones(20), np.ones(20), names(0, 20), names(20, 20), seed=0)
    assert (flat.auc, flat.low, flat.high, flat.p_value, flat.shown) == (0.5, 0.5, 0.5, 1.0, False)


def test_scores_that_are_none_are_refused(quick):
    members, non_members, ours, theirs = draw(0, 12, 12)
    with pytest.raises(ValueError, match="1 patients are both members and non-members"):
        measure.success(members, non_members, ours, np.r_[theirs[:-1], ours[:1]], seed=0)
    with pytest.raises(ValueError, match=r"shape \(12,\) for 11 images"):
        measure.success(members, non_members, ours[:-1], theirs, seed=0)
    with pytest.raises(ValueError, match="a finite one each"):
        measure.success(np.where(members > 0, np.nan, members), non_members, ours, theirs, seed=0)
    with pytest.raises(UndefinedError, match="found 0"):
        measure.success(members[:0], non_members, ours[:0], theirs, seed=0)


def test_an_attack_is_a_class_that_scores():
    class Nearness(Attack):
        """Members lie nearer to the pool."""

        access = "features"

        def score(self, target, members, non_members, seed):
            return tuple(-np.linalg.norm(side[:, None] - target, axis=2).min(axis=1) for side in (members, non_members))

    random = np.random.default_rng(0)
    members, non_members = random.normal(size=(2, 50, 6))
    pool = members[::2] + 0.1 * random.normal(size=(25, 6))
    scores = Nearness().score(pool, members, non_members, 0)
    assert measure.success(*scores, names(0, 50), names(50, 50), seed=0).shown
    with pytest.raises(TypeError, match="abstract"):
        Attack()
