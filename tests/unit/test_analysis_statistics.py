"""Paired comparisons: known answers, coverage, and planted effects."""

import math
from dataclasses import replace

import analysis_planted as planted
import numpy as np
import pytest
from radsynth.analysis.collect import Evaluation
from radsynth.analysis.inference import delong, effect_size, holm, interval, sign_flip, t_interval
from radsynth.analysis.statistics import compare, replicate_rows, roc_auc_rows
from radsynth.common.errors import UserError
from radsynth.common.shares import excess_p_value
from scipy import stats
from sklearn.metrics import roc_auc_score

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


def predictions(own, score):
    """Return one evaluation with these labels (1: positive) and probabilities."""
    test = planted.make_test(len(own), False, np.random.default_rng(0))
    test["label"] = np.array(planted.LABELS)[own]
    table = planted.predictions_table(test, np.stack([1 - np.array(score), score], axis=1), planted.LABELS)
    return Evaluation(COHORT, "baseline", "custom_cnn", 1, "test_1", planted.report(table), table)


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


def test_holm_by_hand():
    """Four tests: .01 x 4, .02 x 3, then .04 x 2 and .05 x 1, none smaller than the one before it."""
    assert holm([0.04, 0.01, np.nan, 0.05, 0.02]).tolist() == pytest.approx(
        [0.08, 0.04, np.nan, 0.08, 0.06], nan_ok=True
    )
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def test_holm_keeps_the_rate_of_any_false_alarm():
    rng = np.random.default_rng(1)
    alarms = [(holm(rng.random(8)) < 0.05).any() for _ in range(4000)]
    assert np.mean(alarms) == pytest.approx(1 - (1 - 0.05 / 8) ** 8, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


def test_effect_size_by_hand():
    """Differences 1, 2, 3: d_z = 2 / 1; J(2) = Gamma(1) / (sqrt(1) Gamma(1/2)) = 1 / sqrt(pi)."""
    assert effect_size(np.array([1.0, 2.0, 3.0])) == (pytest.approx(2 / math.sqrt(math.pi)), "")
    # Hedges' approximation 1 - 3 / (4 df - 1) is within a thousandth at 9 degrees of freedom.
    many = np.arange(10.0)
    assert effect_size(many)[0] == pytest.approx(many.mean() / many.std(ddof=1) * (1 - 3 / 35), rel=1e-3)
    assert effect_size(np.array([0.1, 0.1, 0.1 + 1e-17])) == (
        None,
        "no effect size: all runs differ by the same amount",
    )
    assert effect_size(np.array([1.0, 2.0]))[0] is None


def test_the_effect_size_is_unbiased_in_small_samples():
    rng = np.random.default_rng(2)
    found = [effect_size(differences)[0] for differences in rng.normal(0.8, 1, (8000, 5))]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_delong_by_hand():
    """Positives .9, .5 against negatives .7, .3, .1: placements 1 and 2/3; 1/2, 1, 1."""
    area, error = delong(np.array([True, True, False, False, False]), np.array([0.9, 0.5, 0.7, 0.3, 0.1]))
    assert area == pytest.approx(5 / 6)
    assert error**2 == pytest.approx((1 / 18) / 2 + (1 / 12) / 3)


def test_delong_equals_the_double_sum_over_all_pairs_with_ties():
    """The covariance form of the paper: kernel psi (1, 1/2, 0) of every pair, and its row and column means."""
    rng = np.random.default_rng(6)
    own, score = rng.random(70) < 0.4, np.round(rng.random(70), 1)
    score[own] += 0.2
    psi = np.array([[1.0 if x > y else 0.5 if x == y else 0.0 for y in score[~own]] for x in score[own]])
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    expected = ((v10 - psi.mean()) ** 2).sum() / (len(v10) - 1) / len(v10)
    expected += ((v01 - psi.mean()) ** 2).sum() / (len(v01) - 1) / len(v01)
    area, error = delong(own, score)
    assert (area, error**2) == (pytest.approx(psi.mean()), pytest.approx(expected))


def test_delong_error_is_that_of_the_bootstrap_and_of_repeated_draws():
    rng = np.random.default_rng(7)

    def draw():
        return np.concatenate([rng.normal(1, 1, 80), rng.normal(0, 1, 120)])

    own, score = np.arange(200) < 80, draw()
    error = delong(own, score)[1]
    resamples = [np.concatenate([rng.integers(0, 80, 80), rng.integers(80, 200, 120)]) for _ in range(1000)]
    bootstrap = np.std([roc_auc_score(own[chosen], score[chosen]) for chosen in resamples])
    assert error == pytest.approx(bootstrap, rel=0.1)
    truth, covered = stats.norm.cdf(1 / math.sqrt(2)), []
    for _ in range(1000):
        area, error = delong(own, draw())
        covered.append(abs(area - truth) < 1.96 * error)
    assert np.mean(covered) == pytest.approx(0.945, abs=0.02)


def test_rows_of_single_models():
    row = roc_auc_rows([predictions([1, 1, 0, 0, 0], [0.9, 0.5, 0.7, 0.3, 0.1])])[0]
    error = math.sqrt(1 / 36 + 1 / 36)
    assert (row["roc_auc"], row["standard_error"]) == (pytest.approx(5 / 6), pytest.approx(error))
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(5 / 6 - 1.959964 * error), 1.0)
    separated = roc_auc_rows([predictions([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1])])[0]
    assert separated["roc_auc"] == 1 and "ci_low" not in separated and "variance is 0" in separated["reason"]
    single = roc_auc_rows([predictions([1, 0, 0, 0], [0.9, 0.8, 0.2, 0.1])])[0]
    assert "roc_auc" not in single and "two images" in single["reason"]


