"""Metrics against cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from radsynth.classifiers.evaluation import evaluate, predictions_table

LABELS = ["NORMAL", "PNEUMONIA"]


def table(truth: list[int], probabilities: list, labels=LABELS) -> pd.DataFrame:
    """``probabilities``: of the second label, or a row per image."""
    values = np.array(probabilities, dtype=np.float32)
    values = np.stack([1 - values, values], axis=1) if values.ndim == 1 else values
    test = pd.DataFrame(
        {"image_id": [f"i{k}" for k in range(len(truth))], "label": np.array(labels)[truth], "patient_id": ""}
    )
    return predictions_table(test, values, labels)


def test_metrics_worked_out_by_hand():
    # TP = 2, FN = 1, FP = 1, TN = 2 and 8 of the 9 pairs in the right order.
    result = evaluate(table([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.4, 0.6, 0.2, 0.1]), LABELS, "PNEUMONIA")
    assert result["confusion_matrix"] == [[2, 1], [1, 2]]
    assert result["n"] == {"NORMAL": 3, "PNEUMONIA": 3}
    assert result["reasons"] == {}
    assert result["metrics"].pop("roc_auc") == pytest.approx(8 / 9)
    assert result["metrics"] == pytest.approx(dict.fromkeys(result["metrics"], 2 / 3))


def test_weights_are_the_numbers_of_images():
    # NORMAL: 8 images, 6 right; PNEUMONIA: 2 images, 1 right. Predicted 7 and 3.
    truth, probabilities = [0] * 8 + [1] * 2, [0.1] * 6 + [0.9] * 2 + [0.8, 0.3]
    metrics = evaluate(table(truth, probabilities), LABELS, "PNEUMONIA")["metrics"]
    assert metrics["accuracy"] == metrics["recall_weighted"] == pytest.approx(0.7)
    assert metrics["precision_weighted"] == pytest.approx(0.8 * 6 / 7 + 0.2 * 1 / 3)
    assert metrics["f1_weighted"] == pytest.approx(0.8 * 12 / 15 + 0.2 * 2 / 5)
    assert metrics["precision_positive"] == pytest.approx(1 / 3)
    assert metrics["recall_positive"] == pytest.approx(1 / 2)
    assert metrics["f1_positive"] == pytest.approx(2 / 5)


def test_the_positive_label_need_not_be_the_last():
    predictions = table([1, 1, 0, 0], [0.9, 0.6, 0.7, 0.1])
    metrics = evaluate(predictions, LABELS, "NORMAL")["metrics"]
    assert (metrics["precision_positive"], metrics["recall_positive"]) == (1.0, 0.5)
    assert metrics["roc_auc"] == evaluate(predictions, LABELS, "PNEUMONIA")["metrics"]["roc_auc"] == 0.75


def test_a_label_that_is_never_predicted_has_no_precision():
    result = evaluate(table([1, 1, 0, 0], [0.3, 0.2, 0.1, 0.1]), LABELS, "PNEUMONIA")
    assert result["metrics"]["precision_positive"] is result["metrics"]["precision_weighted"] is None
    assert result["reasons"]["precision_weighted"] == "never predicted: PNEUMONIA"
    assert result["metrics"]["recall_positive"] == result["metrics"]["f1_positive"] == 0.0
    assert result["metrics"]["roc_auc"] == 1.0


def test_a_single_class_test_set_has_neither_auc_nor_recall_of_the_missing_label():
    result = evaluate(table([0, 0, 0], [0.3, 0.2, 0.1]), LABELS, "PNEUMONIA")
    undefined = {"precision_positive", "recall_positive", "f1_positive", "roc_auc"}
    assert set(result["reasons"]) == undefined
    assert {name for name, value in result["metrics"].items() if value is None} == undefined
    assert result["metrics"]["precision_weighted"] == result["metrics"]["accuracy"] == 1.0
    assert "PNEUMONIA" in result["reasons"]["roc_auc"]


def test_more_than_two_labels_average_one_against_the_rest():
    labels = ["a", "b", "c"]
    probabilities = [[0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]
    result = evaluate(table([0, 0, 1, 2], probabilities, labels), labels, "b")
    assert result["metrics"]["roc_auc"] == pytest.approx(1.0)
    swapped = [probabilities[k] for k in (0, 2, 1, 3)]  # pairs in order: a 2 of 4, b 2 of 3, c 3 of 3
    assert evaluate(table([0, 0, 1, 2], swapped, labels), labels, "b")["metrics"]["roc_auc"] == pytest.approx(
        np.mean([2 / 4, 2 / 3, 1.0])
    )
    assert result["confusion_matrix"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_chance_level():
    rng = np.random.default_rng(0)
    metrics = evaluate(table(rng.integers(0, 2, 4000).tolist(), rng.random(4000)), LABELS, "PNEUMONIA")["metrics"]
    assert metrics["accuracy"] == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    assert metrics["roc_auc"] == pytest.approx(0.5, abs=4 / (12 * 1000) ** 0.5)


def test_predictions_keep_ids_and_probabilities():
    predictions = table([1, 0], [0.75, 0.25])
    assert list(predictions) == ["image_id", "label", "patient_id", "predicted", "p_NORMAL", "p_PNEUMONIA"]
    assert predictions["predicted"].tolist() == ["PNEUMONIA", "NORMAL"]
    assert predictions["p_PNEUMONIA"].tolist() == [0.75, 0.25]
