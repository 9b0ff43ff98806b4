"""Does a mix beat the baseline? Differences paired by run, with an interval and an exact test.

Run r of every mix shares validation images, start and order, so runs are paired. The metrics of the test sets of one
run are averaged first. A cohort's own test sets and every external dataset are compared apart; pools as test sets are
not compared. The interval is a two-level bootstrap over runs and patients, see ``inference.interval``.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsynth.analysis.collect import Evaluation
from radsynth.analysis.inference import TAIL, delong, effect_size, holm, interval, sign_flip, t_interval, verdict
from radsynth.analysis.resampling import METRICS, resampled_metrics
from radsynth.analysis.tidy import BASELINE, TESTED
from radsynth.common.errors import UserError
from radsynth.common.seeds import derive_seed

DRAWS = 2000
ALPHA = 0.05

Row = dict[str, Any]
Arm = tuple[str, str, int]  # classifier, mix, run


def compare(evaluations: Iterable[Evaluation], seed: int, draws: int = DRAWS) -> list[Row]:
    """Return the rows of comparisons.csv: every mix against ``baseline``, per cohort, test, classifier and metric.

    Intervals as in ``inference.interval``; the resamples of the patients (of images where the patient is unknown) are
    the same for all mixes and runs. They cover new runs and new patients of the same source, not another training
    cohort or another generator. Holm's correction is over the classifiers and mixes of one cohort, test and metric.
    """
    tests: dict[tuple[str, ...], list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        if not evaluation.is_synthetic:
            tests[(*evaluation.cohort, evaluation.tested_on)].append(evaluation)
    rows = []
    for tested, members in tests.items():
        rows += _correct(_compare_tested(tested, members, seed, draws))
    return rows


def _compare_tested(tested: tuple[str, ...], members: list[Evaluation], seed: int, draws: int) -> list[Row]:
    images = _images(members)
    n_groups = len(set(np.concatenate([table["group"] for table in images.values()])))
    points = _point_values(members)
    resampled = _resample(members, images, derive_seed(seed, "patients", *tested), draws)
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
            rng = np.random.default_rng(derive_seed(seed, "runs", *tested, len(paired)))
            row = dict(zip(TESTED, tested, strict=True))
            row |= {"classifier": classifier, "mix": mix, "metric": metric, "n_groups": n_groups}
            row |= paired_figures([base[run] for run in paired], [ours[run] for run in paired], shifts, rng)
            left_out = sorted((ours.keys() | base.keys()) - set(paired))
            if left_out:
                note = f"runs without a defined value in both mixes: {', '.join(map(str, left_out))}"
                row["reason"] = "; ".join(filter(None, [row["reason"], note]))
            rows.append(row)
    return rows


def paired_figures(baseline: list[float], mix: list[float], shifts: list[np.ndarray], rng: np.random.Generator) -> Row:
    """Return the numbers of one comparison from paired runs.

    ``baseline`` and ``mix`` hold one value per run, ``shifts`` their difference in every resample of the patients,
    one array (draws,) per run. SDs have n - 1 degrees of freedom. Fewer than two runs give no interval.
    """
    n_runs = len(baseline)
    figures: Row = {"n_runs": n_runs, "verdict": "undecided", "verdict_holm": "undecided", "reason": ""}
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
    size, reason = effect_size(difference)
    return figures | {
        "baseline_sd": float(np.std(baseline, ddof=1)),
        "mix_sd": float(np.std(mix, ddof=1)),
        **{"ci_low": low, "ci_high": high, "effect_size": size, "p_value": p_value, "p_floor": p_floor},
        **{"verdict": verdict(low, high), "reason": reason},
    }


def _correct(rows: list[Row]) -> list[Row]:
    """Add Holm's correction to the comparisons of one table: p_holm, its floor, their number and the verdict."""
    for metric in METRICS:
        tested = [row for row in rows if row["metric"] == metric and "p_value" in row]
        for row, p_holm in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
            sign = "helps" if row["difference"] > 0 else "hurts"
            row["n_comparisons"], row["p_holm"] = len(tested), float(p_holm)
            row["p_holm_floor"] = min(1.0, len(tested) * row["p_floor"])
            row["verdict_holm"] = sign if p_holm < ALPHA else "undecided"
    return rows


