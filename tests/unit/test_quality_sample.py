"""What concerns real images alone is computed once: for all pools, and for all random parts of the originals."""

import numpy as np
import pytest
from radsynth.common.errors import UserError
from radsynth.quality import catalogue, frechet, kernel, neighbourhoods, samples
from radsynth.quality.metric import OfSets, UndefinedError, measured
from radsynth.quality.samples import Neighbourhoods, PartsMeeting, Sample, meet, meetings_of_parts


def between(meeting):
    return measured(catalogue.of_kind(OfSets), lambda: meeting)


def manifold(whole, a, b):
    metrics = [metric for metric in catalogue.of_kind(OfSets) if metric.family == "manifold"]
    return measured(metrics, lambda: PartsMeeting(whole, a, b, dict))


@pytest.fixture
def real():
    generator = np.random.default_rng(0)
    return generator.normal(size=(90, 6)), np.repeat(np.arange(45), 2)


@pytest.fixture
def pairs():
    """Pairs of parts of 90 images: large, small and lopsided ones."""
    generator = np.random.default_rng(1)
    orders = [generator.permutation(90) for _ in range(6)]
    cuts = [(45, 90), (60, 85), (10, 20), (6, 90), (80, 90), (8, 16)]
    return [(order[:a], order[a:b]) for order, (a, b) in zip(orders, cuts, strict=True)]


def test_what_was_kept_gives_the_same_numbers_without_being_computed_again(real, monkeypatch):
    features, patients = real
    pool = np.random.default_rng(2).normal(0.3, size=(70, 6))
    fresh = Sample(features, 5, patients)
    kept = fresh.kept(len(pool))
    expected = between(meet(fresh, Sample(pool, 6)))
    other = Sample(pool, 6)
    other.kept(len(features))
    for module, name in ((frechet, "statistics"), (kernel, "_weighted_within")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("computed again"))
    again = Sample(features, 5, patients).restore(kept)
    assert between(meet(again, other)) == expected
    assert {"fid", "kid", "recall"} <= expected.keys() and expected["kid"]["low"] < expected["kid"]["high"]


def test_what_was_kept_of_other_images_or_draws_is_refused(real):
    features, patients = real
    kept = Sample(features, 5, patients).kept(70)
    for other in (Sample(features[::-1] + 1e-9, 5, patients), Sample(features, 6, patients)):
        with pytest.raises(UserError, match="measure the controls again"):
            other.restore(kept)


def test_nothing_is_kept_of_a_single_image_or_none():
    for n in (0, 1):
        lonely = Sample(np.zeros((n, 3)), 0)
        assert lonely.kept(10) == {}
        assert len(lonely.restore({})) == n
    one_patient = Sample(np.random.default_rng(0).normal(size=(8, 3)), 0, np.zeros(8, int))
    assert set(one_patient.kept(10)) == {"seed", "within", "mean", "root"}
    with pytest.raises(UndefinedError, match="at least 2 patients"):
        _ = one_patient.restore(one_patient.kept(10)).resampled


@pytest.mark.parametrize("listed", [256, 12])
def test_manifolds_of_parts_are_those_of_the_parts_by_themselves(real, pairs, listed, monkeypatch):
    """Also where the lists of neighbours are too short for a rare part, and over blocks."""
    monkeypatch.setattr(samples, "LISTED", listed)
    monkeypatch.setattr(samples, "ROWS", 7)
    monkeypatch.setattr(neighbourhoods, "BLOCK", 4)
    features = real[0]
    features[:3] = features[40:43]  # some identical ones
    together = Neighbourhoods(features)
    for a, b in pairs:
        meeting = meet(*(Sample(features[part], seed) for seed, part in enumerate((a, b))))
        apart, found = between(meeting), manifold(together, a, b)
        assert found == {metric: apart[metric] for metric in found}


def test_identical_images_and_small_parts_have_no_balls():
    features = np.random.default_rng(3).normal(size=(30, 2))
    features[:6] = features[0]
    found = manifold(Neighbourhoods(features), np.arange(15), np.arange(15, 19))
    assert "3 identical others" in found["precision"]["reason"] and "5 identical others" in found["density"]["reason"]
    assert found["recall"].keys() == {"value", "low", "high", "sd"}
    assert (
        "more than 3 images on either side, found 3"
        in (manifold(Neighbourhoods(features), np.arange(15), np.arange(15, 18))["recall"]["reason"])
    )


def test_kernel_distances_of_parts_are_those_of_the_parts_by_themselves(real, pairs, monkeypatch):
    monkeypatch.setattr(kernel, "BLOCK", 32)
    features, patients = real
    found = kernel.of_parts(features, patients, pairs, seed=0, subsets=200)
    for (a, b), estimates in zip(pairs, found, strict=True):
        samples = [kernel.statistics(features[part], patients[part]) for part in (a, b)]
        assert estimates()["kid"].value == pytest.approx(kernel.value(*samples))
        apart = kernel.estimates(
            *(
                kernel.Resampled(features[part], seed, np.unique(patients[part], return_inverse=True)[1], 0, 200)
                for seed, part in enumerate((a, b))
            )
        )["kid_subsets"]
        together = estimates()["kid_subsets"]
        assert together.value == pytest.approx(apart.value, abs=4 * apart.sd * np.sqrt(2 / 200) + 1e-9)
        assert together.sd == pytest.approx(apart.sd, rel=0.4, abs=1e-9)
    (of_one_patient,) = kernel.of_parts(features, patients, [(np.array([0, 1]), np.arange(40, 60))], seed=0)
    with pytest.raises(UndefinedError, match="at least 2 patients on either side, found 1"):
        of_one_patient()
    assert list(meetings_of_parts(features, patients, [], seed=0)) == []
