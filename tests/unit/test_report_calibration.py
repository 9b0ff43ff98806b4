"""Does the crossed model of runs and patients err as often as it says? Simulated outcomes of known truth.

Every rate is that of the first seed, of 2,000 repetitions unless told otherwise: its standard error is .005 at a rate
of .05. A rate may be above its limit by nothing.
"""

from itertools import product

import numpy as np
import pytest
from radsynth.report.inference import ALPHA, FEW_RUNS, crossed_model, detectable
from radsynth.report.statistics import paired_figures
from radsynth.tasks.classification import Classification
from radsynth.tasks.resampling import resampled_metrics
from scipy import special

RUNS, SHARED, PATIENTS, RUN_SDS = (2, 3, 5, 10), (0, 0.5, 0.9), (8, 50, 600), (0, 0.03, 0.06)
REPETITIONS = 2000
AT_MOST = 0.07
ACCURACY = 0.8


def differences(repetitions, runs, patients, shared, run_sd, effect=0.0):
    """Return simulated differences of right answers between a mix and its reference (repetitions, runs, patients).

    Either arm is right in 80 % of the patients, the mix in ``effect`` more. For a share ``shared`` of the patients all
    runs of an arm give the same answer; the accuracy of every run of every arm is shifted by SD ``run_sd``.
    """
    rng = np.random.default_rng([0, runs, patients, *(round(100 * number) for number in (shared, run_sd, effect))])
    sides = []
    for accuracy in (ACCURACY + effect, ACCURACY):
        alike = rng.random((repetitions, 1, patients), np.float32) < shared
        luck = np.where(
            alike,
            rng.random((repetitions, 1, patients), np.float32),
            rng.random((repetitions, runs, patients), np.float32),
        )
        sides.append(luck < accuracy + rng.normal(0, run_sd, (repetitions, runs, 1)))
    return sides[0].astype(np.float32) - sides[1]


def estimates(*cell, repetitions=REPETITIONS, **options):
    return [crossed_model(values) for values in differences(repetitions, *cell, **options)]


def rejections(*cell, **options):
    """Return the share of repetitions that are significant at 5 %; where nothing can be said, nothing is."""
    return np.mean([found is not None and found.p_value < ALPHA for found in estimates(*cell, **options)])


@pytest.mark.parametrize("runs", RUNS)
def test_at_most_seven_of_a_hundred_true_nulls_are_rejected(runs):
    """The largest of the 108 rates is .0635 (5 runs, 600 patients, 90 % shared, SD .06)."""
    rates = {cell: rejections(runs, *cell) for cell in product(PATIENTS, SHARED, RUN_SDS)}
    assert max(rates.values()) <= AT_MOST, max(rates, key=rates.get)
    if runs < FEW_RUNS:
        assert max(rates.values()) <= 0.04, "fewer than 4 runs pay for the level with nearly all of their power"


@pytest.mark.slow
@pytest.mark.parametrize(("shared", "run_sd"), list(product((0.5, 0.9), (0.03, 0.06))))
def test_four_runs_are_the_worst_case(shared, run_sd):
    """20,000 repetitions, standard error .0017; the largest rate is .065."""
    assert rejections(FEW_RUNS, 600, shared, run_sd, repetitions=20_000) <= AT_MOST


@pytest.mark.parametrize("runs", [4, 5, 10])
@pytest.mark.parametrize(("effect", "at_least"), [(0.0, 0.96), (0.1, 0.92)])
def test_intervals_of_eight_patients_cover_the_truth(runs, effect, at_least):
    """An effect of .1 is covered in .925 at worst (10 runs, 90 % shared), where often one patient or none differs."""
    for shared, run_sd in product(SHARED, RUN_SDS):
        found = estimates(runs, 8, shared, run_sd, effect=effect)
        covered = np.mean([estimate.low <= effect <= estimate.high for estimate in found])
        assert covered >= at_least, (shared, run_sd)
        assert all(-1 <= estimate.low <= estimate.high <= 1 for estimate in found)


def test_a_sign_flip_over_runs_takes_shared_patients_for_proof():
    """600 images, 10 runs, 80 % of the outcomes shared, no effect: the runs agree because they saw the same patients.

    Exact enumeration of the 2^10 signs of the runs rejects .70 of these true nulls at 5 %, and .54 after a Bonferroni
    correction for 8 comparisons; the crossed model .05.
    """
    values = differences(REPETITIONS, 10, 600, 0.8, 0)
    signs = 1 - 2 * (np.arange(2**10)[:, None] >> np.arange(10) & 1)
    sums = values.mean(axis=2)
    p_values = (np.abs(sums @ signs.T) >= np.abs(sums.sum(axis=1))[:, None] - 1e-6).mean(axis=1)
    assert (p_values < ALPHA).mean() > 0.3
    assert (8 * p_values < ALPHA).mean() > 0.3
    assert np.mean([crossed_model(one).p_value < ALPHA for one in values]) <= AT_MOST


