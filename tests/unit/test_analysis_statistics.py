"""Paired comparisons: known answers, coverage, and planted effects."""

import math
from dataclasses import replace

import analysis_planted as planted
import numpy as np
import pytest
from radsynth.analysis.collect import Evaluation
from radsynth.analysis.statistics import compare, excess_p_value, interval, resampled_metrics, sign_flip
from radsynth.common.errors import UserError
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

COHORT = ("phantom", "random", "small")


def evaluations(effect, runs=5, size=400, testsets=1, patients=True, seed=0):
    """Return planted evaluations in which the mix ``ddpm`` changes the accuracy of the baseline, .8, by ``effect``."""
    rng = np.random.default_rng(seed)
    tests = {f"test_{k}": planted.make_test(size, patients, rng) for k in range(1, testsets + 1)}
    found = []
    for run in range(1, runs + 1):
        for mix, accuracy in (("baseline", 0.8), ("ddpm", 0.8 + effect)):
            for name, test in tests.items():
                table = planted.predict(test, accuracy, rng)
                found.append(Evaluation(COHORT, mix, "custom_cnn", run, name, planted.report(table), table))
    return found


def accuracy(found, **options):
    rows = compare(found, seed=1, **options)
    return next(row for row in rows if row["metric"] == "accuracy")


@pytest.mark.parametrize(
    ("differences", "p_value", "floor"),
    [
        ([0.1, 0.2, 0.3], 2 / 8, 2 / 8),
        ([1, 2, -3], 1, 2 / 8),
        ([3, 1, -1], 6 / 8, 2 / 8),
        ([1, 1, 1, 1, 1], 2 / 32, 2 / 32),
        ([0, 0], 1, 2 / 4),
    ],
)
def test_sign_flip_equals_enumeration_by_hand(differences, p_value, floor):
    assert sign_flip(np.array(differences, float)) == pytest.approx((p_value, floor))


def test_resampled_metrics_equal_weighted_metrics_of_scikit_learn():
    rng = np.random.default_rng(3)
    true, groups = rng.integers(0, 2, 300), rng.integers(0, 40, 300)
    score = np.round(np.clip(rng.normal(0.35 + 0.3 * true, 0.25), 0, 1), 2)  # rounded, so that there are ties
    predicted = (score > 0.5).astype(int)
    counts = np.vstack([np.ones(40), rng.multinomial(40, np.full(40, 1 / 40), size=50)])
    found = resampled_metrics(true, predicted, np.stack([1 - score, score], 1), 1, groups, counts)
    for draw, weights in enumerate(counts[:, groups]):
        expected = {
            "accuracy": accuracy_score(true, predicted, sample_weight=weights),
            "f1_weighted": f1_score(true, predicted, average="weighted", sample_weight=weights),
            "f1_positive": f1_score(true, predicted, sample_weight=weights),
            "recall_positive": recall_score(true, predicted, sample_weight=weights),
        }
        assert {name: found[name][draw] for name in expected} == pytest.approx(expected)
    exact = np.array([roc_auc_score(true, score, sample_weight=weights) for weights in counts[:, groups]])
    assert found["roc_auc"][0] == pytest.approx(exact[0])
    assert np.corrcoef(found["roc_auc"], exact)[0, 1] > 0.99
    assert found["roc_auc"].std() == pytest.approx(exact.std(), rel=0.1)


def test_more_than_two_labels_and_an_absent_label():
    true, scores = np.array([0, 1, 2, 0, 1, 2]), np.eye(3)[[0, 1, 2, 0, 2, 1]]
    found = resampled_metrics(true, scores.argmax(1), scores, 2, np.arange(6), np.ones((1, 6)))
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["roc_auc"] == pytest.approx(np.mean([roc_auc_score(true == k, scores[:, k]) for k in range(3)]))
    negative = np.zeros(3, int)
    only_negative = resampled_metrics(negative, negative, np.eye(2)[negative], 1, np.arange(3), np.ones((1, 3)))
    assert only_negative["accuracy"] == 1
    assert only_negative["f1_weighted"] == 1
    assert all(math.isnan(only_negative[name][0]) for name in ("f1_positive", "recall_positive", "roc_auc"))