def test_holm_is_within_a_metric_of_one_table_and_its_floor_counts_the_comparisons():
    found = evaluations(0.1, runs=6)
    found += [replace(e, classifier="vgg16") for e in found]
    found += [replace(e, testset="external_nih") for e in found if e.classifier == "vgg16"]
    rows = [row for row in compare(found, seed=1, draws=50) if row["metric"] == "accuracy"]
    assert [(r["tested_on"], r["classifier"], r["n_comparisons"]) for r in rows] == [
        ("test", "custom_cnn", 2),
        ("test", "vgg16", 2),
        ("external_nih", "vgg16", 1),
    ]
    assert [r["p_value"] for r in rows] == [2 / 64] * 3, "the difference has the same sign in all six runs"
    assert [(r["p_holm"], r["p_holm_floor"], r["verdict_holm"]) for r in rows] == [
        (4 / 64, 4 / 64, "undecided"),
        (4 / 64, 4 / 64, "undecided"),
        (2 / 64, 2 / 64, "helps"),
    ]


def test_ten_runs_and_eight_comparisons_can_be_significant():
    """The smallest corrected p is 8 x 2 / 2^10; with five runs it would be 8 x 2 / 2^5 = .5."""
    found = evaluations(0.1, runs=10, size=200)
    found += [replace(e, mix="pggan") for e in found if e.mix == "ddpm"]
    found = [replace(e, classifier=name) for e in found for name in ("a", "b", "c", "d")]
    rows = [row for row in compare(found, seed=1, draws=20) if row["metric"] == "accuracy"]
    assert len(rows) == 8
    assert {(row["p_holm"], row["p_holm_floor"], row["verdict_holm"]) for row in rows} == {(1 / 64, 1 / 64, "helps")}


def test_pools_as_test_sets_are_not_compared():
    found = evaluations(0.1)
    rows = compare(found + [replace(e, testset="synthetic_ddpm") for e in found], seed=1, draws=50)
    assert {row["tested_on"] for row in rows} == {"test"}
    assert roc_auc_rows([replace(found[0], testset="synthetic_ddpm")]) == []


def test_replicated_samplings_are_aggregated_by_hand():
    samplings = {
        "random": {"method": "random", "replicate": 1},
        "greedy": {"method": "k_center_greedy", "extractor": "pixels", "replicate": 1},
        "random_2": {"method": "random", "replicate": 2},
        "random_3": {"method": "random", "replicate": 3},
    }
    names = {"dataset": "a", "scenario": "small", "tested_on": "test", "classifier": "c", "mix": "m"}
    values = {"random": 0.01, "random_2": 0.02, "random_3": 0.03, "greedy": 0.5}
    comparisons = [
        names | {"sampling": sampling, "metric": "accuracy", "difference": value} for sampling, value in values.items()
    ]
    (row,) = replicate_rows(comparisons, samplings)
    assert (row["sampling"], row["samplings"], row["n_replicates"]) == ("random", "random; random_2; random_3", 3)
    assert (row["difference"], row["sd"]) == (pytest.approx(0.02), pytest.approx(0.01))
    # t(.975, 2) = 4.302653
    assert (row["ci_low"], row["ci_high"]) == (
        pytest.approx(0.02 - 4.302653 * 0.01 / math.sqrt(3)),
        pytest.approx(0.02 + 4.302653 * 0.01 / math.sqrt(3)),
    )
    assert row["verdict"] == "undecided"
    del comparisons[1]["difference"], comparisons[2]["difference"]
    (row,) = replicate_rows(comparisons, samplings)
    assert row["n_replicates"] == 1 and "ci_low" not in row
    assert row["reason"] == "undefined in random_2, random_3; 1 replicate, an interval needs at least 2"


def test_an_interval_over_replicates_covers_new_cohorts_where_one_over_runs_cannot():
    """The cohort shifts all of its runs by the same amount: only the replicates' interval sees it."""
    rng, by_replicates, by_runs = np.random.default_rng(8), [], []
    for _ in range(400):
        runs = rng.normal(0, 0.02, (4, 1)) + rng.normal(0, 0.005, (4, 5))
        low, high = t_interval(runs.mean(axis=1))
        by_replicates.append(low <= 0 <= high)
        low, high = t_interval(runs[0])
        by_runs.append(low <= 0 <= high)
    assert np.mean(by_replicates) == pytest.approx(0.95, abs=0.045)
    assert np.mean(by_runs) < 0.5
