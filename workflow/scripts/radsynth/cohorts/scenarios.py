"""Training and test sets of a scenario: prefixes of the class orders, and what no training image touches."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsynth.cohorts.diversity import mean_pairwise_distance
from radsynth.cohorts.groups import GATED_COLUMNS, image_groups, kept_for_testing
from radsynth.cohorts.held_back import FEWEST_LEARNT
from radsynth.cohorts.validation import validation_images
from radsynth.common.errors import UserError
from radsynth.common.seeds import derive_seed


@dataclass(frozen=True)
class Cohort:
    """The sets of one scenario (rows of the manifest), with the counts behind them by label.

    ``train``: images to learn from. ``validation``: those that are held back from it, if any. ``available``: images of
    the class. ``left_out``: those not used for testing only because an image of their group is in a training cohort.
    ``patient_safe``: all patients are known, and none is both in training or validation and in test.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    tests: list[pd.DataFrame]
    available: dict[str, int]
    left_out: dict[str, int]
    patient_safe: bool


def build_cohort(
    orders: dict[str, pd.DataFrame],
    manifest: pd.DataFrame,
    scenario: dict[str, Any],
    *,
    name: str,
    gates: dict[str, bool],
    spent: dict[str, int],
    seed: int,
    test_split: str | None = None,
    validation_fraction: float | None = None,
) -> Cohort:
    """Draw the training and test sets of the scenario ``name``.

    ``orders`` maps every label to its images in order. The training set is the first ``scenario["train"][label]``
    images of each order, so the sets of a sampling are nested. With ``validation_fraction``, about that part of it is
    held back by whole patients (``validation_images``), the same images in all scenarios. ``spent[label]`` is the
    length of the order's prefix that generators learn from. Images that share a group with it or with the training set
    are not used for testing. With ``test_split`` the orders hold no image of that published split, and test sets are
    drawn from it alone.

    ``scenario["test"]`` is "rest" (one set of all the images left) or {sets: k, counts: {label: n}}: k sets, each
    drawn without replacement within itself; two sets may share images. Test sets are in the manifest's row order
    and depend on ``seed`` alone. UserError, naming the key, if the data cannot give what is asked.
    """
    key = f"scenarios.{name}"
    counts = {label: scenario["train"].get(label, 0) for label in orders}
    _check_labels(f"{key}.train", scenario["train"], orders)
    for label, count in counts.items():
        if count > len(orders[label]):
            raise UserError(f"{key}.train.{label}: {count} images asked, {len(orders[label])} in the data set")
        patients = set(orders[label]["patient_id"])
        if test_split is None and gates["patient"] and count and len(patients) == 1 and "" not in patients:
            raise UserError(
                f"{key}.train.{label}: all {len(orders[label])} images of the class come from one patient "
                f"({patients.pop()}), so none is left for testing (gates.patient); expected at least 2 patients, or "
                "that gate off"
            )

    prefixes = {label: order.head(max(counts[label], spent.get(label, 0))) for label, order in orders.items()}
    used = pd.concat(prefixes.values())
    testable = images_for_testing(manifest, test_split)
    free, left_out = untouched(testable, used["image_id"], image_groups(manifest, gates), orders)
    left = {label: free[free["label"] == label] for label in orders}

    def numbers(label: str) -> str:
        return (
            f"{len(left[label])} left of {(testable['label'] == label).sum()} "
            f"({len(prefixes[label])} in training cohorts, "
            f"{left_out[label]} left out because they share a group with a training image{blame(label)})"
        )

    def blame(label: str) -> str:
        """Name the gates that keep images of the label out, and the way out."""
        unused = testable[(testable["label"] == label) & ~testable["image_id"].isin(used["image_id"])]
        counts = {
            gate: int(unused[column].isin(set(used[column]) - {""}).sum())
            for gate, column in GATED_COLUMNS.items()
            if gates[gate]
        }
        found = ", ".join(f"gates.{gate} {count}" for gate, count in counts.items() if count)
        way_out = "ask for fewer training images, or switch off a gate whose images only look alike"
        return f": {found}; {way_out}" if found else ""

    if scenario["test"] == "rest":
        for label in orders:
            if left[label].empty:
                raise UserError(f"{key}.test: rest has no {label} image: {numbers(label)}")
        tests = [pd.concat(left.values()).sort_index()]
    else:
        asked = scenario["test"]["counts"]
        _check_labels(f"{key}.test.counts", asked, orders)
        for label, count in asked.items():
            if count > len(left[label]):
                raise UserError(f"{key}.test.counts.{label}: {count} images asked, {numbers(label)}")
        tests = [
            pd.concat(_draw(left[label], asked[label], derive_seed(seed, k, label)) for label in asked).sort_index()
            for k in range(1, scenario["test"]["sets"] + 1)
        ]

    cohort = pd.concat(orders[label].head(counts[label]) for label in orders)[list(manifest.columns)]
    train, validation = cohort, cohort.head(0)
    if validation_fraction is not None:
        held_back = cohort["image_id"].isin(validation_images(orders, manifest, gates, validation_fraction))
        train, validation = cohort[~held_back], cohort[held_back]
        for label in filter(counts.get, orders):
            parts = [int((part["label"] == label).sum()) for part in (train, validation)]
            if parts[0] < FEWEST_LEARNT or not parts[1]:
                raise UserError(
                    f"{key}.train.{label}: of {counts[label]} images validation_fraction {validation_fraction:g} "
                    f"(validation: patients) holds back {parts[1]}, whole patients, and leaves {parts[0]} to learn "
                    f"from, expected at least 1 held back and {FEWEST_LEARNT} left: ask for more images, or "
                    "validation: none"
                )
    tested = pd.concat(tests)
    return Cohort(
        train=train,
        validation=validation,
        tests=tests,
        available={label: int((manifest["label"] == label).sum()) for label in orders},
        left_out=left_out,
        patient_safe=not (set(used["patient_id"]) & set(tested["patient_id"]))
        and not (pd.concat([used, tested])["patient_id"] == "").any(),
    )


def images_for_testing(manifest: pd.DataFrame, test_split: str | None = None) -> pd.DataFrame:
    """Return the images that test sets may be drawn from: all, or those of the published split ``test_split``."""
    return manifest if test_split is None else manifest[kept_for_testing(manifest, test_split)]


def untouched(
    images: pd.DataFrame, used: Iterable[str], groups: pd.Series, labels: Iterable[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the images that share no group (``groups``, by image_id) with one whose id is in ``used``.

    And how many of each label are left out although they are not in ``used`` themselves.
    """
    used = list(used)
    free = images[~groups[images["image_id"]].isin(groups[used]).to_numpy()]
    unused = images["label"][~images["image_id"].isin(used)]
    return free, {label: int((unused == label).sum() - (free["label"] == label).sum()) for label in labels}


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


def _check_labels(key: str, counts: dict[str, int], orders: dict[str, pd.DataFrame]) -> None:
    for label in counts:
        if label not in orders:
            raise UserError(f"{key}.{label}: no such class, expected one of {', '.join(orders)}")


def _draw(images: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return ``count`` of the images, drawn without replacement."""
    return images.iloc[np.random.default_rng(seed).choice(len(images), count, replace=False)]
