"""How the metrics of the classifiers are called, in every table, figure and sentence."""

from radsynth.report.tidy import Metrics, study_facts

# {class} is the positive label: the class that a metric is about.
NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision_weighted": "precision (weighted)",
    "recall_weighted": "recall (weighted)",
    "f1_weighted": "F1 (weighted)",
    "precision_positive": "precision ({class})",
    "recall_positive": "recall ({class})",
    "f1_positive": "F1 ({class})",
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC ({class})",
    "sensitivity_at_95_specificity": "sensitivity ({class}) at 95 % specificity",
    "specificity_at_that_threshold": "specificity ({class}) at the same threshold",
    "sensitivity_at_95_specificity_on_test": (
        "sensitivity ({class}) at 95 % specificity, threshold read off the test set"
    ),
    "brier": "Brier score",
    "ece": "expected calibration error",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
}
# With more than two labels these are averages over all of them.
MACRO = {"roc_auc": "macro ROC-AUC", "pr_auc": "macro PR-AUC"}
# What stands beside the headline metric: what the paper reports, and what equal weights of the labels make of it.
BESIDE = ("accuracy", "balanced_accuracy", "f1_weighted")


def metric_names(metrics: Metrics) -> dict[str, str]:
    """Return the names of all metrics for a study, with the class that each is about."""
    facts = study_facts(metrics)
    positive = facts.get("positive_label", "positive label")
    many = facts.get("labels", "").count(", ") > 1
    return {name: text.replace("{class}", positive) for name, text in (NAMES | (MACRO if many else {})).items()}


def capitalised(text: str) -> str:
    """Return a text with a capital first letter, the others as they are."""
    return text[:1].upper() + text[1:]
