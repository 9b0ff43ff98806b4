"""What classifiers predict and what it is worth: one class per task, tables and arrays in, numbers out.

A task needs neither Keras nor torch. The label stays what cohorts, pools and quality are cut by, whatever is predicted.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.registry import find

# What is known of every test image, whatever the task.
IMAGE = ("image_id", "label", "patient_id")

# Values of metrics by name; of an undefined one the reason.
Values = dict[str, float | str]


@dataclass(frozen=True)
class Metric:
    """A number that says what predictions are worth.

    ``title`` is its name in words, in which {class} stands for the positive label. ``higher``: larger values are
    better. ``compared``: arms are compared in it, so ``Task.resampled`` gives it. ``span``: how far apart two values
    can be, 1 of shares; infinite where nothing bounds them. ``thresholded``: it moves with a threshold between the
    labels, without any gain in what the images tell apart.
    """

    name: str
    title: str
    higher: bool = True
    compared: bool = False
    span: float = 1.0
    thresholded: bool = False


class Task(ABC):
    """What is predicted of an image. Subclasses name their metrics and say what is learned and how it is judged.

    ``loss`` is what a learner makes small: ``cross_entropy`` of label indices (n,), or ``squared_error`` of numbers
    (n, outputs). ``texts`` are those columns of the predictions that hold texts. ``beside``: the metrics that stand
    beside the headline metric wherever that is shown. ``of_labels``: predictions are labels with probabilities, so
    that they have a confusion matrix, a ROC curve, and outputs that can be corrected for class frequencies.
    """

    name: str
    loss: str
    all_metrics: tuple[Metric, ...]
    texts: tuple[str, ...] = IMAGE
    beside: tuple[str, ...] = ()
    of_labels = False

    def __init__(self, labels: Sequence[str], positive_label: str):
        self.labels, self.positive_label = list(labels), positive_label

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many values a learner gives for an image."""

    @abstractmethod
    def targets(self, rows: pd.DataFrame) -> np.ndarray:
        """Return what there is to learn of the images, one row each, as ``loss`` wants it.

        ``rows`` have all columns of the manifests that they come from, and ``root``, the folder that ``file`` is
        below. UserError, beginning with ``task``, where a column is missing or a value makes no sense.
        """

    def tuned(self, validation: pd.DataFrame, output: np.ndarray | None) -> dict[str, Any]:
        """Return what is set on validation images, for training.json: nothing, unless a task sets something.

        ``validation`` are their rows, ``output`` (n, outputs) is what the learner makes of them; None where their
        patients are not apart from those of the training.
        """
        return {}

    @abstractmethod
    def predictions(self, rows: pd.DataFrame, output: np.ndarray) -> pd.DataFrame:
        """Return a row per test image: IMAGE, then what was to be predicted and what was, from ``output``."""

    @abstractmethod
    def metrics(self, table: pd.DataFrame, tuned: Mapping[str, Any]) -> dict[str, Any]:
        """Return the report on ``predictions``, which may be empty: what ``report`` makes of the metrics, and more.

        ``tuned`` holds what ``tuned`` has returned.
        """

    @abstractmethod
    def resampled(
        self, table: pd.DataFrame, report: Mapping[str, Any], groups: np.ndarray, counts: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return every compared metric for resamples of the patients, (draws,) each, NaN where undefined.

        ``table`` and ``report`` come from ``predictions`` and ``metrics``; ``groups`` is the patient of each image
        (n,), ``counts`` how often each patient was drawn (draws, patients), in whole numbers.
        """

    @abstractmethod
    def headline(self, counts: Sequence[float]) -> str:
        """Return the metric in which it is asked whether a mix helps; ``counts`` are the training images by label."""

    def report(self, found: Values, **more: Any) -> dict[str, Any]:
        """Return a report: the task, ``metrics`` (None where undefined) with ``reasons``, and ``more``."""
        reasons = {name: value for name, value in found.items() if isinstance(value, str)}
        return {
            "task": self.name,
            "labels": self.labels,
            "positive_label": self.positive_label,
            "metrics": {name: None if name in reasons else float(value) for name, value in found.items()},
            "reasons": reasons,
            **more,
        }

    def compared(self) -> tuple[str, ...]:
        """Return the names of the metrics that arms are compared in."""
        return tuple(metric.name for metric in self.all_metrics if metric.compared)

    def thresholded(self) -> tuple[str, ...]:
        """Return the names of the compared metrics that move with a threshold between the labels."""
        return tuple(metric.name for metric in self.all_metrics if metric.compared and metric.thresholded)

    def metric(self, name: str) -> Metric:
        """Return a metric by its name."""
        return next(metric for metric in self.all_metrics if metric.name == name)

    def sign(self, metric: str) -> int:
        """Return 1 where larger values of a metric are better, else -1."""
        return 1 if self.metric(metric).higher else -1

    def titles(self) -> dict[str, str]:
        """Return how the metrics are called in tables, figures and sentences."""
        return {metric.name: metric.title.replace("{class}", self.positive_label) for metric in self.all_metrics}


def make_task(name: str, labels: Sequence[str], positive_label: str) -> Task:
    """Return a registered task for the labels of a study; UserError if there is none of this name."""
    return find("tasks", name, "task").load()(labels, positive_label)


def mean_resampled(values: np.ndarray, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean of values (n,) of the images for resamples of the patients (see ``Task.resampled``), (draws,)."""
    sums, sizes = (np.bincount(groups, weights=of, minlength=counts.shape[1]) for of in (values, np.ones(len(values))))
    drawn = counts @ sizes
    return np.divide(counts @ sums, drawn, out=np.full(len(counts), math.nan), where=drawn > 0)
