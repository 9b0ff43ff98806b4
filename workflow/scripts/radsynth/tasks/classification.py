"""The task ``classification``: which label an image has, and what a classifier's probabilities are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsynth.tasks.resampling import resampled_metrics
from radsynth.tasks.task import IMAGE, Metric, Task, Values
from radsynth.tasks.thresholds import ONE_IN, is_called, threshold_of

RANKING = ("roc_auc", "pr_auc", "sensitivity_at_95_specificity_on_test")
AT_THRESHOLD = ("sensitivity_at_95_specificity", "specificity_at_that_threshold")
CALIBRATION = ("calibration_slope", "calibration_intercept")

# A training cohort counts as balanced up to this ratio of its most frequent label to its rarest.
BALANCED = 1.5
# With more than two labels these are averages over all of them.
MACRO = {"roc_auc": "macro ROC-AUC", "pr_auc": "macro PR-AUC"}
_MOVED = {"compared": True, "thresholded": True}


class Classification(Task):
    """Which of the study's labels an image has: probabilities, of which the largest decides."""

    name = "classification"
    loss = "cross_entropy"
    texts = (*IMAGE, "predicted")
    # What the paper reports, and what equal weights of the labels make of it.
    beside = ("accuracy", "balanced_accuracy", "f1_weighted")
    of_labels = True
    all_metrics = (
        Metric("accuracy", "accuracy", **_MOVED),
        Metric("balanced_accuracy", "balanced accuracy", **_MOVED),
        Metric("precision_weighted", "precision (weighted)"),
        Metric("recall_weighted", "recall (weighted)"),
        Metric("f1_weighted", "F1 (weighted)", **_MOVED),
        Metric("precision_positive", "precision ({class})"),
        Metric("f1_positive", "F1 ({class})", **_MOVED),
        Metric("recall_positive", "recall ({class})", **_MOVED),
        Metric("roc_auc", "ROC-AUC", compared=True),
        Metric("pr_auc", "PR-AUC ({class})", compared=True),
        Metric("sensitivity_at_95_specificity", "sensitivity ({class}) at 95 % specificity", compared=True),
        Metric("specificity_at_that_threshold", "specificity ({class}) at the same threshold"),
        Metric(
            "sensitivity_at_95_specificity_on_test",
            "sensitivity ({class}) at 95 % specificity, threshold read off the test set",
            compared=True,
        ),
        Metric("brier", "Brier score", higher=False),
        Metric("ece", "expected calibration error", higher=False),
        Metric("calibration_slope", "calibration slope"),
        Metric("calibration_intercept", "calibration intercept"),
    )

    @property
    def outputs(self) -> int:
        return len(self.labels)

    def targets(self, rows: pd.DataFrame) -> np.ndarray:
        return rows["label"].map(self.labels.index).to_numpy()

    def tuned(self, validation: pd.DataFrame, output: np.ndarray | None) -> dict[str, Any]:
        scores = None if output is None else output[:, self.labels.index(self.positive_label)]
        return {"threshold": threshold_of(validation, scores, self.positive_label)}

    def predictions(self, rows: pd.DataFrame, output: np.ndarray) -> pd.DataFrame:
        return predictions_table(rows, output, self.labels)

    def metrics(self, table: pd.DataFrame, tuned: Mapping[str, Any]) -> dict[str, Any]:
        threshold = tuned["threshold"]
        return evaluate(table, self.labels, self.positive_label, threshold["value"], threshold["reason"])

    def resampled(
        self, table: pd.DataFrame, report: Mapping[str, Any], groups: np.ndarray, counts: np.ndarray
    ) -> dict[str, np.ndarray]:
        true, predicted = (table[column].map(self.labels.index).to_numpy(int) for column in ("label", "predicted"))
        scores = table[[f"p_{label}" for label in self.labels]].to_numpy(float)
        positive = self.labels.index(self.positive_label)
        return resampled_metrics(true, predicted, scores, positive, groups, counts, report.get("threshold"))

    def headline(self, counts: Sequence[float]) -> str:
        """Return a metric that no threshold moves.

        ROC-AUC with two labels that are about as frequent in training, PR-AUC where one is rarer, the macro average of
        one-against-the-rest ROC-AUC with more labels.
        """
        return "pr_auc" if len(counts) == 2 and max(counts) > BALANCED * min(counts) else "roc_auc"

    def titles(self) -> dict[str, str]:
        return super().titles() | (MACRO if len(self.labels) > 2 else {})


