"""What is said of a cohort and of its subsets."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from radsynth.cohorts.diversity import mean_pairwise_distance
from radsynth.cohorts.scenarios import Cohort
from radsynth.common.features import FeatureSet


def describe_cohort(
    cohort: Cohort, orders: Mapping[str, pd.DataFrame], manifest: pd.DataFrame, features: FeatureSet
) -> dict[str, Any]:
    """Return the summary of a cohort drawn from the ``orders`` (by label): its subsets, and the counts behind them.

    Distances are those of ``features``.
    """
    subsets = {"train": cohort.train, "validation": cohort.validation} | cohort.testsets
    return {
        "subsets": {
            name: describe_subset(table, features.of(table["image_id"]), manifest, orders)
            for name, table in subsets.items()
            if len(table)
        },
        "extractor": features.extractor["name"],
        "left_out": cohort.left_out,
        "patient_safe": cohort.patient_safe,
        "available": cohort.available,
        # Of the images that the training images were drawn from, beside those of each subset.
        "images_per_patient": {label: images_per_patient(order, manifest) for label, order in orders.items()},
    }


def describe_subset(
    subset: pd.DataFrame, features: np.ndarray, manifest: pd.DataFrame, labels: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Return how many images and patients a subset has, and how it lies in the data set ``manifest``.

    By those of the ``labels`` that occur, in their order. ``mean_pairwise_distance`` is that of ``features`` (n, d),
    whose row i belongs to row i of ``subset``. Of ``images_per_patient`` see there. The number of patients is None
    where one is unknown.
    """
    description = {}
    for label in labels:
        mask = (subset["label"] == label).to_numpy()
        if not mask.any():
            continue
        patients = set(subset["patient_id"][mask])
        description[label] = {
            "n_images": int(mask.sum()),
            "n_patients": None if "" in patients else len(patients),
            "images_per_patient": images_per_patient(subset[mask], manifest),
            "mean_pairwise_distance": mean_pairwise_distance(features[mask]),
        }
    return description


def images_per_patient(images: pd.DataFrame, manifest: pd.DataFrame) -> float | None:
    """Return the mean, over the images, of how many images their patient has in the data set ``manifest``.

    A uniform draw of images has, on average, the mean of the set that it is drawn from. None where a patient is unknown
    or there is no image.
    """
    if images.empty or (images["patient_id"] == "").any():
        return None
    return float(images["patient_id"].map(manifest["patient_id"].value_counts()).mean())
