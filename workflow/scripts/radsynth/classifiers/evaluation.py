"""What a classifier's probabilities are worth on a test set."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score


def predictions_table(test: pd.DataFrame, probabilities: np.ndarray, labels: list[str]) -> pd.DataFrame:
    """Return one row per test image: image_id, label, patient_id, predicted, and ``p_{label}`` per label.

    ``probabilities`` are (n, n_labels), columns in the order of ``labels``; ties go to the first label.
    """
    table = test[["image_id", "label", "patient_id"]].reset_index(drop=True)
    table["predicted"] = np.array(labels)[probabilities.argmax(axis=1)]
    for index, label in enumerate(labels):
        table[f"p_{label}"] = probabilities[:, index]
    return table


def _roc_auc(truth: pd.Series, table: pd.DataFrame, labels: list[str], positive_label: str) -> tuple[float | None, str]:
    """Return the area and "", or None and the reason. More than two labels: macro average of one against the rest."""
    missing = [label for label in labels if not (truth == label).any()]
    if missing:
        return None, f"the test set has no image of {', '.join(missing)}"
    chosen = [positive_label] if len(labels) == 2 else labels
    return float(np.mean([roc_auc_score(truth == label, table[f"p_{label}"]) for label in chosen])), ""


def evaluate(table: pd.DataFrame, labels: list[str], positive_label: str) -> dict[str, Any]:
    """Return counts, metrics, the reasons of undefined ones, and the confusion matrix (rows: true label).

    ``table`` comes from ``predictions_table``. Weighted averages weigh each label by its number of test images.
    A metric whose denominator is zero is None, never 0: precision where a label is never predicted, recall where
    it does not occur, F1 = 2 TP / (2 TP + FP + FN) where both hold, ROC-AUC where a label is missing.
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
    metrics["roc_auc"], reason = _roc_auc(truth, table, labels, positive_label)
    if reason:
        reasons["roc_auc"] = reason
    return {
        "labels": labels,
        "positive_label": positive_label,
        "n": {label: int(count) for label, count in zip(labels, support, strict=True)},
        "metrics": metrics,
        "reasons": reasons,
        "confusion_matrix": confusion_matrix(truth, predicted, labels=labels).tolist(),
    }
