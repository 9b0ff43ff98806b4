"""Does a mix beat its references? Paired differences with intervals and tests for new runs and new patients.

Run r of every mix shares its start and order, so runs are paired. The metrics of the test sets of one run are averaged
first. A cohort's own test sets, the one that all samplings share and every external dataset are compared apart; pools
as test sets are not compared. Intervals and p-values are those of ``inference.crossed_model``.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsynth.analysis.arms import (
    AGAINST_BASELINE,
    AGAINST_CONTROL,
    AGAINST_CORRECTED,
    CORRECTED,
    REFERENCES,
    SAMPLINGS,
    Arms,
)
from radsynth.analysis.collect import Evaluation
from radsynth.analysis.inference import (
    ALPHA,
    TAIL,
    crossed_model,
    delong,
    detectable,
    effect_size,
    holm,
    mcnemar,
    student,
)
from radsynth.analysis.resampling import METRICS, THRESHOLDED, resampled_metrics
from radsynth.analysis.tidy import COMMON, TESTED, headline_metrics
from radsynth.common.errors import UserError
from radsynth.common.seeds import derive_seed

# Patients that are left out one by one; of more, as many random groups of this number.
UNITS = 500
ABOVE, BELOW, UNDECIDED = "above", "below", "undecided"
HELPS, HURTS = "helps", "hurts"
NO_MORE_THAN_TRAINING = "no more than longer training does"
NO_WORSE_THAN_TRAINING = "no worse than longer training does"
NO_MORE_THAN_THRESHOLD = "no more than a shifted threshold does"
NO_CONTROL = "above the baseline, without a control"

Row = dict[str, Any]
Key = tuple[str, str, int]  # classifier, mix, run


class _Tested:
    """The evaluations of one cohort (or several, of one dataset and scenario) on the same images.

    ``values[metric][arm]`` is the value of every arm (classifier, mix, run), the mean over its test sets;
    ``left_out[arm][metric]`` (units,) the same without each unit of patients in turn.
    """

    def __init__(self, members: list[Evaluation], seed: int):
        images = _images(members)
        groups = np.concatenate([table["group"] for table in images.values()])
        self.n_groups = len(set(groups))
        units = _units(groups, seed)
        parts = np.split(units, np.cumsum([len(table) for table in images.values()])[:-1])
        of_testset = dict(zip(images, parts, strict=True))
        counts = (1 - np.eye(units.max() + 1 if len(units) else 0)).astype(np.float32)
        collected: dict[Key, list[tuple[dict[str, float], dict[str, np.ndarray]]]] = defaultdict(list)
        for member in members:
            values = {metric: _number(member.report["metrics"].get(metric)) for metric in METRICS}
            without = resampled_metrics(
                *_indices(member), of_testset[member.testset], counts, member.report.get("threshold")
            )
            collected[member.arm].append((values, without))
        self.values = {
            arm: {metric: float(np.mean([values[metric] for values, _ in found])) for metric in METRICS}
            for arm, found in collected.items()
        }
        self.left_out = {
            arm: {metric: np.mean([without[metric] for _, without in found], axis=0) for metric in METRICS}
            for arm, found in collected.items()
        }

    def runs(self, classifier: str, mix: str) -> list[int]:
        return sorted(run for name, of, run in self.values if (name, of) == (classifier, mix))


def compare(evaluations: Iterable[Evaluation], arms: Arms, seed: int) -> list[Row]:
    """Return the rows of comparisons.csv: every question of ``arms`` for every cohort, test, classifier and metric.

    The intervals cover new runs and new patients of the same source, not another training cohort or another generator.
    Holm's correction is over the classifiers and mixes of one cohort, test, metric and question. Samplings are compared
    on the test set that they share alone: their own differ in difficulty.
    """
    rows = []
    for tested, members in _by_test(evaluations).items():
        found = _Tested(members, derive_seed(seed, "units", *tested))
        names = dict(zip(TESTED, tested, strict=True)) | {"n_groups": found.n_groups}
        for question, mix, reference in arms.comparisons(tested[2]):
            for classifier in dict.fromkeys(member.classifier for member in members):
                sides = [(found, classifier, name) for name in (mix, reference)]
                if all(found.runs(*side[1:]) for side in sides):
                    about = names | {"question": question, "classifier": classifier, "mix": mix, "reference": reference}
                    rows += _rows(about, *sides, CORRECTED in (mix, reference))
    rows += _compare_samplings(evaluations, arms, seed)
    _correct(rows, [*TESTED, "metric", "question"])
    return rows


def _by_test(evaluations: Iterable[Evaluation]) -> dict[tuple[str, ...], list[Evaluation]]:
    tests: dict[tuple[str, ...], list[Evaluation]] = defaultdict(list)
    for evaluation in evaluations:
        if not evaluation.is_synthetic:
            tests[(*evaluation.cohort, evaluation.tested_on)].append(evaluation)
    return tests


def _compare_samplings(evaluations: Iterable[Evaluation], arms: Arms, seed: int) -> list[Row]:
    """Return the comparisons of every sampling with those of other methods before it, on their common test set."""
    common: dict[tuple[str, str], dict[str, list[Evaluation]]] = defaultdict(lambda: defaultdict(list))
    for evaluation in evaluations:
        if evaluation.tested_on == COMMON:
            dataset, sampling, scenario = evaluation.cohort
            common[dataset, scenario][sampling].append(evaluation)
    rows = []
    for (dataset, scenario), samplings in common.items():
        _images([member for members in samplings.values() for member in members])  # refuses different images
        tested = {
            name: _Tested(members, derive_seed(seed, "units", dataset, scenario, COMMON))
            for name, members in samplings.items()
        }
        for reference, sampling in combinations(samplings, 2):
            if arms.method(reference) == arms.method(sampling):
                continue
            names = dict(zip(TESTED, (dataset, sampling, scenario, COMMON), strict=True))
            names |= {"question": SAMPLINGS, "reference": reference, "n_groups": tested[sampling].n_groups}
            for classifier, mix in dict.fromkeys((member.classifier, member.mix) for member in samplings[sampling]):
                sides = [(tested[name], classifier, mix) for name in (sampling, reference)]
                if mix != CORRECTED and all(found.runs(*arm) for found, *arm in sides):
                    rows += _rows(names | {"classifier": classifier, "mix": mix}, *sides, False)
    return rows


def _rows(about: Row, ours: tuple[_Tested, str, str], theirs: tuple[_Tested, str, str], thresholded: bool) -> list[Row]:
    """Return one row per metric, only those that a threshold changes if ``thresholded``."""
    (our, *arm), (their, *reference) = ours, theirs
    runs = sorted(set(our.runs(*arm)) & set(their.runs(*reference)))
    rows = []
    for metric in THRESHOLDED if thresholded else METRICS:
        values = np.array([[our.values[*arm, run][metric], their.values[*reference, run][metric]] for run in runs])
        values = values.reshape(-1, 2)
        defined = ~np.isnan(values).any(axis=1)
        shifts = [
            our.left_out[*arm, run][metric] - their.left_out[*reference, run][metric]
            for run, kept in zip(runs, defined, strict=True)
            if kept
        ]
        row = about | {"metric": metric} | paired_figures(values[defined], shifts)
        undefined = sorted({*our.runs(*arm), *their.runs(*reference)} - {runs[i] for i in np.flatnonzero(defined)})
        if undefined:
            note = f"runs without a defined value on both sides: {', '.join(map(str, undefined))}"
            row["reason"] = "; ".join(filter(None, [row["reason"], note]))
        rows.append(row)
    return rows


def paired_figures(values: np.ndarray, left_out: list[np.ndarray]) -> Row:
    """Return the numbers of one comparison from paired runs.

    ``values`` (runs, 2) are those of the mix and its reference, ``left_out`` their difference without each unit of
    patients in turn, one array (units,) per run: its jackknife pseudo-values go into the crossed model. SDs have n - 1
    degrees of freedom. Fewer than two runs or units give no interval.
    """
    n_runs = len(values)
    figures: Row = {"n_runs": n_runs, "verdict": UNDECIDED, "reason": ""}
    if not n_runs:
        return figures | {"reason": "0 paired runs, an interval needs at least 2"}
    difference = values[:, 0] - values[:, 1]
    figures |= {
        "mix_mean": float(values[:, 0].mean()),
        "reference_mean": float(values[:, 1].mean()),
        "difference": float(difference.mean()),
    }
    if n_runs < 2:
        return figures | {"reason": "1 paired run, an interval needs at least 2"}
    figures |= {"mix_sd": float(values[:, 0].std(ddof=1)), "reference_sd": float(values[:, 1].std(ddof=1))}
    without = np.stack(left_out)
    n_units = without.shape[1]
    if n_units < 2:
        return figures | {"reason": f"{n_units} test patient{'s' * (n_units != 1)}, an interval needs at least 2"}
    if np.isnan(without).any():
        return figures | {"reason": "no interval: a single patient makes the metric undefined"}
    size, reason = effect_size(difference)
    figures |= {"effect_size": size, "reason": reason}
    estimate = crossed_model(n_units * difference[:, None] - (n_units - 1) * without, float(difference.mean()))
    if estimate is None:
        return figures | {"reason": "no interval: all runs and patients differ by the same amount"}
    return figures | {
        **{"standard_error": estimate.standard_error, "df": estimate.df, "p_value": estimate.p_value},
        **{"ci_low": estimate.low, "ci_high": estimate.high, "estimate": estimate},
    }


def _correct(rows: list[Row], family: list[str]) -> None:
    """Add Holm's correction within the rows that share ``family``, what it decides and what it could have."""
    families: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if "p_value" in row:
            families[tuple(row[key] for key in family)].append(row)
    for members in families.values():
        for row, p_holm in zip(members, holm([row["p_value"] for row in members]), strict=True):
            row["n_comparisons"], row["p_holm"] = len(members), float(p_holm)
            if "estimate" in row:
                row["detectable"] = detectable(row.pop("estimate"), len(members))
            if p_holm < ALPHA and "difference" in row:
                row["verdict"] = ABOVE if row["difference"] > 0 else BELOW


