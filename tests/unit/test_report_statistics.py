"""Comparisons and verdicts: known answers, planted effects, and every word of the verdict."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import report_planted as planted
from radsynth.common.errors import UserError
from radsynth.common.shares import excess_p_value
from radsynth.report import statistics
from radsynth.report.arms import (
    ABOVE,
    AGAINST_BASELINE,
    AGAINST_CONTROL,
    BELOW,
    CORRECTED,
    GENERATORS,
    HELPS,
    HURTS,
    NO_CONTROL,
    NO_MORE_THAN_THRESHOLD,
    NO_MORE_THAN_TRAINING,
    NO_WORSE_THAN_TRAINING,
    OTHER,
    REFERENCES,
    SAMPLINGS,
    UNDECIDED,
    Arms,
)
from radsynth.report.correction import corrected_evaluations
from radsynth.report.evaluations import Evaluation
from radsynth.report.inference import ALPHA, crossed_model, delong, effect_size, holm, mcnemar, student
from radsynth.report.statistics import compare, replicate_rows
from radsynth.report.tidy import headline_metrics
from radsynth.report.utility_rows import mcnemar_rows, roc_auc_rows
from radsynth.report.verdicts import verdict_rows
from radsynth.tasks.classification import Classification, predictions_table
from scipy import special, stats
from sklearn.metrics import roc_auc_score

TASK = Classification(planted.LABELS, planted.LABELS[1])
COHORT = ("phantom", "random", "small")
CONTROL = "matched_ddpm"
MIXES = {
    "baseline": {"real": True, "pools": {}},
    "ddpm": {"real": True, "pools": {"ddpm": 200}},
    "pggan": {"real": True, "pools": {"pggan": 200}},
    "ddpm_only": {"real": False, "pools": {"ddpm": 200}},
}
ARMS = Arms(MIXES, {"small": {"ddpm": CONTROL, "pggan": CONTROL}}, {"small": [["ddpm", "pggan"]]})
TRAIN = [
    dict(zip(("dataset", "sampling", "scenario"), COHORT, strict=True))
    | {"subset": "train", "label": label, "n_images": 9}
    for label in planted.LABELS
]


def evaluations(accuracies, runs=6, size=400, testsets=1, patients=True, seed=0, cohort=COHORT, names="test_{}"):
    """Return planted evaluations of mixes with these accuracies."""
    rng = np.random.default_rng(seed)
    tests = {names.format(k): planted.make_test(size, patients, rng) for k in range(1, testsets + 1)}
    return [
        evaluation(planted.predict(test, accuracy, rng), mix, run, name, cohort=cohort)
        for run in range(1, runs + 1)
        for mix, accuracy in accuracies.items()
        for name, test in tests.items()
    ]


def evaluation(table, mix="baseline", run=1, testset="test_1", trained_on=(1, 1), cohort=COHORT):
    report = planted.report(table) | {"trained_on": dict(zip(planted.LABELS, trained_on, strict=True))}
    return Evaluation(cohort, mix, "custom_cnn", run, testset, report, table)


def predictions(own, score):
    """Return one evaluation with these labels (1: positive) and probabilities."""
    test = planted.make_test(len(own), False, np.random.default_rng(0))
    test["label"] = np.array(planted.LABELS)[own]
    return evaluation(predictions_table(test, np.stack([1 - np.array(score), score], axis=1), planted.LABELS))


def compared(found, arms=ARMS, question=AGAINST_BASELINE, metric="accuracy", seed=1):
    """Return the rows of one question and metric."""
    return [row for row in compare(found, arms, seed) if (row["question"], row["metric"]) == (question, metric)]


def accuracy(found, **options):
    (row,) = compared(found, **options)
    return row


@pytest.mark.parametrize(("effect", "verdict"), [(0.1, ABOVE), (-0.1, BELOW), (0.0, UNDECIDED)])
def test_planted_effects_are_found(effect, verdict):
    row = accuracy(evaluations({"baseline": 0.8, "ddpm": 0.8 + effect}))
    assert row["verdict"] == verdict
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert row["ci_low"] < effect < row["ci_high"]
    assert (row["n_runs"], row["n_groups"], row["n_comparisons"]) == (6, 100, 1)
    assert (row["mix"], row["reference"]) == ("ddpm", "baseline")
    assert (abs(row["difference"]) > row["detectable"]) == (verdict != UNDECIDED)


def test_the_crossed_model_by_hand():
    """Runs .2 .3 .4 .3, patients .2 .3 .4: mean squares .02, .04 and .04 / 6, so the mean .3 has variance .0533 / 12.

    Satterthwaite: .0533^2 / (.02^2 / 3 + .04^2 / 2 + .00667^2 / 6) = 3.0236 degrees of freedom.
    """
    found = crossed_model(np.array([[0.1, 0.2, 0.3], [0.2, 0.4, 0.3], [0.3, 0.3, 0.6], [0.2, 0.3, 0.4]]))
    assert (found.standard_error, found.df) == (pytest.approx(1 / 15), pytest.approx(3.0236, abs=1e-4))
    half = stats.t.ppf(0.975, found.df) / 15
    assert (found.low, found.high) == (pytest.approx(0.3 - half), pytest.approx(0.3 + half))
    assert found.p_value == pytest.approx(2 * stats.t.sf(4.5, found.df))
    few = crossed_model(np.array([[0.1, 0.2, 0.3], [0.2, 0.4, 0.3], [0.3, 0.3, 0.6]]))
    assert few.df == 2, "fewer than 4 runs: one less than there are"


@pytest.mark.parametrize("turn", [np.array, np.transpose])
def test_where_only_one_factor_varies_it_is_the_paired_t_test_over_it(turn):
    means = np.array([0.1, -0.2, 0.3, 0.25, 0.05])
    found = crossed_model(turn(np.tile(means[:, None], 40)))
    expected = stats.ttest_1samp(means, 0)
    assert (found.p_value, found.df) == (pytest.approx(expected.pvalue), pytest.approx(4))
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.95))


def test_the_interval_holds_zero_where_p_is_above_its_level_and_only_there():
    rng = np.random.default_rng(9)
    found = [crossed_model(rng.normal(0.3, 1, (runs, 20))) for runs in (2, 3, 4, 10) for _ in range(200)]
    significant = [estimate.p_value < ALPHA for estimate in found]
    assert significant == [estimate.low > 0 or estimate.high < 0 for estimate in found]
    assert 0.05 < np.mean(significant) < 0.95


def test_without_any_difference_the_interval_is_what_so_few_patients_may_hide():
    """None of eight: if 31.2 % of the patients differed, (1 - .312)^8 = 5 % of such eights would have none."""
    found = crossed_model(np.zeros((5, 8)))
    assert (found.low, found.high, found.p_value) == (
        pytest.approx(-0.31234, abs=1e-5),
        pytest.approx(0.31234, abs=1e-5),
        1,
    )
    assert crossed_model(np.full((5, 8), 0.25)) is None, "no spread at all"
    assert crossed_model(np.tile([-1.0, 1.0], (4, 2)) + 0.9).high == 1, "cut at the possible range"


def test_identical_predictions_decide_nothing():
    found = evaluations({"baseline": 0.8})
    for row in compare(found + [replace(e, mix="ddpm") for e in found], ARMS, 1):
        if row["n_runs"] and "p_value" in row:
            assert (row["difference"], row["p_value"], row["verdict"]) == (0, 1, UNDECIDED)
            assert row["ci_high"] == -row["ci_low"] == pytest.approx(1 - 0.05 ** (1 / 100))


def test_the_same_seed_gives_the_same_rows():
    found = evaluations({"baseline": 0.8, "ddpm": 0.85}, size=100)
    assert compare(found, ARMS, 1) == compare(found, ARMS, 1) == compare(found, ARMS, 2), "few patients: no group drawn"


def test_test_sets_of_a_run_are_averaged_first_and_sd_has_n_minus_1():
    found = evaluations({"baseline": 0.8, "ddpm": 0.85}, runs=3, size=60, testsets=2)
    by_run = [
        np.mean([e.report["metrics"]["accuracy"] for e in found if (e.mix, e.run) == ("ddpm", run)])
        for run in (1, 2, 3)
    ]
    row = accuracy(found)
    assert row["mix_mean"] == pytest.approx(np.mean(by_run))
    assert row["mix_sd"] == pytest.approx(np.std(by_run, ddof=1))
    assert row["n_groups"] == 15, "the test sets have the same patients"


def test_accuracy_is_the_crossed_model_of_the_patients_shares_of_right_answers():
    """Patients with as many images each: the pseudo-values of accuracy are their own differences."""
    found = evaluations({"baseline": 0.8, "ddpm": 0.85}, size=80)
    right = {
        (e.mix, e.run): (e.predictions["label"] == e.predictions["predicted"]).to_numpy().reshape(-1, 4).mean(axis=1)
        for e in found
    }
    expected = crossed_model(np.array([right["ddpm", run] - right["baseline", run] for run in range(1, 7)]))
    row = accuracy(found)
    assert [row[key] for key in ("ci_low", "ci_high", "p_value", "df", "standard_error")] == pytest.approx(
        [expected.low, expected.high, expected.p_value, expected.df, expected.standard_error], rel=1e-6
    )


def test_images_of_one_patient_count_together():
    """The same answers, four images a patient or one: where patients are right as a whole, four images are as one."""
    rng, found = np.random.default_rng(3), []
    test = planted.make_test(400, True, rng)
    for run, (mix, share) in product(range(1, 6), (("baseline", 0.7), ("ddpm", 0.85))):
        right = np.repeat(rng.random(100) < share, 4)
        positive = right == (test["label"] == planted.LABELS[1]).to_numpy()
        scores = np.where(positive, 0.9, 0.1)
        found.append(evaluation(predictions_table(test, np.stack([1 - scores, scores], 1), planted.LABELS), mix, run))
    together = accuracy(found)
    apart = accuracy([replace(e, predictions=e.predictions.assign(patient_id="")) for e in found])
    assert (together["n_groups"], apart["n_groups"]) == (100, 400)
    assert together["difference"] == apart["difference"]
    assert together["standard_error"] > 1.4 * apart["standard_error"]


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_many_patients_in_groups_are_close_to_each_alone(monkeypatch, metric):
    found = evaluations({"baseline": 0.8, "ddpm": 0.85}, runs=4, size=1400, patients=False)
    monkeypatch.setattr(statistics, "UNITS", 2000)
    alone = accuracy(found, metric=metric)
    monkeypatch.setattr(statistics, "UNITS", 200)
    grouped, others = accuracy(found, metric=metric), accuracy(found, metric=metric, seed=2)
    assert grouped["n_groups"] == alone["n_groups"] == 1400
    assert grouped["difference"] == alone["difference"]
    assert grouped["standard_error"] != others["standard_error"], "other groups"
    for row in (grouped, others):
        assert row["standard_error"] == pytest.approx(alone["standard_error"], rel=0.1)
        assert row["ci_low"] == pytest.approx(alone["ci_low"], abs=0.005)


def test_one_run_or_one_patient_gives_no_interval_but_a_reason():
    row = accuracy(evaluations({"baseline": 0.8, "ddpm": 0.9}, runs=1))
    assert row["verdict"] == UNDECIDED and "ci_low" not in row and "1 paired run" in row["reason"]
    found = evaluations({"baseline": 0.8, "ddpm": 0.9})
    row = accuracy([replace(e, predictions=e.predictions.assign(patient_id="one")) for e in found])
    assert row["verdict"] == UNDECIDED and "ci_low" not in row and "1 test patient" in row["reason"]


def test_a_run_that_one_mix_lacks_is_left_out_and_named():
    found = [e for e in evaluations({"baseline": 0.8, "ddpm": 0.9}) if (e.mix, e.run) != ("ddpm", 2)]
    row = accuracy(found)
    assert (row["n_runs"], row["verdict"]) == (5, ABOVE)
    assert row["reason"] == "runs without a defined value on both sides: 2"


def test_without_a_baseline_nothing_is_compared_with_it():
    assert compared([e for e in evaluations({"baseline": 0.8, "ddpm": 0.9}) if e.mix == "ddpm"]) == []


def test_an_undefined_metric_leaves_the_others_alone():
    found = evaluations({"baseline": 0.8, "ddpm": 0.9})
    for e in found:
        e.report["metrics"]["roc_auc"] = None
    rows = {row["metric"]: row for row in compare(found, ARMS, 1)}
    assert set(rows) == set(TASK.compared())
    assert (rows["roc_auc"]["n_runs"], rows["roc_auc"]["verdict"]) == (0, UNDECIDED)
    assert rows["sensitivity_at_95_specificity"]["n_runs"] == 0, "no threshold was set"
    assert rows["accuracy"]["verdict"] == ABOVE


def test_a_metric_that_one_patient_makes_undefined_has_no_interval():
    found = evaluations({"baseline": 0.8, "ddpm": 0.9}, size=40, patients=False)
    for e in found:
        table = e.predictions.assign(label=["PNEUMONIA"] + ["NORMAL"] * 39)
        e.predictions.loc[:, "label"] = table["label"]
        e.report["metrics"] = planted.report(table)["metrics"]
    row = accuracy(found, metric="recall_positive")
    assert row["reason"] == "no interval: a single patient makes the metric undefined"
    assert accuracy(found)["p_value"] <= 1


def test_runs_tested_on_different_images_are_refused():
    found = evaluations({"baseline": 0.8, "ddpm": 0.9}, runs=5)
    found[-1].predictions.loc[0, "image_id"] = "another"
    with pytest.raises(UserError, match="phantom/random/small, test_1: .* run 5 of ddpm"):
        compare(found, ARMS, 1)


def test_what_is_asked():
    arms = {"baseline": 0.7, CONTROL: 0.8, "ddpm": 0.9, "pggan": 0.8, "ddpm_only": 0.6}
    found = evaluations(arms, runs=4, size=200)
    rows = compare(found + corrected_evaluations(found), ARMS, 1)
    asked = [(row["question"], row["mix"], row["reference"]) for row in rows if row["metric"] == "accuracy"]
    assert sorted(asked) == sorted(
        [
            (question, mix, reference)
            for mix in ("ddpm", "pggan")
            for question, reference in zip(REFERENCES, ("baseline", CONTROL, CORRECTED), strict=True)
        ]
        + [(OTHER, mix, "baseline") for mix in ("ddpm_only", CONTROL, CORRECTED)]
        + [(GENERATORS, "ddpm", "pggan")]
    )
    assert {row["metric"] for row in rows if CORRECTED in (row["mix"], row["reference"])} == set(TASK.thresholded())
    (pair,) = (row for row in rows if (row["question"], row["metric"]) == (GENERATORS, "accuracy"))
    assert (pair["verdict"], pair["n_comparisons"]) == (ABOVE, 1)
    assert {row["mix"] for row in verdict_rows(rows, ARMS, TRAIN, TASK)} == {"ddpm", "pggan"}, (
        "real and synthetic images"
    )


def test_holm_is_within_a_metric_and_question_of_one_table():
    found = evaluations({"baseline": 0.8, "ddpm": 0.83})
    found += [replace(e, classifier="vgg16") for e in found]
    found += [replace(e, testset="external_nih") for e in found if e.classifier == "vgg16"]
    rows = compared(found)
    assert [(r["tested_on"], r["classifier"], r["n_comparisons"]) for r in rows] == [
        ("test", "custom_cnn", 2),
        ("test", "vgg16", 2),
        ("external_nih", "vgg16", 1),
    ]
    p_value = rows[0]["p_value"]
    assert p_value < 0.5 and [r["p_value"] for r in rows] == [p_value] * 3
    assert [r["p_holm"] for r in rows] == [2 * p_value, 2 * p_value, p_value]
    assert rows[0]["detectable"] > rows[2]["detectable"]


def test_pools_as_test_sets_are_not_compared():
    found = evaluations({"baseline": 0.8, "ddpm": 0.9})
    rows = compare(found + [replace(e, testset="synthetic_ddpm") for e in found], ARMS, 1)
    assert {row["tested_on"] for row in rows} == {"test"}
    assert roc_auc_rows([replace(found[0], testset="synthetic_ddpm")]) == []


def test_samplings_of_other_methods_are_compared_on_their_common_test_set_alone():
    """Greedy is .1 better on the images that both share and .2 worse on its own: only the first is said."""
    samplings = {
        "random": {"method": "random", "replicate": 1},
        "random_2": {"method": "random", "replicate": 2},
        "greedy": {"method": "k_center_greedy", "extractor": "pixels", "replicate": 1},
    }
    arms, found = replace(ARMS, samplings=samplings), []
    for number, (name, own, common) in enumerate([("random", 0.8, 0.7), ("random_2", 0.8, 0.7), ("greedy", 0.6, 0.8)]):
        cohort = ("phantom", name, "small")
        found += evaluations({"baseline": own, "ddpm": own}, seed=number, cohort=cohort)
        shared = planted.make_test(400, True, np.random.default_rng(10))
        rng = np.random.default_rng(20 + number)
        found += [
            evaluation(planted.predict(shared, common, rng), mix, run, "common", cohort=cohort)
            for run, mix in product(range(1, 7), ("baseline", "ddpm"))
        ]
    rows = compared(found + corrected_evaluations(found), arms, SAMPLINGS)
    assert [(row["sampling"], row["reference"], row["mix"], row["tested_on"]) for row in rows] == [
        ("greedy", reference, mix, "common") for reference in ("random", "random_2") for mix in ("baseline", "ddpm")
    ]
    assert all(row["verdict"] == ABOVE and row["n_comparisons"] == 4 and row["n_groups"] == 100 for row in rows)
    found[-1].predictions.loc[0, "image_id"] = "another"
    with pytest.raises(UserError, match="phantom/greedy/small, common"):
        compare(found, arms, 1)


LOG_7 = math.log(7)


def logits(test, rng, signal, shift=0.0):
    """Return predictions whose log odds of the positive label are right but for ``shift``."""
    sign = np.where(test["label"] == planted.LABELS[1], 1, -1)
    value = 2 * signal * rng.normal(signal * sign, 1) + shift
    return predictions_table(test, np.stack([special.expit(-value), special.expit(value)], 1), planted.LABELS)


def verdicts(plan, arms=ARMS, runs=6, trained_on=(1, 1), seed=0):
    """Return the verdict on ddpm by metric; ``plan`` gives signal and shift of every arm."""
    rng = np.random.default_rng(seed)
    test, found = planted.make_test(800, True, rng), []
    for run, (mix, settings) in product(range(1, runs + 1), plan.items()):
        found.append(evaluation(logits(test, rng, *settings), mix, run, trained_on=trained_on))
    rows = compare(found + corrected_evaluations(found), arms, 1)
    return {row["metric"]: row for row in verdict_rows(rows, arms, TRAIN, TASK)}


LOW, HIGH = (0.6,), (1.0,)


@pytest.mark.parametrize(
    ("baseline", "control", "mix", "word"),
    [
        (LOW, LOW, HIGH, HELPS),
        (HIGH, HIGH, LOW, HURTS),
        (LOW, HIGH, HIGH, NO_MORE_THAN_TRAINING),
        (HIGH, LOW, LOW, NO_WORSE_THAN_TRAINING),
        (HIGH, HIGH, HIGH, UNDECIDED),
        (HIGH, LOW, HIGH, UNDECIDED),
        (LOW, HIGH, LOW, UNDECIDED),
    ],
)
def test_planted_effects_get_their_words(baseline, control, mix, word):
    """A mix between its references, better than one of them alone, is undecided."""
    rows = verdicts({"baseline": baseline, CONTROL: control, "ddpm": mix})
    assert (rows["accuracy"]["verdict"], rows["roc_auc"]["verdict"]) == (word, word)
    assert [metric for metric, row in rows.items() if row["headline"]] == ["roc_auc"]
    assert rows["roc_auc"]["control"] == CONTROL


def test_a_shifted_threshold_is_no_help():
    """Baseline and control know 7 : 1 from training, the test set is 1 : 1; the mix only knows this better."""
    plan = {"baseline": (1.0, -LOG_7), CONTROL: (1.0, -LOG_7), "ddpm": HIGH}
    rows = verdicts(plan, trained_on=(7, 1))
    assert {rows[metric]["verdict"] for metric in TASK.thresholded()} == {NO_MORE_THAN_THRESHOLD}
    assert (rows["roc_auc"]["verdict"], rows["pr_auc"]["verdict"]) == (UNDECIDED, UNDECIDED)
    assert verdicts(plan | {"ddpm": (1.5,)}, trained_on=(7, 1))["accuracy"]["verdict"] == HELPS


@pytest.mark.parametrize(("mix", "word"), [(HIGH, UNDECIDED), ((1.5,), NO_CONTROL), (LOW, HURTS)])
def test_without_a_control_nothing_helps(mix, word):
    rows = verdicts({"baseline": HIGH, "ddpm": mix}, replace(ARMS, controls={}))
    assert (rows["roc_auc"]["verdict"], rows["roc_auc"]["control"]) == (word, "")


def reference_row(question, state, scenario="small", mix="ddpm"):
    """Return a row of comparisons with this difference and p-value."""
    difference, p_value = state
    decided = (ABOVE if difference > 0 else BELOW) if p_value < ALPHA else UNDECIDED
    row = dict(zip(("dataset", "sampling", "scenario", "tested_on"), (*COHORT[:2], scenario, "test"), strict=True))
    row |= {"question": question, "classifier": "c", "mix": mix, "metric": "accuracy", "reason": ""}
    return row | {"difference": difference, "p_value": p_value, "verdict": decided}


UP, DOWN = (0.1, 0.01), (-0.1, 0.01)
STATES = (UP, (0.1, 0.3), (-0.1, 0.3), DOWN)


@pytest.mark.parametrize(("baseline", "control", "corrected"), list(product(STATES, STATES, (*STATES, None))))
def test_no_word_for_anything_but_its_case(baseline, control, corrected):
    """All 80 cases of above, undecided (on either side) and below; without a corrected arm it is not asked for."""
    states = dict(zip(REFERENCES, (baseline, control, corrected), strict=True))
    rows = [reference_row(question, state) for question, state in states.items() if state]
    (row,) = verdict_rows(rows, ARMS, TRAIN, TASK)
    if baseline == UP and control == UP:
        word = HELPS if corrected in (UP, None) else NO_MORE_THAN_THRESHOLD
    elif baseline == UP:
        word = NO_MORE_THAN_TRAINING
    elif baseline == DOWN:
        word = HURTS if control == DOWN else NO_WORSE_THAN_TRAINING
    else:
        word = UNDECIDED
    assert row["verdict"] == word
    assert (row["p_value"] < ALPHA) == (word in (HELPS, HURTS)), "the p-value is the largest of the references'"


def test_a_missing_reference_value_decides_nothing_and_says_why():
    rows = [reference_row(AGAINST_BASELINE, UP), reference_row(AGAINST_CONTROL, UP)]
    del rows[1]["p_value"], rows[1]["difference"]
    rows[1] |= {"reason": "0 paired runs", "verdict": UNDECIDED}
    (row,) = verdict_rows(rows, ARMS, TRAIN, TASK)
    assert (row["verdict"], row["reason"], "p_value" in row) == (NO_MORE_THAN_TRAINING, "0 paired runs", False)


def test_help_is_seldom_said_where_one_reference_is_as_good():
    """Two mixes: ddpm is as good as the baseline and better than its control, pggan the other way round.

    2,000 studies of 5 runs and 60 patients, half of whose outcomes the runs of an arm share: .022 say "helps" of
    either, with a standard error of .003; without Holm's correction .046 would.
    """
    rng, studies, patients = np.random.default_rng(0), 2000, 60
    accuracies = {"baseline": 0.7, "ddpm": 0.7, "matched_ddpm": 0.4, "pggan": 0.95, "matched_pggan": 0.95}
    controls = {"ddpm": "matched_ddpm", "pggan": "matched_pggan"}
    rows, arms = [], Arms(MIXES, {f"small_{study}": controls for study in range(studies)})
    for study in range(studies):
        alike = rng.random(patients) < 0.5
        right = {
            name: np.where(alike, rng.random(patients), rng.random((5, patients))) < share + rng.normal(0, 0.02, (5, 1))
            for name, share in accuracies.items()
        }
        for mix, control in controls.items():
            for question, reference in ((AGAINST_BASELINE, "baseline"), (AGAINST_CONTROL, control)):
                values = right[mix].astype(float) - right[reference]
                state = values.mean(), crossed_model(values).p_value
                rows.append(reference_row(question, state, f"small_{study}", mix))
    found = verdict_rows(rows, arms, TRAIN, TASK)
    helped = pd.DataFrame(found).assign(helps=lambda table: table["verdict"] == HELPS)
    rate = helped.groupby("scenario")["helps"].any().mean()
    assert 0.005 < rate <= 0.05


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


def test_the_headline_metric_moves_with_no_threshold():
    def counts(*numbers, dataset="a"):
        names = dict(zip(("dataset", "sampling", "scenario"), (dataset, "random", "small"), strict=True))
        return [names | {"subset": "train", "label": str(k), "n_images": n} for k, n in enumerate(numbers)]

    tables = {"even": (100, 100), "nearly": (150, 100), "rare": (151, 100), "three": (900, 100, 100)}
    cohorts = [row for name, numbers in tables.items() for row in counts(*numbers, dataset=name)]
    cohorts += [row | {"subset": "test_1", "n_images": 10 * (row["label"] == "0")} for row in cohorts]
    found = headline_metrics(TASK, pd.DataFrame(cohorts))
    assert {dataset: metric for (dataset, *_), metric in found.items()} == {
        "even": "roc_auc",
        "nearly": "roc_auc",
        "rare": "pr_auc",
        "three": "roc_auc",
    }


def test_a_known_shift_of_the_class_frequencies_is_undone_exactly():
    """Outputs that are right for a test set of 1 : 3, shifted to a training set of 7 : 1."""
    test = planted.make_test(400, True, np.random.default_rng(0))
    test["label"] = np.array(planted.LABELS)[(np.arange(400) % 4 > 0).astype(int)]
    right = logits(test, np.random.default_rng(1), 0.8)
    shifted = logits(test, np.random.default_rng(1), 0.8, -math.log(7) - math.log(3))
    (found,) = corrected_evaluations([evaluation(shifted, trained_on=(700, 100)), evaluation(shifted, "ddpm")])
    assert (found.mix, found.run, found.testset, found.cohort) == (CORRECTED, 1, "test_1", COHORT)
    columns = [f"p_{label}" for label in planted.LABELS]
    assert np.allclose(found.predictions[columns], right[columns], atol=1e-12)
    wanted = planted.report(right)
    for metric in ("accuracy", "roc_auc", "f1_positive", "brier", "calibration_slope"):
        assert found.report["metrics"][metric] == pytest.approx(wanted["metrics"][metric]), metric
    assert wanted["metrics"]["accuracy"] > planted.report(shifted)["metrics"]["accuracy"] + 0.1
    assert found.report["trained_on"] == {"NORMAL": 700, "PNEUMONIA": 100}


def test_nothing_is_corrected_for_a_test_set_that_lacks_a_label_or_is_synthetic():
    one_label = predictions([1, 1, 1], [0.9, 0.8, 0.2])
    assert corrected_evaluations([one_label]) == []
    assert corrected_evaluations([replace(predictions([1, 0], [0.9, 0.2]), testset="synthetic_ddpm")]) == []


def test_mcnemar_by_hand():
    """Five images right with one model only, one with the other only: (1 + 6) / 2^6 on either side."""
    ours = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    theirs = np.array([0, 0, 0, 0, 0, 1, 1, 0], bool)
    assert mcnemar(ours, theirs) == (5, 1, pytest.approx(2 * 7 / 64))
    assert mcnemar(theirs, ours) == (1, 5, pytest.approx(2 * 7 / 64))
    assert mcnemar(ours, ours) == (0, 0, 1.0)


@pytest.mark.parametrize(("ours", "theirs"), [(0, 9), (3, 14), (10, 10), (40, 60)])
def test_mcnemar_equals_the_sum_of_the_binomial_tail(ours, theirs):
    n, fewer = ours + theirs, min(ours, theirs)
    expected = min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n)
    pattern = np.arange(n + 5) < ours, (np.arange(n + 5) >= ours) & (np.arange(n + 5) < n)
    assert mcnemar(*pattern) == (ours, theirs, pytest.approx(expected))


def test_mcnemar_for_every_run_of_every_pair():
    found = evaluations({"baseline": 0.7, "ddpm": 0.85, "pggan": 0.8}, runs=2, size=60)
    rows = mcnemar_rows(found + corrected_evaluations(found), ARMS)
    pairs = [("ddpm", "baseline"), ("ddpm", CORRECTED), ("pggan", "baseline"), ("pggan", CORRECTED)]
    pairs += [(CORRECTED, "baseline"), ("ddpm", "pggan")]
    assert sorted((row["mix"], row["reference"], row["run"]) for row in rows) == sorted(
        (*pair, run) for pair in pairs for run in (1, 2)
    )
    right = {(e.mix, e.run): (e.predictions["label"] == e.predictions["predicted"]).to_numpy() for e in found}
    row = next(row for row in rows if (row["mix"], row["reference"], row["run"]) == ("ddpm", "pggan", 2))
    expected = mcnemar(right["ddpm", 2], right["pggan", 2])
    assert (row["only_mix_right"], row["only_reference_right"], row["p_value"]) == expected
    assert (row["n_images"], row["n_groups"], row["question"]) == (60, 15, GENERATORS)


SAMPLED = replace(
    ARMS,
    samplings={
        "random": {"method": "random", "replicate": 1},
        "greedy": {"method": "k_center_greedy", "extractor": "pixels", "replicate": 1},
        "random_2": {"method": "random", "replicate": 2},
        "random_3": {"method": "random", "replicate": 3},
    },
)


def sampled(values, mix="m"):
    names = {"dataset": "a", "scenario": "small", "tested_on": "test", "question": "baseline", "classifier": "c"}
    names |= {"mix": mix, "reference": "baseline", "metric": "accuracy"}
    return [names | {"sampling": sampling, "difference": value} for sampling, value in values.items()]


def test_replicated_samplings_are_aggregated_by_hand():
    comparisons = sampled({"random": 0.01, "greedy": 0.5, "random_2": 0.02, "random_3": 0.03})
    comparisons.append(comparisons[0] | {"question": SAMPLINGS, "reference": "greedy"})
    (row,) = replicate_rows(comparisons, SAMPLED, TASK)
    assert (row["sampling"], row["samplings"], row["n_replicates"]) == ("random", "random; random_2; random_3", 3)
    assert (row["difference"], row["sd"]) == (pytest.approx(0.02), pytest.approx(0.01))
    # t(.975, 2) = 4.302653; t = .02 / (.01 / sqrt(3)) = 2 sqrt(3)
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(0.02 - half), pytest.approx(0.02 + half))
    assert row["p_value"] == row["p_holm"] == pytest.approx(2 * stats.t.sf(2 * math.sqrt(3), 2))
    assert row["verdict"] == UNDECIDED
    del comparisons[2]["difference"], comparisons[3]["difference"]
    (row,) = replicate_rows(comparisons, SAMPLED, TASK)
    assert row["n_replicates"] == 1 and "ci_low" not in row and "p_value" not in row
    assert row["reason"] == "undefined in random_2, random_3; 1 replicate, an interval needs at least 2"


def test_replicates_are_corrected_for_the_number_of_mixes():
    comparisons = sampled({"random": 0.1, "random_2": 0.11, "random_3": 0.105})
    comparisons += sampled({"random": 0.01, "random_2": -0.02, "random_3": 0.03}, "other")
    first, second = replicate_rows(comparisons, SAMPLED, TASK)
    assert (first["n_comparisons"], first["p_holm"], first["verdict"]) == (2, 2 * first["p_value"], ABOVE)
    assert (second["p_holm"], second["verdict"]) == (second["p_value"], UNDECIDED)


def test_an_interval_over_replicates_covers_new_cohorts_where_one_over_runs_cannot():
    """The cohort shifts all of its runs by the same amount: only the replicates' interval sees it."""
    rng, by_replicates, by_runs = np.random.default_rng(8), [], []
    for _ in range(400):
        runs = rng.normal(0, 0.02, (4, 1)) + rng.normal(0, 0.005, (4, 5))
        for values, covered in ((runs.mean(axis=1), by_replicates), (runs[0], by_runs)):
            found = student(values)
            covered.append(found.low <= 0 <= found.high)
    assert np.mean(by_replicates) == pytest.approx(0.95, abs=0.045)
    assert np.mean(by_runs) < 0.5
