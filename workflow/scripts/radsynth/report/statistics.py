"""Does a mix beat its references? Paired differences with intervals and tests for new runs and new patients.

Run r of every mix shares its start and order, so runs are paired. The metrics of the test sets of one run are averaged
first. A cohort's own test sets, the one that all samplings share and every external dataset are compared apart; pools
as test sets are not compared. Intervals and p-values are those of ``inference.crossed_model``.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np

from radsynth.common.seeds import derive_seed
from radsynth.report.arms import (
    ABOVE,
    BELOW,
    CORRECTED,
    SAMPLINGS,
    UNDECIDED,
    Arms,
)
from radsynth.report.evaluations import Evaluation, by_test, tested_images
from radsynth.report.inference import (
    ALPHA,
    crossed_model,
    detectable,
    effect_size,
    holm,
    student,
)
from radsynth.report.tidy import COMMON, TESTED
from radsynth.tasks.task import Task

# Patients that are left out one by one; of more, as many random groups of this number.
UNITS = 500

Row = dict[str, Any]
Key = tuple[str, str, int]  # classifier, mix, run


class _Tested:
    """The evaluations of one cohort (or several, of one dataset and scenario) on the same images.

    ``values[arm][metric]`` is the value of every arm (classifier, mix, run), the mean over its test sets;
    ``left_out[arm][metric]`` (units,) the same without each unit of patients in turn.
    """

    def __init__(self, members: list[Evaluation], seed: int):
        images, self.task = tested_images(members), members[0].task
        metrics = self.task.compared()
        groups = np.concatenate([table["group"] for table in images.values()])
        self.n_groups = len(set(groups))
        units = _units(groups, seed)
        parts = np.split(units, np.cumsum([len(table) for table in images.values()])[:-1])
        of_testset = dict(zip(images, parts, strict=True))
        counts = (1 - np.eye(units.max() + 1 if len(units) else 0)).astype(np.float32)
        collected: dict[Key, list[tuple[dict[str, float], dict[str, np.ndarray]]]] = defaultdict(list)
        for member in members:
            values = {metric: _number(member.report["metrics"].get(metric)) for metric in metrics}
            without = self.task.resampled(member.predictions, member.report, of_testset[member.testset], counts)
            collected[member.arm].append((values, without))
        self.values = {
            arm: {metric: float(np.mean([values[metric] for values, _ in found])) for metric in metrics}
            for arm, found in collected.items()
        }
        self.left_out = {
            arm: {metric: np.mean([without[metric] for _, without in found], axis=0) for metric in metrics}
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
    for tested, members in by_test(evaluations).items():
        found = _Tested(members, derive_seed(seed, "units", *tested))
        names = dict(zip(TESTED, tested, strict=True)) | {"n_groups": found.n_groups}
        for question, mix, reference in arms.comparisons(tested[2]):
            for classifier in dict.fromkeys(member.classifier for member in members):
                sides = [(found, classifier, name) for name in (mix, reference)]
                if all(found.runs(*side[1:]) for side in sides):
                    about = names | {"question": question, "classifier": classifier, "mix": mix, "reference": reference}
                    rows += _rows(about, *sides, CORRECTED in (mix, reference))
    rows += _compare_samplings(evaluations, arms, seed)
    correct(rows, [*TESTED, "metric", "question"])
    return rows


def _compare_samplings(evaluations: Iterable[Evaluation], arms: Arms, seed: int) -> list[Row]:
    """Return the comparisons of every sampling with those of other methods before it, on their common test set."""
    common: dict[tuple[str, str], dict[str, list[Evaluation]]] = defaultdict(lambda: defaultdict(list))
    for evaluation in evaluations:
        if evaluation.tested_on == COMMON:
            dataset, sampling, scenario = evaluation.cohort
            common[dataset, scenario][sampling].append(evaluation)
    rows = []
    for (dataset, scenario), samplings in common.items():
        tested_images([member for members in samplings.values() for member in members])  # refuses different images
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
    task = our.task
    for metric in task.thresholded() if thresholded else task.compared():
        values = np.array([[our.values[*arm, run][metric], their.values[*reference, run][metric]] for run in runs])
        values = values.reshape(-1, 2)
        defined = ~np.isnan(values).any(axis=1)
        shifts = [
            our.left_out[*arm, run][metric] - their.left_out[*reference, run][metric]
            for run, kept in zip(runs, defined, strict=True)
            if kept
        ]
        row = about | {"metric": metric} | paired_figures(values[defined], shifts, task.metric(metric).span)
        undefined = sorted({*our.runs(*arm), *their.runs(*reference)} - {runs[i] for i in np.flatnonzero(defined)})
        if undefined:
            note = f"runs without a defined value on both sides: {', '.join(map(str, undefined))}"
            row["reason"] = "; ".join(filter(None, [row["reason"], note]))
        rows.append(row)
    return rows


def paired_figures(values: np.ndarray, left_out: list[np.ndarray], span: float = 1.0) -> Row:
    """Return the numbers of one comparison from paired runs.

    ``values`` (runs, 2) are those of the mix and its reference, ``left_out`` their difference without each unit of
    patients in turn, one array (units,) per run: its jackknife pseudo-values go into the crossed model. Values of
    the metric lie at most ``span`` apart. SDs have n - 1 degrees of freedom. Fewer than two runs or units give no
    interval.
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
    estimate = crossed_model(n_units * difference[:, None] - (n_units - 1) * without, float(difference.mean()), span)
    if estimate is None:
        return figures | {"reason": "no interval: all runs and patients differ by the same amount"}
    return figures | {
        **{"standard_error": estimate.standard_error, "df": estimate.df, "p_value": estimate.p_value},
        **{"ci_low": estimate.low, "ci_high": estimate.high, "estimate": estimate, "span": span},
    }


def correct(rows: list[Row], family: list[str]) -> None:
    """Add Holm's correction within the rows that share ``family``, what it decides and what it could have."""
    families: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if "p_value" in row:
            families[tuple(row[key] for key in family)].append(row)
    for members in families.values():
        for row, p_holm in zip(members, holm([row["p_value"] for row in members]), strict=True):
            row["n_comparisons"], row["p_holm"] = len(members), float(p_holm)
            if "estimate" in row:
                row["detectable"] = detectable(row.pop("estimate"), len(members), row.pop("span"))
            if p_holm < ALPHA and "difference" in row:
                row["verdict"] = ABOVE if row["difference"] > 0 else BELOW


def replicate_rows(comparisons: Iterable[Row], arms: Arms, task: Task) -> list[Row]:
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
        if len(values) >= 2 and (estimate := student(values, task.metric(row["metric"]).span)):
            row |= {"sd": float(values.std(ddof=1)), "ci_low": estimate.low, "ci_high": estimate.high}
            row["p_value"] = estimate.p_value
        else:
            note = f"{len(values)} replicate{'s' * (len(values) != 1)}, an interval needs at least 2"
            note = "all replicates differ by the same amount" if len(values) >= 2 else note
            row["reason"] = "; ".join(filter(None, [row["reason"], note]))
        found.append(row)
    correct(found, [*TESTED, "metric", "question"])
    return found


def _units(groups: np.ndarray, seed: int) -> np.ndarray:
    """Return the unit that each image is left out with: its patient, or one of UNITS random groups of patients."""
    codes = np.unique(groups, return_inverse=True)[1]
    if len(codes) and codes.max() >= UNITS:
        codes = np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % UNITS
    return codes


def _number(value: float | None) -> float:
    return math.nan if value is None else value