def predictions_table(test: pd.DataFrame, probabilities: np.ndarray, labels: list[str]) -> pd.DataFrame:
    """Return one row per test image: image_id, label, patient_id, predicted, and ``p_{label}`` per label.

    ``probabilities`` are (n, n_labels), columns in the order of ``labels``; ties go to the first label.
    """
    table = test[["image_id", "label", "patient_id"]].reset_index(drop=True)
    table["predicted"] = np.array(labels)[probabilities.argmax(axis=1)]
    for index, label in enumerate(labels):
        table[f"p_{label}"] = probabilities[:, index]
    return table


def evaluate(
    table: pd.DataFrame,
    labels: list[str],
    positive_label: str,
    threshold: float | None = None,
    threshold_reason: str = "no threshold from validation images",
) -> dict[str, Any]:
    """Return counts, metrics, the reasons of undefined ones, the confusion matrix (rows: true label), and by label.

    ``table`` comes from ``predictions_table``; it may lack a label or be empty. ``threshold`` is what
    ``choose_threshold`` found on validation images, ``threshold_reason`` why there is none.

    Weighted averages weigh each label by its number of test images, balanced accuracy (the mean recall) all alike.
    PR-AUC is the average precision; with more than two labels, ROC-AUC and PR-AUC are macro averages of one against
    the rest. Sensitivity at 95 % specificity is that at the threshold, beside it the specificity at it; ``_on_test``
    is the largest that any threshold reaches on these very images while at most 5 % of the rest are called, which is
    too optimistic; no threshold divides images of equal probability. Brier score, expected calibration error (two
    labels: of the positive label's probability, more: of the largest one), and slope and intercept of the calibration
    (two labels) are those of ``tasks.calibration``.
    ``per_label`` holds the share of each label's images that is recognised and the mean probability of that label.
    A metric whose denominator is zero is None, never 0: precision where a label is never predicted, recall where
    it does not occur, F1 = 2 TP / (2 TP + FP + FN) where both hold, those of the ranking, balanced accuracy, and slope
    and intercept where a label is missing, and all without images.
    """
    true, predicted = (np.array([labels.index(x) for x in table[column]], int) for column in ("label", "predicted"))
    probabilities = table[[f"p_{label}" for label in labels]].to_numpy(float)
    positive = labels.index(positive_label)
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (true, predicted), 1)
    found = (
        _decisions(confusion, labels, positive)
        | _ranking(true, probabilities, labels, positive)
        | _at_threshold(true == positive, probabilities[:, positive], positive_label, threshold, threshold_reason)
        | _calibration(true, probabilities, labels, positive)
    )
    return Classification(labels, positive_label).report(
        found,
        threshold=threshold,
        n=dict(zip(labels, confusion.sum(axis=1).tolist(), strict=True)),
        confusion_matrix=confusion.tolist(),
        per_label=_per_label(true, predicted, probabilities, labels),
    )


def _no_image(labels: list[str]) -> str:
    return f"the test set has no image of {', '.join(labels)}"


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _decisions(confusion: np.ndarray, labels: list[str], positive: int) -> Values:
    """Return what the predicted labels are worth."""
    hits, support, claimed = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    n, occurs = support.sum(), support > 0
    scores = {
        "precision": _ratio(hits, claimed),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + claimed),
    }
    missing = [label for label, count in zip(labels, support, strict=True) if not count]
    found: Values = {
        "accuracy": hits.sum() / n if n else _no_image(labels),
        "balanced_accuracy": _no_image(missing) if missing else scores["recall"].mean(),
    }
    for name, values in scores.items():
        found[f"{name}_weighted"] = values[occurs] @ support[occurs] / n if n else _no_image(labels)
    for name, values in scores.items():
        found[f"{name}_positive"] = values[positive]
    never = ", ".join(np.array(labels)[occurs & (claimed == 0)])
    why = {
        "precision_weighted": f"never predicted: {never}",
        "precision_positive": f"never predicted: {labels[positive]}",
        "recall_positive": _no_image([labels[positive]]),
        "f1_positive": f"neither in the test set nor predicted: {labels[positive]}",
    }
    undefined = [name for name, value in found.items() if not isinstance(value, str) and np.isnan(value)]
    return found | {name: why[name] for name in undefined}


