"""Metrics against cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from radsynth.tasks.classification import AT_THRESHOLD, CALIBRATION, RANKING, evaluate, predictions_table
from radsynth.tasks.thresholds import choose_threshold
from sklearn import metrics as peer

LABELS = ["NORMAL", "PNEUMONIA"]
DECISIONS = ("accuracy", "balanced_accuracy", "precision_", "recall_", "f1_")


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
    assert result["reasons"] == dict.fromkeys(AT_THRESHOLD, "no threshold from validation images")
    decisions = {name: value for name, value in result["metrics"].items() if name.startswith(DECISIONS)}
    assert len(decisions) == 8 and decisions == pytest.approx(dict.fromkeys(decisions, 2 / 3))
    # Precision at the three positives: 1/1, 2/2, 3/4. Two of three positives rank above the first negative.
    ranking = {name: result["metrics"][name] for name in RANKING}
    assert ranking == pytest.approx(dict(zip(RANKING, (8 / 9, (1 + 1 + 3 / 4) / 3, 2 / 3), strict=True)))
    assert result["metrics"]["brier"] == pytest.approx((0.01 + 0.04 + 0.36 + 0.36 + 0.04 + 0.01) / 6)
    assert result["metrics"]["ece"] == pytest.approx((0.1 + 0.2 + 0.6 + 0.6 + 0.2 + 0.1) / 6)
    assert result["metrics"]["calibration_intercept"] == pytest.approx(0, abs=1e-6)


def test_weights_are_the_numbers_of_images():
    # NORMAL: 8 images, 6 right; PNEUMONIA: 2 images, 1 right. Predicted 7 and 3.
    truth, probabilities = [0] * 8 + [1] * 2, [0.1] * 6 + [0.9] * 2 + [0.8, 0.3]
    metrics = evaluate(table(truth, probabilities), LABELS, "PNEUMONIA")["metrics"]
    assert metrics["accuracy"] == metrics["recall_weighted"] == pytest.approx(0.7)
    assert metrics["balanced_accuracy"] == pytest.approx((6 / 8 + 1 / 2) / 2)
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
    undefined = {"precision_positive", "recall_positive", "f1_positive", "balanced_accuracy"}
    undefined |= {*RANKING, *AT_THRESHOLD, *CALIBRATION}
    assert set(result["reasons"]) == undefined
    assert {name for name, value in result["metrics"].items() if value is None} == undefined
    assert result["metrics"]["precision_weighted"] == result["metrics"]["accuracy"] == 1.0
    assert all("PNEUMONIA" in result["reasons"][name] for name in (*RANKING, "balanced_accuracy"))
    assert result["metrics"]["brier"] == pytest.approx((0.09 + 0.04 + 0.01) / 3)
    assert result["metrics"]["ece"] == pytest.approx(0.2)
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
def test_sensitivity_at_95_percent_specificity_on_test_by_hand(n_negative, above, expected):
    """Positives at .9, .8, .6, .1; ``above`` negatives lie between .8 and .6, the others between .6 and .1."""
    negatives = [0.7 + 0.01 * k for k in range(above)] + [0.3] * (n_negative - above)
    predictions = table([1] * 4 + [0] * n_negative, [0.9, 0.8, 0.6, 0.1, *negatives])
    assert evaluate(predictions, LABELS, "PNEUMONIA")["metrics"]["sensitivity_at_95_specificity_on_test"] == expected


def test_a_threshold_cannot_divide_ties():
    """A positive at the score of two of 20 negatives is out of reach; nothing at all is when the top is a tie."""
    middle = table([1, 1] + [0] * 20, [0.9, 0.5, 0.5, 0.5, *[0.1] * 18])
    assert evaluate(middle, LABELS, "PNEUMONIA")["metrics"]["sensitivity_at_95_specificity_on_test"] == 1 / 2
    top = evaluate(table([1, 1] + [0] * 20, [0.5, 0.5, 0.5, 0.5, *[0.1] * 18]), LABELS, "PNEUMONIA")["metrics"]
    assert top["sensitivity_at_95_specificity_on_test"] == 0
    assert top["pr_auc"] == 2 / 4  # the four are claimed together
    assert top["roc_auc"] == pytest.approx((18 + 2 / 2) / 20)


def test_the_threshold_comes_from_elsewhere_and_its_specificity_stands_beside():
    """At .6: two of three positives, one of them at the threshold itself, and one false alarm of four."""
    predictions = table([1, 1, 1, 0, 0, 0, 0], [0.9, 0.6, 0.5, 0.7, 0.5, 0.2, 0.1])
    result = evaluate(predictions, LABELS, "PNEUMONIA", 0.6)
    assert [result["metrics"][name] for name in AT_THRESHOLD] == [pytest.approx(2 / 3), 3 / 4]
    assert result["threshold"] == 0.6 and result["reasons"] == {}
    # The test set itself would have chosen another one.
    assert result["metrics"]["sensitivity_at_95_specificity_on_test"] == pytest.approx(1 / 3)
    # Of the other label: p_NORMAL is .6 or more for two of its four images and for none of the rest.
    swapped = evaluate(predictions, LABELS, "NORMAL", 0.6)["metrics"]
    assert [swapped[name] for name in AT_THRESHOLD] == [2 / 4, 1.0]


def test_without_a_threshold_its_reason_is_given():
    reason = "validation: images, of the patients that the classifier learned from"
    result = evaluate(table([1, 0], [0.9, 0.1]), LABELS, "PNEUMONIA", None, reason)
    assert {name: result["reasons"][name] for name in AT_THRESHOLD} == dict.fromkeys(AT_THRESHOLD, reason)
    assert result["threshold"] is None and result["metrics"]["sensitivity_at_95_specificity_on_test"] == 1


def test_the_threshold_of_validation_images_gives_no_more_than_the_test_set_s_own():
    """On the images that it was chosen on, both are the same; on others of their kind its specificity is near .95."""
    rng = np.random.default_rng(0)

    def draw(n):
        truth = rng.integers(0, 2, n)
        return table(truth.tolist(), np.clip(rng.normal(0.4 + 0.2 * truth, 0.15), 0, 1))

    validation, test = draw(4000), draw(4000)
    threshold, _ = choose_threshold(validation["label"] == "PNEUMONIA", validation["p_PNEUMONIA"])
    own = evaluate(validation, LABELS, "PNEUMONIA", threshold)["metrics"]
    assert own["sensitivity_at_95_specificity"] == own["sensitivity_at_95_specificity_on_test"]
    other = evaluate(test, LABELS, "PNEUMONIA", threshold)["metrics"]
    assert other["specificity_at_that_threshold"] == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("truth", [[], [0], [1], [0, 0, 0], [1, 1, 1]])
@pytest.mark.parametrize("threshold", [None, 0.5])
@pytest.mark.filterwarnings("error")
def test_few_or_no_images_give_reasons_never_errors(truth, threshold):
    """Each metric has either a number or a reason; without images all have a reason."""
    predictions = table(truth, np.full(len(truth), 0.6))
    result = evaluate(predictions, LABELS, "PNEUMONIA", threshold)
    undefined = {name for name, value in result["metrics"].items() if value is None}
    assert undefined == set(result["reasons"]) and all(result["reasons"].values())
    assert all(np.isfinite(value) for value in result["metrics"].values() if value is not None)
    assert result["n"] == {"NORMAL": truth.count(0), "PNEUMONIA": truth.count(1)}
    if not truth:
        assert undefined == set(result["metrics"])
        assert result["reasons"]["accuracy"] == "the test set has no image of NORMAL, PNEUMONIA"
    elif threshold:
        missing, defined = AT_THRESHOLD if truth[0] == 0 else AT_THRESHOLD[::-1]
        assert missing in undefined and result["metrics"][defined] == truth[0]


def test_an_empty_test_set_of_three_labels():
    result = evaluate(table([], np.empty((0, 3)), ["a", "b", "c"]), ["a", "b", "c"], "b", 0.5)
    assert set(result["reasons"]) == set(result["metrics"])


@pytest.mark.parametrize("n_labels", [2, 3])
def test_metrics_are_those_of_scikit_learn(n_labels):
    rng = np.random.default_rng(n_labels)
    labels = ["a", "b", "c"][:n_labels]
    truth = rng.integers(0, n_labels, 400)
    # Rounded, so that there are ties.
    probabilities = np.round(rng.dirichlet(np.ones(n_labels), 400) + np.eye(n_labels)[truth], 1) / 2
    predictions = table(truth.tolist(), probabilities, labels)
    true, predicted = predictions["label"], predictions["predicted"]
    metrics = evaluate(predictions, labels, "b")["metrics"]
    expected = {
        "accuracy": peer.accuracy_score(true, predicted),
        "balanced_accuracy": peer.balanced_accuracy_score(true, predicted),
    }
    for name in ("precision", "recall", "f1"):
        score = getattr(peer, f"{name}_score")
        expected[f"{name}_weighted"] = score(true, predicted, average="weighted")
        expected[f"{name}_positive"] = score(true, predicted, labels=["b"], average="macro")
    for name, score in (("roc_auc", peer.roc_auc_score), ("pr_auc", peer.average_precision_score)):
        averaged = labels if n_labels > 2 else ["b"]
        expected[name] = np.mean([score(true == label, predictions[f"p_{label}"]) for label in averaged])
    false_alarms, hits, _ = peer.roc_curve(true == "b", predictions["p_b"], drop_intermediate=False)
    expected["sensitivity_at_95_specificity_on_test"] = hits[false_alarms <= 0.05 + 1e-9].max()
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_calibration_of_more_than_two_labels():
    """The error of the largest probability: .8 and .6, both right, .5, wrong. Slope and intercept are for two."""
    labels = ["a", "b", "c"]
    result = evaluate(table([0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.5, 0.3, 0.2]], labels), labels, "b")
    assert result["metrics"]["ece"] == pytest.approx((0.2 + 0.4 + 0.5) / 3)
    assert result["metrics"]["brier"] == pytest.approx((0.06 + 0.24 + 0.98) / 3)
    assert {name: result["reasons"][name] for name in CALIBRATION} == dict.fromkeys(
        CALIBRATION, "defined for two labels"
    )


def test_saturated_probabilities_have_a_calibration():
    """Exactly 0 or 1 in single precision, one of four wrong on either side."""
    metrics = evaluate(table([0, 0, 0, 1, 1, 1, 1, 0], [0.0] * 4 + [1.0] * 4), LABELS, "PNEUMONIA")["metrics"]
    assert metrics["calibration_slope"] == pytest.approx(np.log(3) / np.log((1 - 1e-6) / 1e-6))
    assert (metrics["brier"], metrics["ece"]) == (1 / 4, 1 / 4)


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
