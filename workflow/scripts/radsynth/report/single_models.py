"""What single trained models are worth, and how two of them differ; images are taken as independent."""

from collections.abc import Iterable
from typing import Any

from scipy import stats

from radsynth.report.arms import CORRECTED, Arms
from radsynth.report.evaluations import Evaluation, by_test, label_indices, tested_images
from radsynth.report.inference import TAIL, delong, mcnemar
from radsynth.report.tidy import TESTED

Row = dict[str, Any]


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
