"""Does a mix beat the baseline? Differences paired by run, with an interval and an exact test.

Run r of every mix shares validation images, start and order, so runs are paired. The metrics of the test sets of one
run are averaged first. The interval is a two-level bootstrap over runs and patients, see ``interval``.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsynth.analysis.collect import Evaluation
from radsynth.analysis.tidy import BASELINE, COHORT
from radsynth.common.errors import UserError
from radsynth.common.seeds import derive_seed

METRICS = ("accuracy", "f1_weighted", "f1_positive", "recall_positive", "roc_auc")
DRAWS = 2000
LEVEL = 0.95
# Patients x draws that are held in memory at once.
BLOCK = 2_000_000


def resampled_metrics(
    true: np.ndarray, predicted: np.ndarray, scores: np.ndarray, positive: int, groups: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each of ``METRICS`` for every resample of the patients, defined as in the evaluation of the classifiers.

    ``true`` and ``predicted`` are label indices (n,), ``scores`` the probabilities (n, labels), ``positive`` the index
    of the positive label, ``groups`` the patient of each image (n,), ``counts`` how often each patient was drawn
    (draws, patients). The values have the shape (draws,), NaN where undefined. With more than two labels the ROC-AUC is
    the macro average of one against the rest.

    The ROC-AUC is exact for the images as they are; a resample weighs the placement values of DeLong et al. (1988,
    10.2307/2531595), its first-order approximation, which is as fast as counting.
    """
    n_labels = scores.shape[1]

    def resample(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((counts.shape[1], values.shape[1]))
        np.add.at(sums, groups, values)
        return counts @ sums

    confusion = resample(np.eye(n_labels * n_labels)[true * n_labels + predicted]).reshape(-1, n_labels, n_labels)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    support, claimed = confusion.sum(axis=2), confusion.sum(axis=1)
    total = support.sum(axis=1)
    f1 = _ratio(2 * hits, support + claimed)
    areas = []
    for label in [positive] if n_labels == 2 else range(n_labels):
        own = true == label
        values, area = _placements(own, scores[:, label])
        weighed = resample(np.stack([values * own, values * ~own], axis=1))
        rest = total - support[:, label]
        areas.append(_ratio(weighed[:, 0], support[:, label]) + _ratio(weighed[:, 1], rest) - area)
    return {
        "accuracy": _ratio(hits.sum(axis=1), total),
        "f1_weighted": _ratio((np.nan_to_num(f1) * support).sum(axis=1), total),
        "f1_positive": f1[:, positive],
        "recall_positive": _ratio(hits[:, positive], support[:, positive]),
        "roc_auc": np.mean(areas, axis=0),
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _placements(own: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, float]:
    """Return for each image the share of the other side that it is ranked right against (ties: half), and the mean."""
    n_own, n_rest = own.sum(), (~own).sum()
    if not n_own or not n_rest:
        return np.zeros(len(own)), math.nan
    ranks, placements = stats.rankdata(score), np.empty(len(own))
    placements[own] = (ranks[own] - stats.rankdata(score[own])) / n_rest
    placements[~own] = 1 - (ranks[~own] - stats.rankdata(score[~own])) / n_own
    return placements, placements[own].mean()


def sign_flip(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the two-sided p-value of the sign-flip test of a zero mean, and the smallest one it can reach, 2 / 2^n.

    All 2^n sign patterns are enumerated up to n = 16 runs; beyond that 100,000 random ones stand for them.
    """
    floor = 2 / 2 ** len(differences)
    test = stats.permutation_test(
        (np.asarray(differences),), np.mean, permutation_type="samples", n_resamples=100_000, rng=seed
    )
    return float(test.pvalue), floor


def excess_p_value(share: float, n: float, control: float, n_control: float) -> float:
    """Return the one-sided p-value of Fisher's exact test that ``share`` of n lies above ``control`` of n_control."""
    hits, control_hits = round(share * n), round(control * n_control)
    table = [[hits, n - hits], [control_hits, n_control - control_hits]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def interval(differences: np.ndarray, shifts: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences, from resampled runs and resampled patients.

    ``differences`` (runs,) are those of the runs, ``shifts`` (runs, draws) the same under resampled patients. Each
    level is resampled by itself and the deviations from the mean are added. Those of the runs are stretched by
    sqrt(n/(n-1)) t/z, which turns the SD with n into the one with n - 1 degrees of freedom and the normal into the t
    quantile (expanded percentile interval, Hesterberg 2015, 10.1080/00031305.2015.1089789): where runs differ much, a
    plain bootstrap of 2, 3, 5 runs covered .65, .76, .87, this one .95 each. Where the noise is only from image to
    image within a run, it counts on both levels and the interval is conservative (.99).
    """
    n, tail = len(differences), (1 + LEVEL) / 2
    shifts = shifts[:, ~np.isnan(shifts).any(axis=0)]
    stretch = math.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1) / stats.norm.ppf(tail)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=shifts.shape[1])
    runs = stretch * (counts / n - 1 / n) @ differences
    patients = shifts.mean(axis=0) - shifts.mean()
    low, high = np.quantile(differences.mean() + runs + patients, [1 - tail, tail])
    return float(low), float(high)


def verdict(low: float | None, high: float | None) -> str:
    """Return ``helps``, ``hurts`` or, if the interval holds 0 or is unknown, ``undecided``."""
    if low is not None and low > 0:
        return "helps"
    return "hurts" if high is not None and high < 0 else "undecided"


def compare(evaluations: Iterable[Evaluation], seed: int, draws: int = DRAWS) -> list[dict[str, Any]]:
    """Return the rows of comparisons.csv: every mix against ``baseline``, per cohort, classifier and metric.

    Intervals as in ``interval``; the resamples of the patients (of images where the patient is unknown) are the same
    for all mixes and runs. They cover new runs and new patients of the same source, not another training cohort or
    another generator.
    """
    cohorts: dict[tuple[str, str, str], list[Evaluation]] = {}
    for evaluation in evaluations:
        cohorts.setdefault(evaluation.cohort, []).append(evaluation)
    return [row for cohort, members in cohorts.items() for row in _compare_cohort(cohort, members, seed, draws)]


def _compare_cohort(
    cohort: tuple[str, str, str], members: list[Evaluation], seed: int, draws: int
) -> list[dict[str, Any]]:
    images = _images(members)
    n_groups = len(set(np.concatenate([table["group"] for table in images.values()])))
    points = _point_values(members)
    resampled = _resample(members, images, derive_seed(seed, "patients", *cohort), draws)
    rows = []
    for classifier, mix in dict.fromkeys((member.classifier, member.mix) for member in members):
        if mix == BASELINE:
            continue
        for metric in METRICS:
            ours = {run: value for (*arm, run), value in points[metric].items() if arm == [classifier, mix]}
            base = {run: value for (*arm, run), value in points[metric].items() if arm == [classifier, BASELINE]}
            paired = sorted(run for run in ours.keys() & base.keys() if not math.isnan(ours[run] + base[run]))
            shifts = [
                resampled[classifier, mix, run][metric] - resampled[classifier, BASELINE, run][metric] for run in paired
            ]
            rng = np.random.default_rng(derive_seed(seed, "runs", *cohort, len(paired)))
            rows.append(
                dict(zip(COHORT, cohort, strict=True))
                | {"classifier": classifier, "mix": mix, "metric": metric, "n_groups": n_groups}
                | paired_figures([base[run] for run in paired], [ours[run] for run in paired], shifts, rng)
            )
            left_out = sorted((ours.keys() | base.keys()) - set(paired))
            if left_out:
                note = f"runs without a defined value in both mixes: {', '.join(map(str, left_out))}"
                rows[-1]["reason"] = "; ".join(filter(None, [rows[-1]["reason"], note]))
    return rows


def paired_figures(
    baseline: list[float], mix: list[float], shifts: list[np.ndarray], rng: np.random.Generator
) -> dict[str, Any]:
    """Return the numbers of one comparison from paired runs.

    ``baseline`` and ``mix`` hold one value per run, ``shifts`` their difference in every resample of the patients,
    one array (draws,) per run. SDs have n - 1 degrees of freedom. Fewer than two runs give no interval.
    """
    n_runs = len(baseline)
    figures: dict[str, Any] = {"n_runs": n_runs, "verdict": "undecided", "reason": ""}
    if n_runs:
        difference = np.subtract(mix, baseline)
        figures |= {
            "baseline_mean": float(np.mean(baseline)),
            "mix_mean": float(np.mean(mix)),
            "difference": float(difference.mean()),
        }
    if n_runs < 2:
        figures["reason"] = f"{n_runs} paired run{'s' * (n_runs != 1)}, an interval needs at least 2"
        return figures
    low, high = interval(difference, np.stack(shifts), rng)
    p_value, p_floor = sign_flip(difference)
    return figures | {
        "baseline_sd": float(np.std(baseline, ddof=1)),
        "mix_sd": float(np.std(mix, ddof=1)),
        **{"ci_low": low, "ci_high": high, "p_value": p_value, "p_floor": p_floor, "verdict": verdict(low, high)},
    }


def _images(members: list[Evaluation]) -> dict[str, pd.DataFrame]:
    """Return the images of every test set with their ``group`` (patient, else the image); all arms must share them."""
    images: dict[str, pd.DataFrame] = {}
    for member in members:
        table = member.predictions[["image_id", "label", "patient_id"]]
        if not images.setdefault(member.testset, table).equals(table):
            raise UserError(
                f"{'/'.join(member.cohort)}, {member.testset}: the images that run {member.run} of {member.mix} "
                f"{member.classifier} was tested on differ from the other runs', expected the same in the same order"
            )
    # The prefixes keep a patient and an image of the same name apart.
    return {
        testset: table.assign(
            group=("patient " + table["patient_id"]).where(table["patient_id"] != "", "image " + table["image_id"])
        )
        for testset, table in images.items()
    }


def _point_values(members: list[Evaluation]) -> dict[str, dict[tuple[str, str, int], float]]:
    """Return by metric the value of every (classifier, mix, run): the mean over its test sets, NaN if undefined."""
    collected: dict[str, dict[tuple[str, str, int], list[float]]] = {metric: {} for metric in METRICS}
    for member in members:
        for metric in METRICS:
            value = member.report["metrics"].get(metric)
            arm = (member.classifier, member.mix, member.run)
            collected[metric].setdefault(arm, []).append(math.nan if value is None else value)
    return {metric: {arm: float(np.mean(v)) for arm, v in arms.items()} for metric, arms in collected.items()}


def _resample(
    members: list[Evaluation], images: dict[str, pd.DataFrame], seed: int, draws: int
) -> dict[tuple[str, str, int], dict[str, np.ndarray]]:
    """Return every metric of every (classifier, mix, run) under ``draws`` resamples of the patients, shared by all."""
    groups, codes = np.unique(np.concatenate([table["group"] for table in images.values()]), return_inverse=True)
    codes = dict(zip(images, np.split(codes, np.cumsum([len(table) for table in images.values()])[:-1]), strict=True))
    n_testsets = dict.fromkeys(((m.classifier, m.mix, m.run) for m in members), 0)
    for member in members:
        n_testsets[member.classifier, member.mix, member.run] += 1
    totals = {arm: {metric: np.zeros(draws) for metric in METRICS} for arm in n_testsets}
    rng = np.random.default_rng(seed)
    for block in _blocks(draws, len(groups)):
        counts = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=block.stop - block.start)
        counts = counts.astype(float)
        for member in members:
            arm = (member.classifier, member.mix, member.run)
            metrics = resampled_metrics(*_indices(member), codes[member.testset], counts)
            for metric, values in metrics.items():
                totals[arm][metric][block] += values / n_testsets[arm]
    return totals


def _blocks(draws: int, n: int) -> Iterator[slice]:
    step = max(1, BLOCK // n)
    for start in range(0, draws, step):
        yield slice(start, min(draws, start + step))


def _indices(member: Evaluation) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return true and predicted label indices, probabilities (n, labels) and the index of the positive label."""
    labels, table = member.report["labels"], member.predictions
    index = {label: position for position, label in enumerate(labels)}
    true, predicted = (table[column].map(index).to_numpy() for column in ("label", "predicted"))
    scores = table[[f"p_{label}" for label in labels]].to_numpy(float)
    return true, predicted, scores, index[member.report["positive_label"]]