def verdict_rows(comparisons: Iterable[Row], arms: Arms, cohorts: Iterable[Row]) -> list[Row]:
    """Return the rows of verdicts.csv: does a mix of real and synthetic images help, by the word?

    It helps where it beats all its references: the baseline, its matched control and, in metrics that a threshold
    changes, the baseline with corrected outputs. The p-value is the largest of theirs (intersection-union test), 1 if
    the differences disagree in sign, and Holm's correction is over the classifiers and mixes of one cohort, test and
    metric. It hurts where it is below baseline and control in the same way. Otherwise the word says what explains a
    difference to the baseline, or that nothing is decided. ``cohorts`` are the rows of cohorts.csv.
    """
    headline = headline_metrics(pd.DataFrame(cohorts))
    asked: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in comparisons:
        if row["question"] in REFERENCES:
            asked[tuple(row[key] for key in (*TESTED, "classifier", "mix", "metric"))][row["question"]] = row
    rows = []
    for key, against in asked.items():
        row = dict(zip((*TESTED, "classifier", "mix", "metric"), key, strict=True))
        row |= {"headline": row["metric"] == headline.get(key[:3]), "reason": ""}
        row["control"] = arms.controls.get(row["scenario"], {}).get(row["mix"], "")
        up = all(reference.get("difference", 0) > 0 for reference in against.values())
        below = [reference for question, reference in against.items() if question != AGAINST_CORRECTED]
        down = all(reference.get("difference", 0) < 0 for reference in below)
        needed = list(against.values()) if up else below
        if all("p_value" in reference for reference in needed):
            row["p_value"] = max(reference["p_value"] for reference in needed) if up or down else 1.0
        else:
            row["reason"] = next(reference["reason"] for reference in needed if "p_value" not in reference)
        rows.append(row | {"up": up, "against": against})
    _correct(rows, [*TESTED, "metric"])
    for row in rows:
        row["verdict"] = _word(row.pop("against"), row.pop("up"), row.get("p_holm", 1.0) < ALPHA, bool(row["control"]))
    return rows


