"""Metrics against cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from radsynth.classifiers.evaluation import RANKING, evaluate, predictions_table

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
    ranking = {name: result["metrics"].pop(name) for name in RANKING}
    # Precision at the three positives: 1/1, 2/2, 3/4. Two of three positives rank above the first negative.
    expected = {"roc_auc": 8 / 9, "pr_auc": (1 + 1 + 3 / 4) / 3, "sensitivity_at_95_specificity": 2 / 3}
    assert ranking == pytest.approx(expected)
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
    undefined = {"precision_positive", "recall_positive", "f1_positive", *RANKING}
    assert set(result["reasons"]) == undefined
    assert {name for name, value in result["metrics"].items() if value is None} == undefined
    assert result["metrics"]["precision_weighted"] == result["metrics"]["accuracy"] == 1.0
    assert all("PNEUMONIA" in result["reasons"][name] for name in RANKING)
    assert result["per_label"]["NORMAL"] == {"n": 3, "recall": 1.0, "mean_confidence": pytest.approx(0.8), "reason": ""}
    missing = {"n": 0, "recall": None, "mean_confidence": None, "reason": "the test set has no image of PNEUMONIA"}
    assert result["per_label"]["PNEUMONIA"] == missing


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
    assert result["metrics"]["pr_auc"] == pytest.approx(1.0)
    # In the order of p_a the two images of a stand at 1 and 4, that of b at 2 in p_b, that of c at 1 in p_c.
    assert evaluate(table([0, 0, 1, 2], swapped, labels), labels, "b")["metrics"]["pr_auc"] == pytest.approx(
        np.mean([(1 / 1 + 2 / 4) / 2, 1 / 2, 1.0])
    )


@pytest.mark.parametrize(
    ("n_negative", "above", "expected"),
    [
        (20, 1, 3 / 4),  # one false alarm of 20 is 5 %: the threshold may fall to just above the second negative
        (19, 1, 2 / 4),  # one of 19 is more than 5 %
        (40, 2, 3 / 4),
        (39, 2, 2 / 4),
    ],
)
def test_sensitivity_at_95_percent_specificity_by_hand(n_negative, above, expected):
    """Positives at .9, .8, .6, .1; ``above`` negatives lie between .8 and .6, the others between .6 and .1."""
    negatives = [0.7 + 0.01 * k for k in range(above)] + [0.3] * (n_negative - above)
    predictions = table([1] * 4 + [0] * n_negative, [0.9, 0.8, 0.6, 0.1, *negatives])
    assert evaluate(predictions, LABELS, "PNEUMONIA")["metrics"]["sensitivity_at_95_specificity"] == expected


def test_a_threshold_cannot_divide_ties():
    """A positive at the score of two of 20 negatives is out of reach; nothing at all is when the top is a tie."""
    middle = table([1, 1] + [0] * 20, [0.9, 0.5, 0.5, 0.5, *[0.1] * 18])
    assert evaluate(middle, LABELS, "PNEUMONIA")["metrics"]["sensitivity_at_95_specificity"] == 1 / 2
    top = evaluate(table([1, 1] + [0] * 20, [0.5, 0.5, 0.5, 0.5, *[0.1] * 18]), LABELS, "PNEUMONIA")["metrics"]
    assert top["sensitivity_at_95_specificity"] == 0
    assert top["pr_auc"] == 2 / 4  # the four are claimed together
    assert top["roc_auc"] == pytest.approx((18 + 2 / 2) / 20)


def test_recognition_per_label_by_hand():
    result = evaluate(table([1, 1, 1, 0], [0.9, 0.6, 0.3, 0.2]), LABELS, "PNEUMONIA")["per_label"]
    assert result["PNEUMONIA"] == {
        "n": 3,
        "recall": pytest.approx(2 / 3),
        "mean_confidence": pytest.approx(0.6),
        "reason": "",
    }
    assert result["NORMAL"]["mean_confidence"] == pytest.approx(0.8)


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