@pytest.mark.parametrize(
    ("runs", "patients", "effect", "power"),
    [(2, 600, 0.1, 0.0), (3, 600, 0.1, 0.38), (5, 600, 0.1, 0.95), (10, 600, 0.1, 1.0)]
    + [(5, 600, 0.05, 0.43), (10, 600, 0.05, 0.66), (5, 50, 0.1, 0.41), (10, 50, 0.1, 0.49), (10, 8, 0.1, 0.06)],
)
def test_what_could_have_been_shown(runs, patients, effect, power):
    """Half of the outcomes shared, SD .03 between the runs of an arm, accuracy .8 of the reference.

    With 600 patients five points are found about as often as not, ten points nearly always from 5 runs on; with 50
    patients ten points are found in less than half of the studies; two runs or eight patients find nothing.
    """
    assert rejections(runs, patients, 0.5, 0.03, effect=effect) == pytest.approx(power, abs=0.03)


def test_a_difference_as_large_as_the_detectable_one_is_found_half_of_the_time():
    limit = np.mean([detectable(estimate, 1) for estimate in estimates(10, 600, 0.5, 0.03, effect=0.04)])
    assert limit == pytest.approx(0.04, abs=0.002)
    assert rejections(10, 600, 0.5, 0.03, effect=0.04) == pytest.approx(0.5, abs=0.06)


def scored(rng, true, patients, runs, shared, run_sd):
    """Return simulated probabilities of two arms that are as good as each other (2, runs, images).

    Log odds: 3 times the label, what makes an image or its patient hard for everybody, what one arm makes of them (a
    share ``shared`` of its variance is alike in all runs), and another slope (SD ``run_sd``) and shift of each run.
    """

    def noise(sd):
        return rng.normal(0, sd, patients.max() + 1)[patients] + rng.normal(0, sd, len(true))

    sides = []
    hard = noise(0.7)
    for _ in range(2):
        own = noise(0.7 * shared**0.5)
        for _ in range(runs):
            slope, shift = 3 * (1 + rng.normal(0, run_sd)), rng.normal(0, 2 * run_sd)
            sides.append(slope * (true - 0.5) + hard + own + noise(0.7 * (1 - shared) ** 0.5) + shift)
    return special.expit(np.array(sides)).reshape(2, runs, len(true))


def rates_by_metric(repetitions, runs, n_patients, shared, run_sd, positive):
    """Return the share of true nulls rejected at 5 % by metric; four images a patient."""
    rng = np.random.default_rng([0, runs, n_patients, *(round(1000 * number) for number in (shared, run_sd, positive))])
    patients = np.repeat(np.arange(n_patients), 4)
    counts = np.vstack([np.ones(n_patients), 1 - np.eye(n_patients)]).astype(np.float32)
    metrics = Classification(["a", "b"], "b").compared()
    significant = dict.fromkeys(metrics, 0)
    for _ in range(repetitions):
        true = (rng.random(n_patients) < positive).astype(int)[patients]
        found = []
        for score in scored(rng, true, patients, runs, shared, run_sd).reshape(2 * runs, -1):
            scores = np.stack([1 - score, score], axis=1)
            found.append(resampled_metrics(true, (score > 0.5).astype(int), scores, 1, patients, counts, 0.8))
        for metric in metrics:
            all_and_without = np.array([values[metric] for values in found]).reshape(2, runs, -1)
            values, without = all_and_without[..., 0].T, all_and_without[0, :, 1:] - all_and_without[1, :, 1:]
            figures = paired_figures(values, list(without))
            significant[metric] += figures.get("p_value", 1) < ALPHA
    return {metric: count / repetitions for metric, count in significant.items()}


@pytest.mark.parametrize(
    "cell", [(5, 60, 0.8, 0.05, 0.25), (10, 30, 0.5, 0, 0.5), (2, 60, 0.8, 0.05, 0.5), (5, 100, 0.8, 0.02, 0.125)]
)
def test_pseudo_values_of_every_metric_hold_the_level(cell):
    """Runs, patients with four images each, share that runs of an arm have in common, SD of runs, positive patients.

    400 repetitions a cell, standard error .011, so .08 is allowed; the largest rate is .075, of the recall where one
    patient of eight is positive. The sensitivity whose threshold is read off the test set errs in next to none: a
    jackknife overrates its variance, which is safe, but little will be found in it.
    """
    rates = rates_by_metric(400, *cell)
    assert max(rates.values()) <= 0.08, max(rates, key=rates.get)
    assert rates["sensitivity_at_95_specificity_on_test"] <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", [(5, 60, 0.8, 0.05, 0.125), (5, 60, 0.9, 0, 0.25), (10, 60, 0.5, 0.05, 0.5), (4, 100, 0.8, 0.1, 0.25)]
)
def test_pseudo_values_of_every_metric_hold_the_level_in_many_repetitions(cell):
    """2,000 repetitions a cell, standard error .005; the largest rate is .067, at the threshold that is set."""
    rates = rates_by_metric(2000, *cell)
    assert max(rates.values()) <= AT_MOST, max(rates, key=rates.get)