def _word(against: Mapping[str, Row], up: bool, decided: bool, has_control: bool) -> str:
    """Return the verdict on one mix from what it was compared with."""
    said = {question: row["verdict"] for question, row in against.items()}
    baseline, control = said[AGAINST_BASELINE], said.get(AGAINST_CONTROL)
    if not has_control:
        return {ABOVE: NO_CONTROL, BELOW: HURTS}.get(baseline, UNDECIDED)
    if decided:
        return HELPS if up else HURTS
    if baseline == ABOVE and control != ABOVE:
        return NO_MORE_THAN_TRAINING
    if baseline == ABOVE and said.get(AGAINST_CORRECTED, ABOVE) != ABOVE:
        return NO_MORE_THAN_THRESHOLD
    return NO_WORSE_THAN_TRAINING if baseline == BELOW and control != BELOW else UNDECIDED


def replicate_rows(comparisons: Iterable[Row], arms: Arms) -> list[Row]:
    """Return the rows of replicates.csv: the mean difference over samplings that differ in their draw alone.

    Samplings of one method (and extractor) are replicates, named after the first of them. Each counts with its mean
    difference over runs; interval and p-value are Student's with the replicates as units, Holm's correction as in
    ``compare``. They cover what the runs of a single cohort cannot: other training images and another generator.
    """
    alike = {
        name: [other for other in arms.samplings if arms.method(other) == arms.method(name)] for name in arms.samplings
    }
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    keys = [*TESTED, "question", "classifier", "mix", "reference", "metric"]
    for row in comparisons:
        replicates = alike[row["sampling"]]
        if row["question"] != SAMPLINGS and len(replicates) > 1:
            groups[tuple((row | {"sampling": replicates[0]})[key] for key in keys)].append(row)
    found = []
    for names, members in groups.items():
        defined = [row for row in members if "difference" in row]
        left_out = [row["sampling"] for row in members if "difference" not in row]
        values = np.array([row["difference"] for row in defined])
        row = dict(zip(keys, names, strict=True))
        row |= {"samplings": "; ".join(row["sampling"] for row in defined), "n_replicates": len(values)}
        row |= {"verdict": UNDECIDED, "reason": f"undefined in {', '.join(left_out)}" if left_out else ""}
        if len(values):
            row["difference"] = float(values.mean())
        if len(values) >= 2 and (estimate := student(values)):
            row |= {"sd": float(values.std(ddof=1)), "ci_low": estimate.low, "ci_high": estimate.high}
            row["p_value"] = estimate.p_value
        else:
            note = f"{len(values)} replicate{'s' * (len(values) != 1)}, an interval needs at least 2"
            note = "all replicates differ by the same amount" if len(values) >= 2 else note
            row["reason"] = "; ".join(filter(None, [row["reason"], note]))
        found.append(row)
    _correct(found, [*TESTED, "metric", "question"])
    return found


