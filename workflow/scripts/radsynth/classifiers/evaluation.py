"""What a classifier's probabilities are worth on a test set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

SPECIFICITY = 0.95
RANKING = ("roc_auc", "pr_auc", "sensitivity_at_95_specificity")


def predictions_table(test: pd.DataFrame, probabilities: np.ndarray, labels: list[str]) -> pd.DataFrame:
    """Return one row per test image: image_id, label, patient_id, predicted, and ``p_{label}`` per label.

    ``probabilities`` are (n, n_labels), columns in the order of ``labels``; ties go to the first label.
    """
    table = test[["image_id", "label", "patient_id"]].reset_index(drop=True)
    table["predicted"] = np.array(labels)[probabilities.argmax(axis=1)]
    for index, label in enumerate(labels):
        table[f"p_{label}"] = probabilities[:, index]
    return table


def _ranking(truth: pd.Series, table: pd.DataFrame, labels: list[str], positive_label: str) -> dict[str, float]:
    """Return what the order of the probabilities is worth. More than two labels: see ``evaluate``."""
    averaged = [positive_label] if len(labels) == 2 else labels

    def mean(score: Callable[[pd.Series, pd.Series], float]) -> float:
        return float(np.mean([score(truth == label, table[f"p_{label}"]) for label in averaged]))

    false_alarms, hits, _ = roc_curve(truth == positive_label, table[f"p_{positive_label}"], drop_intermediate=False)
    n_rest = int((truth != positive_label).sum())
    enough = np.rint(false_alarms * n_rest) <= (1 - SPECIFICITY) * n_rest + 1e-9  # counted in whole images
    return {
        "roc_auc": mean(roc_auc_score),
        "pr_auc": mean(average_precision_score),
        "sensitivity_at_95_specificity": float(hits[enough].max()),
    }


def _per_label(truth: pd.Series, table: pd.DataFrame, labels: list[str]) -> dict[str, dict[str, Any]]:
    """Return for the images of each label how many are recognised, and the mean probability given to it."""
    found = {}
    for label in labels:
        images = table[truth == label]
        found[label] = {"n": len(images), "recall": None, "mean_confidence": None, "reason": ""}
        if images.empty:
            found[label]["reason"] = f"the test set has no image of {label}"
        else:
            found[label]["recall"] = float((images["predicted"] == label).mean())
            found[label]["mean_confidence"] = float(images[f"p_{label}"].mean())
    return found


def evaluate(table: pd.DataFrame, labels: list[str], positive_label: str) -> dict[str, Any]:
    """Return counts, metrics, the reasons of undefined ones, the confusion matrix (rows: true label), and by label.

    ``table`` comes from ``predictions_table``. Weighted averages weigh each label by its number of test images.
    PR-AUC is the average precision; with more than two labels, ROC-AUC and PR-AUC are macro averages of one against
    the rest. Sensitivity at 95 % specificity is the largest that a threshold reaches on these very images while at
    most 5 % of the rest lie above it; a threshold cannot divide images of equal probability.
    ``per_label`` holds the share of each label's images that is recognised and the mean probability of that label.
    A metric whose denominator is zero is None, never 0: precision where a label is never predicted, recall where
    it does not occur, F1 = 2 TP / (2 TP + FP + FN) where both hold, those of the ranking where a label is missing.
    """
    truth, predicted = table["label"], table["predicted"]
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=labels, average=None, zero_division=np.nan
    )
    positive, occurs = labels.index(positive_label), support > 0
    metrics: dict[str, float | None] = {"accuracy": float((truth == predicted).mean())}
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        metrics[f"{name}_weighted"] = float(np.average(values[occurs], weights=support[occurs]))
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        metrics[f"{name}_positive"] = float(values[positive])
    never = ", ".join(np.array(labels)[occurs & np.isnan(precision)])
    why = {
        "precision_weighted": f"never predicted: {never}",
        "precision_positive": f"never predicted: {positive_label}",
        "recall_positive": f"the test set has no image of {positive_label}",
        "f1_positive": f"neither in the test set nor predicted: {positive_label}",
    }
    reasons = {name: why[name] for name, value in metrics.items() if np.isnan(value)}
    metrics.update(dict.fromkeys(reasons))
    missing = [label for label, count in zip(labels, support, strict=True) if not count]
    if missing:
        reasons |= dict.fromkeys(RANKING, f"the test set has no image of {', '.join(missing)}")
        metrics |= dict.fromkeys(RANKING)
    else:
        metrics |= _ranking(truth, table, labels, positive_label)
    return {
        "labels": labels,
        "positive_label": positive_label,
        "n": {label: int(count) for label, count in zip(labels, support, strict=True)},
        "metrics": metrics,
        "reasons": reasons,
        "confusion_matrix": confusion_matrix(truth, predicted, labels=labels).tolist(),
        "per_label": _per_label(truth, table, labels),
    }