def replicate_rows(comparisons: Iterable[Row], samplings: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return the rows of replicates.csv: the mean difference over samplings that differ in their draw alone.

    ``samplings`` are those of the configuration: samplings of one method (and extractor) are replicates, named after
    the first of them. Each counts with its mean difference over runs; the interval is Student's with the replicates
    as units. It covers what the runs of a single cohort cannot: other training images and another generator.
    """
    methods = {
        name: tuple(sorted((key, value) for key, value in entry.items() if key != "replicate"))
        for name, entry in samplings.items()
    }
    first = {method: name for name, method in reversed(methods.items())}
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    keys = [*TESTED, "classifier", "mix", "metric"]
    for row in comparisons:
        if sum(method == methods[row["sampling"]] for method in methods.values()) > 1:
            groups[tuple((row | {"sampling": first[methods[row["sampling"]]]})[key] for key in keys)].append(row)
    found = []
    for names, members in groups.items():
        defined = [row for row in members if "difference" in row]
        left_out = [row["sampling"] for row in members if "difference" not in row]
        values = np.array([row["difference"] for row in defined])
        row = dict(zip(keys, names, strict=True))
        row |= {"samplings": "; ".join(row["sampling"] for row in defined), "n_replicates": len(values)}
        row |= {"verdict": "undecided", "reason": f"undefined in {', '.join(left_out)}" if left_out else ""}
        if len(values):
            row["difference"] = float(values.mean())
        if len(values) >= 2:
            low, high = t_interval(values)
            row |= {"sd": float(values.std(ddof=1)), "ci_low": low, "ci_high": high, "verdict": verdict(low, high)}
        else:
            note = f"{len(values)} replicate{'s' * (len(values) != 1)}, an interval needs at least 2"
            row["reason"] = "; ".join(filter(None, [row["reason"], note]))
        found.append(row)
    return found


def roc_auc_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of roc_auc.csv: the ROC-AUC of every single model with DeLong's 95 % interval.

    The interval is the normal one, cut at 0 and 1; images are taken as independent, which makes it too narrow where
    patients have several.
    """
    rows = []
    for evaluation in evaluations:
        if evaluation.is_synthetic:
            continue
        true, _, scores, positive = _indices(evaluation)
        own = true == positive
        row = evaluation.keys | {"n_positive": int(own.sum()), "n_negative": int((~own).sum()), "reason": ""}
        if scores.shape[1] > 2:
            row["reason"] = "DeLong's interval is for two labels"
        elif min(own.sum(), (~own).sum()) < 2:
            row["reason"] = "DeLong's interval needs at least two images of either label"
        else:
            row["roc_auc"], error = delong(own, scores[:, positive])
            if error:
                half = float(stats.norm.ppf(TAIL)) * error
                low, high = max(0.0, row["roc_auc"] - half), min(1.0, row["roc_auc"] + half)
                row |= {"standard_error": error, "ci_low": low, "ci_high": high}
            else:
                row["reason"] = "the labels are separated without an error, so DeLong's variance is 0"
        rows.append(row)
    return rows


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


def _point_values(members: list[Evaluation]) -> dict[str, dict[Arm, float]]:
    """Return by metric the value of every arm: the mean over its test sets, NaN if undefined."""
    collected: dict[str, dict[Arm, list[float]]] = {metric: {} for metric in METRICS}
    for member in members:
        for metric in METRICS:
            value = member.report["metrics"].get(metric)
            collected[metric].setdefault(member.arm, []).append(math.nan if value is None else value)
    return {metric: {arm: float(np.mean(v)) for arm, v in arms.items()} for metric, arms in collected.items()}


def _resample(
    members: list[Evaluation], images: dict[str, pd.DataFrame], seed: int, draws: int
) -> dict[Arm, dict[str, np.ndarray]]:
    """Return every metric of every arm under ``draws`` resamples of the patients, shared by all."""
    groups, codes = np.unique(np.concatenate([table["group"] for table in images.values()]), return_inverse=True)
    codes = dict(zip(images, np.split(codes, np.cumsum([len(table) for table in images.values()])[:-1]), strict=True))
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=draws).astype(np.float32)
    by_testset: dict[Arm, list[dict[str, np.ndarray]]] = defaultdict(list)
    for member in members:
        by_testset[member.arm].append(resampled_metrics(*_indices(member), codes[member.testset], counts))
    return {
        arm: {metric: np.mean([values[metric] for values in found], axis=0) for metric in METRICS}
        for arm, found in by_testset.items()
    }


def _indices(member: Evaluation) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return true and predicted label indices, probabilities (n, labels) and the index of the positive label."""
    labels, table = member.report["labels"], member.predictions
    index = {label: position for position, label in enumerate(labels)}
    true, predicted = (table[column].map(index).to_numpy() for column in ("label", "predicted"))
    scores = table[[f"p_{label}" for label in labels]].to_numpy(float)
    return true, predicted, scores, index[member.report["positive_label"]]