def mcnemar_rows(evaluations: Iterable[Evaluation], arms: Arms) -> list[Row]:
    """Return the rows of mcnemar.csv: every run of a mix against the same run of its reference, image by image."""
    rows = []
    for tested, members in _by_test(evaluations).items():
        found = {(*member.arm, member.testset): member for member in members}
        for question, mix, reference in arms.comparisons(tested[2]):
            for (classifier, of, run, testset), ours in found.items():
                theirs = found.get((classifier, reference, run, testset))
                if of != mix or theirs is None or ours.predictions.empty:
                    continue
                _images([ours, theirs])  # refuses different images
                sides = [side.predictions["predicted"] == side.predictions["label"] for side in (ours, theirs)]
                ours_alone, theirs_alone, p_value = mcnemar(*(side.to_numpy() for side in sides))
                row = dict(zip(TESTED, tested, strict=True)) | {"question": question, "classifier": classifier}
                row |= {"mix": mix, "reference": reference, "run": run, "testset": testset}
                row |= {"n_images": len(sides[0]), "n_groups": _images([ours])[testset]["group"].nunique()}
                row |= {"only_mix_right": ours_alone, "only_reference_right": theirs_alone, "p_value": p_value}
                rows.append(row)
    return rows


def roc_auc_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of roc_auc.csv: the ROC-AUC of every single model with DeLong's 95 % interval.

    The interval is the normal one, cut at 0 and 1; images are taken as independent, which makes it too narrow where
    patients have several. The corrected baseline ranks as the baseline does and has no rows.
    """
    rows = []
    for evaluation in evaluations:
        if evaluation.is_synthetic or evaluation.mix == CORRECTED:
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


def _units(groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the unit that each image is left out with: its patient, or one of UNITS random groups of patients."""
    codes = np.unique(groups, return_inverse=True)[1]
    if len(codes) and codes.max() >= UNITS:
        codes = np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % UNITS
    return codes


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _indices(member: Evaluation) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return true and predicted label indices, probabilities (n, labels) and the index of the positive label."""
    labels, table = member.report["labels"], member.predictions
    index = {label: position for position, label in enumerate(labels)}
    true, predicted = (table[column].map(index).to_numpy(int) for column in ("label", "predicted"))
    scores = table[[f"p_{label}" for label in labels]].to_numpy(float)
    return true, predicted, scores, index[member.report["positive_label"]]