def _ranking(true: np.ndarray, probabilities: np.ndarray, labels: list[str], positive: int) -> Values:
    """Return what the order of the probabilities is worth. More than two labels: see ``evaluate``."""
    missing = [label for index, label in enumerate(labels) if not (true == index).any()]
    if missing:
        return dict.fromkeys(RANKING, _no_image(missing))
    averaged = [positive] if len(labels) == 2 else list(range(len(labels)))
    curves = [_curve(true == label, probabilities[:, label]) for label in averaged]
    area, precision, _ = np.mean(curves, axis=0)
    return dict(zip(RANKING, (area, precision, curves[averaged.index(positive)][2]), strict=True))


def _curve(own: np.ndarray, score: np.ndarray) -> tuple[float, float, float]:
    """Return ROC-AUC, average precision and sensitivity at 95 % specificity of one label (``own``), which occurs.

    The curves have one point per distinct score.
    """
    order = np.argsort(-score, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    hits = own[order].cumsum()[last_of_ties]
    claimed = last_of_ties + 1
    alarms = claimed - hits
    n_own, n_rest = hits[-1], alarms[-1]
    new_hits, new_alarms = np.diff(hits, prepend=0), np.diff(alarms, prepend=0)
    area = ((hits - new_hits / 2) * new_alarms).sum() / (n_own * n_rest)
    precision = (new_hits * hits / claimed).sum() / n_own
    return area, precision, hits[ONE_IN * alarms <= n_rest].max(initial=0) / n_own


def _at_threshold(
    own: np.ndarray, score: np.ndarray, positive_label: str, threshold: float | None, reason: str
) -> Values:
    if threshold is None:
        return dict.fromkeys(AT_THRESHOLD, reason)
    called = is_called(score, threshold)
    sensitivity = called[own].mean() if own.any() else _no_image([positive_label])
    specificity = 1 - called[~own].mean() if not own.all() else f"the test set has no image outside {positive_label}"
    return dict(zip(AT_THRESHOLD, (sensitivity, specificity), strict=True))


def _calibration(true: np.ndarray, probabilities: np.ndarray, labels: list[str], positive: int) -> Values:
    from radsynth.tasks.calibration import brier, calibration_line, expected_calibration_error  # not while planning

    if not len(true):
        return dict.fromkeys(("brier", "ece", *CALIBRATION), _no_image(labels))
    found: Values = {"brier": brier(true, probabilities)}
    if len(labels) > 2:
        top = probabilities.argmax(axis=1)
        found["ece"] = expected_calibration_error(true == top, probabilities.max(axis=1))
        return found | dict.fromkeys(CALIBRATION, "defined for two labels")
    event, probability = true == positive, probabilities[:, positive]
    found["ece"] = expected_calibration_error(event, probability)
    return found | calibration_line(event, probability)


def _per_label(
    true: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, labels: list[str]
) -> dict[str, dict[str, Any]]:
    """Return for the images of each label how many are recognised, and the mean probability given to it."""
    found = {}
    for index, label in enumerate(labels):
        own = true == index
        found[label] = {"n": int(own.sum()), "recall": None, "mean_confidence": None, "reason": ""}
        if own.any():
            found[label]["recall"] = float((predicted[own] == index).mean())
            found[label]["mean_confidence"] = float(probabilities[own, index].mean())
        else:
            found[label]["reason"] = _no_image([label])
    return found
