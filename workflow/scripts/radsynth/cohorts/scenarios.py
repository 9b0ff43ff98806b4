"""Training and test sets of a scenario: prefixes of the class orders, and what no training image touches."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

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

    @property
    def testsets(self) -> dict[str, pd.DataFrame]:
        """The test sets by name: test_1 and so on."""
        return {f"test_{k}": test for k, test in enumerate(self.tests, start=1)}


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
        _check_order(f"{key}.train.{label}", orders[label], count, gates["patient"] and test_split is None)
    prefixes = {label: order.head(max(counts[label], spent.get(label, 0))) for label, order in orders.items()}
    used = pd.concat(prefixes.values())
    testable = images_for_testing(manifest, test_split)
    free, left_out = untouched(testable, used["image_id"], image_groups(manifest, gates), orders)
    left = {label: free[free["label"] == label] for label in orders}

    def numbers(label: str) -> str:
        return (
            f"{len(left[label])} left of {(testable['label'] == label).sum()} "
            f"({len(prefixes[label])} in training cohorts, "
            f"{left_out[label]} left out because they share a group with a training image"
            f"{_blame(label, testable, used, gates)})"
        )

    tests = _draw_tests(scenario["test"], left, seed, f"{key}.test", numbers)
    train = pd.concat(orders[label].head(counts[label]) for label in orders)[list(manifest.columns)]
    validation = train.head(0)
    if validation_fraction is not None:
        held_back = train["image_id"].isin(validation_images(orders, manifest, gates, validation_fraction))
        train, validation = train[~held_back], train[held_back]
        for label in filter(counts.get, orders):
            _check_held_back(f"{key}.train.{label}", label, train, validation, validation_fraction)
    tested, trained = (set(pd.concat(tables)["patient_id"]) for tables in (tests, [used]))
    patient_safe = not tested & trained and "" not in tested | trained
    available = {label: int((manifest["label"] == label).sum()) for label in orders}
    return Cohort(train, validation, tests, available, left_out, patient_safe)


def _check_order(where: str, order: pd.DataFrame, count: int, by_patient: bool) -> None:
    """Refuse more images than an order has, and, ``by_patient``, images of one patient alone."""
    if count > len(order):
        raise UserError(f"{where}: {count} images asked, {len(order)} in the data set")
    patients = set(order["patient_id"])
    if by_patient and count and len(patients) == 1 and "" not in patients:
        raise UserError(
            f"{where}: all {len(order)} images of the class come from one patient ({patients.pop()}), so none is left "
            "for testing (gates.patient); expected at least 2 patients, or that gate off"
        )


def _blame(label: str, testable: pd.DataFrame, used: pd.DataFrame, gates: dict[str, bool]) -> str:
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


def _draw_tests(
    test: str | dict[str, Any], left: dict[str, pd.DataFrame], seed: int, key: str, numbers: Callable[[str], str]
) -> list[pd.DataFrame]:
    """Return the test sets that a scenario asks for, of what is ``left`` by label; ``numbers`` says why it is few."""
    if test == "rest":
        for label, images in left.items():
            if images.empty:
                raise UserError(f"{key}: rest has no {label} image: {numbers(label)}")
        return [pd.concat(left.values()).sort_index()]
    asked = test["counts"]
    _check_labels(f"{key}.counts", asked, left)
    for label, count in asked.items():
        if count > len(left[label]):
            raise UserError(f"{key}.counts.{label}: {count} images asked, {numbers(label)}")
    return [
        pd.concat(_draw(left[label], asked[label], derive_seed(seed, k, label)) for label in asked).sort_index()
        for k in range(1, test["sets"] + 1)
    ]


def _check_held_back(
    where: str, label: str, train: pd.DataFrame, validation: pd.DataFrame, validation_fraction: float
) -> None:
    """Refuse a label of which too few images are held back for validation or left to learn from."""
    learnt, held_back = (int((part["label"] == label).sum()) for part in (train, validation))
    if learnt < FEWEST_LEARNT or not held_back:
        raise UserError(
            f"{where}: of {learnt + held_back} images validation_fraction {validation_fraction:g} (validation: "
            f"patients) holds back {held_back}, whole patients, and leaves {learnt} to learn from, expected at least 1 "
            f"held back and {FEWEST_LEARNT} left: ask for more images, or validation: none"
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


def _check_labels(key: str, counts: dict[str, int], orders: Iterable[str]) -> None:
    for label in counts:
        if label not in orders:
            raise UserError(f"{key}.{label}: no such class, expected one of {', '.join(orders)}")


def _draw(images: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return ``count`` of the images, drawn without replacement."""
    return images.iloc[np.random.default_rng(seed).choice(len(images), count, replace=False)]
