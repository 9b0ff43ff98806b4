"""What the classifiers achieved, alone and beside each other: from their evaluations to tidy tables."""

from collections.abc import Iterable

from scipy import stats

from radsynth.report.arms import CORRECTED, Arms
from radsynth.report.basis import cohorts_of
from radsynth.report.evaluations import Evaluation, by_test, label_indices, tested_images
from radsynth.report.given import Given
from radsynth.report.inference import TAIL, delong, mcnemar
from radsynth.report.predictions import image_rows, prediction_rows
from radsynth.report.statistics import compare, replicate_rows
from radsynth.report.tidy import TESTED, Row
from radsynth.report.verdicts import verdict_rows


def rows(given: Given) -> dict[str, list[Row]]:
    """Return the rows of all tidy tables of the chapter."""
    comparisons = compare(given.evaluations, given.arms, given.study["seed"])
    of_labels = given.evaluations if given.task.of_labels else []  # the others have no such tables
    return {
        "classification": classification_rows(given.evaluations),
        "test_images": image_rows(given.measured),
        "predictions": prediction_rows(given.measured),
        "confusion": confusion_rows(of_labels),
        "roc_auc": roc_auc_rows(of_labels),
        "comparisons": comparisons,
        "verdicts": verdict_rows(comparisons, given.arms, given.once(cohorts_of), given.task),
        "mcnemar": mcnemar_rows(of_labels, given.arms),
        "replicates": replicate_rows(comparisons, given.arms, given.task),
    }


def classification_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of classification.csv."""
    return [
        evaluation.keys
        | {key: evaluation.report.get(key) for key in ("architecture", "weights", "backend")}
        | {"metric": metric, "value": value, "reason": evaluation.report["reasons"].get(metric)}
        for evaluation in evaluations
        for metric, value in evaluation.report["metrics"].items()
    ]


def confusion_rows(evaluations: Iterable[Evaluation]) -> list[Row]:
    """Return the rows of confusion.csv."""
    return [
        evaluation.keys | {"true_label": true, "predicted_label": predicted, "count": count}
        for evaluation in evaluations
        for true, counts in zip(evaluation.report["labels"], evaluation.report["confusion_matrix"], strict=True)
        for predicted, count in zip(evaluation.report["labels"], counts, strict=True)
    ]


def mcnemar_rows(evaluations: Iterable[Evaluation], arms: Arms) -> list[Row]:
    """Return the rows of mcnemar.csv: every run of a mix against the same run of its reference, image by image."""
    rows = []
    for tested, members in by_test(evaluations).items():
        found = {(*member.arm, member.testset): member for member in members}
        for question, mix, reference in arms.comparisons(tested[2]):
            for (classifier, of, run, testset), ours in found.items():
                theirs = found.get((classifier, reference, run, testset))
                if of != mix or theirs is None or ours.predictions.empty:
                    continue
                tested_images([ours, theirs])  # refuses different images
                sides = [side.predictions["predicted"] == side.predictions["label"] for side in (ours, theirs)]
                ours_alone, theirs_alone, p_value = mcnemar(*(side.to_numpy() for side in sides))
                row = dict(zip(TESTED, tested, strict=True)) | {"question": question, "classifier": classifier}
                row |= {"mix": mix, "reference": reference, "run": run, "testset": testset}
                row |= {"n_images": len(sides[0]), "n_groups": tested_images([ours])[testset]["group"].nunique()}
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
        true, _, scores, positive = label_indices(evaluation)
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
