"""One run of a classifier: from what it learns from to a trained model, and from that to what it is worth."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.files import atomic_folder, read_json, write_json, write_text
from radsynth.common.weights import verify_weights, weights_entry
from radsynth.tasks.learner import Course, Examples, Learner, learner_class
from radsynth.tasks.mixes import Lesson, count_images, read_pixels
from radsynth.tasks.task import Task, make_task

log = logging.getLogger(__name__)

# Columns of split.csv.
SPLIT = ["image_id", "label", "subset", "origin"]


def examples(rows: pd.DataFrame, task: Task) -> tuple[Examples, Examples]:
    """Return what a run learns from and what is only looked at, from the rows that ``mixes.assemble`` gives."""
    images, targets = read_pixels(rows), task.targets(rows)
    strata = rows["label"].map(task.labels.index).to_numpy(int)
    train = (rows["subset"] == "train").to_numpy()
    return Examples(images[train], targets[train], strata[train]), Examples(
        images[~train], targets[~train], strata[~train]
    )


def train_run(
    lesson: Lesson,
    task: Task,
    classifier: dict[str, Any],
    output: Any,
    *,
    seeds: Mapping[str, int],
    validation: str,
    weights: str | None = None,
    augment: str | None = None,
    threads: int = 1,
    keras_backend: str = "tensorflow",
) -> None:
    """Train a classifier (resolved options) on what ``assemble`` gives, and write the model and all about it.

    ``output`` names what is written: ``model`` (a folder, see ``Learner.save``), ``history`` (a row per epoch),
    ``split`` (the images) and ``training`` (the record). ``seeds`` are ``split``, for the record, and ``train``.
    ``validation`` as in the configuration: nothing is set on validation images whose patients are not apart.
    ``weights`` is the file that the classifier starts from, if any. State to resume from lies beside the model.
    """
    learner = learner_class(classifier["architecture"])(classifier, task.loss, task.outputs)
    made = learner.prepare(threads, keras_backend)
    images, counts = lesson.images, lesson.epoch_counts
    log.info("%s; images per epoch: %s", count_images(images, task.labels), counts)
    train, apart = examples(images, task)
    epoch_counts = [counts[label] for label in task.labels] if lesson.drawn else None
    course = Course(seeds["train"], weights, augment, epoch_counts, lesson.steps)
    sha256 = verify_weights(weights, weights_entry(Path(weights).name)) if weights else None
    began = time.monotonic()
    history = learner.fit(train, apart, Path(output.model).parent, course)
    seconds = time.monotonic() - began  # with the features of a frozen base, which no epoch counts
    known = learner.predict(apart.images) if validation == "patients" else None
    record = {
        **classifier,
        "weights_sha256": sha256,
        **learner.describe(),
        "labels": task.labels,
        "task": task.name,
        "n": count_images(images, task.labels),
        "images_per_epoch": counts,
        "validation": validation,
        **task.tuned(lesson.validation, known),
        **{f"seed_{name}": seed for name, seed in seeds.items()},
        "seconds": round(seconds, 3),
        **made,
        "threads": threads,
    }
    with atomic_folder(output.model) as folder:
        learner.save(folder)
    write_text(output.history, history.to_csv(index=False))
    write_text(output.split, images[SPLIT].to_csv(index=False))
    write_json(output.training, record)
    learner.forget(Path(output.model).parent)


class Examiner:
    """A trained classifier, as ``train_run`` wrote it, before test sets."""

    def __init__(
        self,
        model: str | Path,
        training: str | Path,
        positive_label: str,
        threads: int = 1,
        keras_backend: str = "tensorflow",
    ):
        self.record = read_json(training)
        self.task = make_task(self.record["task"], self.record["labels"], positive_label)
        learner = learner_class(self.record["architecture"])
        made = learner.prepare(threads, keras_backend)
        self.made = {key: self.record[key] for key in ("architecture", "weights")}
        self.made |= {key: made[key] for key in ("backend", "device")}
        self.made["trained_on"] = self.record["images_per_epoch"]
        self.learner: Learner = learner.load(model)

    def examine(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Return the predictions of a test set, maybe empty, and the report on them (see ``Task``).

        ``rows`` have ``root`` beside the columns of their manifest.
        """
        output = np.empty((0, self.task.outputs), np.float32)
        if len(rows):
            output = self.learner.predict(read_pixels(rows))
        table = self.task.predictions(rows, output)
        return table, self.task.metrics(table, self.record) | self.made