@pytest.mark.parametrize(("run_sd", "patient_sd", "noise_sd"), [(0.03, 0, 0.05), (0, 0.3, 0.05), (0.015, 0.15, 0.3)])
@pytest.mark.parametrize("n_runs", [3, 5])
def test_the_interval_covers_the_truth_as_often_as_it_says(n_runs, run_sd, patient_sd, noise_sd):
    rng, n_patients, draws, covered = np.random.default_rng(5), 100, 300, []
    for _ in range(250):
        values = rng.normal(0, run_sd, (n_runs, 1)) + rng.normal(0, patient_sd, n_patients)
        values = values + rng.normal(0, noise_sd, (n_runs, n_patients))
        counts = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=draws) / n_patients
        low, high = interval(values.mean(axis=1), values @ counts.T, rng)
        covered.append(low <= 0 <= high)
    assert 0.90 <= np.mean(covered) <= 1.0


@pytest.mark.parametrize(("effect", "verdict"), [(0.1, "helps"), (-0.1, "hurts"), (0.0, "undecided")])
def test_planted_effects_get_their_verdicts(effect, verdict):
    row = accuracy(evaluations(effect))
    assert row["verdict"] == verdict
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert row["ci_low"] < effect < row["ci_high"]
    assert (row["n_runs"], row["n_groups"], row["p_floor"]) == (5, 100, 2 / 32)


def test_identical_predictions_decide_nothing():
    found = [e for e in evaluations(0) if e.mix == "baseline"]
    found += [replace(e, mix="ddpm") for e in found]
    for row in compare(found, seed=1):
        assert (row["difference"], row["ci_low"], row["ci_high"], row["p_value"]) == (0, 0, 0, 1)
        assert row["verdict"] == "undecided"


def test_the_same_seed_gives_the_same_rows_and_another_one_other_intervals():
    found = evaluations(0.05, size=100)
    assert compare(found, seed=1) == compare(found, seed=1)
    assert accuracy(found)["ci_low"] != next(r for r in compare(found, seed=2) if r["metric"] == "accuracy")["ci_low"]


def test_test_sets_of_a_run_are_averaged_first_and_sd_has_n_minus_1():
    found = evaluations(0.05, runs=3, size=60, testsets=2)
    by_run = [
        np.mean([e.report["metrics"]["accuracy"] for e in found if (e.mix, e.run) == ("ddpm", run)])
        for run in (1, 2, 3)
    ]
    row = accuracy(found)
    assert row["mix_mean"] == pytest.approx(np.mean(by_run))
    assert row["mix_sd"] == pytest.approx(np.std(by_run, ddof=1))


def test_images_of_one_patient_are_resampled_together():
    many = accuracy(evaluations(0.02, patients=False))
    assert many["n_groups"] == 400
    clustered = evaluations(0.02, runs=2)
    for e in clustered:
        e.predictions["patient_id"] = ["a", "b"] * 200
    assert accuracy(clustered)["n_groups"] == 2


def test_one_run_gives_no_interval_but_a_reason():
    row = accuracy(evaluations(0.1, runs=1))
    assert row["verdict"] == "undecided"
    assert "ci_low" not in row and "1 paired run" in row["reason"]


def test_a_run_that_one_mix_lacks_is_left_out_and_named():
    found = [e for e in evaluations(0.1) if (e.mix, e.run) != ("ddpm", 2)]
    row = accuracy(found)
    assert row["n_runs"] == 4
    assert "2" in row["reason"].split(": ")[1]


def test_without_a_baseline_nothing_is_decided():
    row = accuracy([e for e in evaluations(0.1) if e.mix == "ddpm"])
    assert (row["n_runs"], row["verdict"]) == (0, "undecided")


def test_an_undefined_metric_leaves_the_others_alone():
    found = evaluations(0.1)
    for e in found:
        e.report["metrics"]["roc_auc"] = None
    rows = {row["metric"]: row for row in compare(found, seed=1)}
    assert rows["roc_auc"]["n_runs"] == 0
    assert rows["accuracy"]["verdict"] == "helps"


def test_runs_tested_on_different_images_are_refused():
    found = evaluations(0.1)
    found[-1].predictions.loc[0, "image_id"] = "another"
    with pytest.raises(UserError, match="phantom/random/small, test_1: .* run 5 of ddpm"):
        compare(found, seed=1)


def test_without_noise_from_patients_the_interval_is_that_of_the_paired_t_test():
    differences = np.linspace(-1, 3, 8)
    low, high = interval(differences, np.zeros((8, 100_000)), np.random.default_rng(0))
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (low + high) / 2 == pytest.approx(1, abs=0.01)
    assert high - low == pytest.approx(expected.high - expected.low, rel=0.035)


def test_excess_over_the_control_by_hand():
    """Two of two against none of two: one of the six ways to choose two of four images."""
    assert excess_p_value(1.0, 2, 0.0, 2) == pytest.approx(1 / 6)
    assert excess_p_value(0.0, 2, 1.0, 2) == 1
