"""Thresholds for a specificity of 95 %, set on validation images and applied to test images."""

from typing import Any

import numpy as np
import pandas as pd

# 95 % specificity in whole images: at most one false alarm among 20 images of the other labels.
ONE_IN = 20


def is_called(score: np.ndarray, threshold: float) -> np.ndarray:
    """Return which images are called positive: those whose probability is the threshold or larger.

    Both are compared in single precision, the classifiers' own, so that predictions read back from their table give
    the same answer.
    """
    return np.asarray(score, np.float32) >= np.float32(threshold)


def choose_threshold(positive: np.ndarray, score: np.ndarray) -> tuple[float | None, str]:
    """Return the smallest threshold at which at most 5 % of the negatives are called positive, and "".

    ``positive`` says which validation images belong to the positive label (n,), ``score`` is their probability of it;
    for ``is_called``. With fewer than 20 negatives, of which not even one may be a false alarm: None and the reason.
    A threshold above 1 calls no image positive: more than 5 % of the negatives have probability 1.

    This is the empirical quantile of the negatives' scores, and the sensitivity at it belongs to the operating point
    fixed beforehand that the evaluation of diagnostic tests asks for (Pepe 2003, The Statistical Evaluation of Medical
    Tests for Classification and Prediction, ch. 4). Of new negatives, (k + 1) / (n + 1) are expected to be called
    positive if k of the n may be here: the specificity reached is to be reported beside.
    """
    negatives = np.sort(np.asarray(score, np.float32)[~np.asarray(positive, bool)])[::-1]
    if len(negatives) < ONE_IN:
        count = f"{len(negatives)} validation image{'s' * (len(negatives) != 1)} outside the positive label"
        return None, f"{count}, a threshold for 95 % specificity needs at least {ONE_IN}"
    first_not_called = negatives[len(negatives) // ONE_IN]
    return float(np.nextafter(first_not_called, np.float32(np.inf))), ""


def threshold_of(validation: pd.DataFrame, score: np.ndarray | None, positive_label: str) -> dict[str, Any]:
    """Return ``value``, the threshold that validation images set or None, and ``reason``, why there is none.

    ``validation`` are the rows of the validation images, ``score`` their probabilities of the positive label; None
    where their patients are not apart from those of the training, for a threshold set on patients that a classifier
    knows is none for others.
    """
    if score is None:
        return {"value": None, "reason": "no validation images of patients apart from training (validation: patients)"}
    if (validation["patient_id"] == "").any():
        return {"value": None, "reason": "the patients of the validation images are unknown"}
    value, reason = choose_threshold((validation["label"] == positive_label).to_numpy(), score)
    return {"value": value, "reason": reason}
