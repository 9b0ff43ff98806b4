"""What learns a task from images: one class per network, and the facts about it that planning needs.

The module of a learner imports neither Keras nor torch before it has to compute: the configuration reads its facts.
"""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.files import read_json, write_json
from radsynth.common.images import gray_of
from radsynth.common.registry import find
from radsynth.tasks.task import Task

ABOUT = "learner.json"


@dataclass(frozen=True)
class Examples:
    """Images, uint8 (n, height, width, channels), what is to be learned of each, and the index of its label (n,).

    ``targets`` are those of ``Task.targets``.
    """

    images: np.ndarray
    targets: np.ndarray
    strata: np.ndarray

    @property
    def gray(self) -> np.ndarray:
        """The images for networks that look at gray alone, uint8 (n, height, width)."""
        return gray_of(self.images)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Course:
    """How a run goes through its examples, and from where.

    ``seed`` settles initialisation, order and all else that is random. ``weights``: the file that a learner with
    ``weights_file`` starts from, unless it is to start at random. ``augment`` names one of ``jitter.AUGMENTATIONS``,
    which changes every image anew in each epoch. ``epoch_counts`` says how many images of each label an epoch has, if
    not all once: all of a label are used before one comes again. ``steps``: those of an epoch, if not one pass.
    """

    seed: int
    weights: str | Path | None = None
    augment: str | None = None
    epoch_counts: Sequence[int] | None = None
    steps: int | None = None


class Learner(ABC):
    """A network that learns one task. Subclasses are an engine (Keras, torch), and below it one class per network.

    The facts: ``epochs`` and ``learning_rate`` unless the configuration gives others; ``input_size`` at which images
    are read, None: that of the prepared images; ``smallest_input``; ``weights_file`` (of resources/weights.yaml) that
    it starts from unless its weights are drawn at random; ``scaling`` and ``channels``, what it does to gray levels x
    and to the channels of an image; ``losses`` that it can make small (``Task.loss``). ``weights_name`` is the file
    with its weights in the folder that ``save`` writes. ``environment`` names the conda environments of the engine, by
    Keras backend.
    """

    epochs: int
    learning_rate: float
    scaling: str
    channels: str
    weights_name: str
    environment: dict[str, str]
    input_size: int | None = None
    smallest_input: int = 16
    weights_file: str | None = None
    losses: tuple[str, ...] = ("cross_entropy", "squared_error")

    def __init__(self, options: dict[str, Any], loss: str, outputs: int):
        self.options, self.loss, self.outputs = dict(options), loss, outputs

    # What an engine implements.

    @classmethod
    @abstractmethod
    def prepare(cls, threads: int, keras_backend: str) -> dict[str, str]:
        """Set the framework up, before anything imports it; return ``backend``, ``backend_version`` and ``device``."""

    @abstractmethod
    def fit(self, train: Examples, validation: Examples, run_dir: Path, course: Course) -> pd.DataFrame:
        """Learn; return the history, a row per epoch with at least epoch, loss, val_loss (NaN without) and seconds.

        ``validation``, maybe empty, is only looked at. What survives an interruption is kept in ``run_dir``, in folders
        that ``forget`` removes. UserError if the loss is not finite.
        """

    @abstractmethod
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return what is predicted of images, uint8 (n, height, width, channels): float32 (n, outputs).

        Probabilities of the labels for ``cross_entropy``, numbers for ``squared_error``.
        """

    @abstractmethod
    def features(self, images: np.ndarray) -> np.ndarray:
        """Return what the last layer reads of such images, float32 (n, dim)."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write what was learned to a folder."""

    @abstractmethod
    def read(self, folder: Path) -> None:
        """Read what ``write`` wrote."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return ``parameters`` and ``trainable_parameters``."""

    # The same for all.

    def forget(self, run_dir: Path) -> None:
        """Remove what ``fit`` may have kept for the case of an interruption: the model is written."""
        for folder in ("state", "progress"):
            shutil.rmtree(run_dir / folder, ignore_errors=True)

    def save(self, folder: str | Path) -> None:
        """Write the trained learner to a folder; who needs it whole or not at all hands in an ``atomic_folder``."""
        self.write(Path(folder))
        about = {"options": self.options, "loss": self.loss, "outputs": self.outputs}
        write_json(Path(folder) / ABOUT, about)

    @classmethod
    def load(cls, folder: str | Path) -> "Learner":
        """Return the learner that ``save`` wrote."""
        about = read_json(Path(folder) / ABOUT)
        learner = cls(about["options"], about["loss"], about["outputs"])
        learner.read(Path(folder))
        return learner

    def preprocessing(self, size: int) -> dict[str, Any]:
        """Return what is done to prepared images of ``size`` px before the network, for records of its features."""
        resized = self.options["input_size"] != size
        return {
            "name": self.options["architecture"],
            "resize": "bilinear" if resized else "none",
            "size": self.options["input_size"],
            "antialias": resized,
            "scaling": self.scaling,
            "channels": self.channels,
        }

    # What planning asks. Class methods, for nothing is trained yet.

    @classmethod
    def initial_weights(cls) -> tuple[str, ...]:
        """Return the initial weights to choose from, the usual ones first."""
        return ("imagenet", "random") if cls.weights_file else ("none",)

    @classmethod
    def check(cls, options: dict[str, Any], where: str) -> None:
        """Raise UserError, beginning with the key ``where``, for resolved options that it cannot do."""
        name = options["architecture"]
        if options["weights"] not in cls.initial_weights():
            expected = " or ".join(cls.initial_weights())
            raise UserError(f"{where}.weights: {options['weights']}, {name} expects {expected}")
        if options["input_size"] < cls.smallest_input:
            raise UserError(
                f"{where}.input_size: {options['input_size']}, {name} expects at least {cls.smallest_input} px"
            )


def learner_class(name: str, where: str = "classifiers") -> type[Learner]:
    """Return a registered learner's class; UserError, beginning with a key, if there is none of this name."""
    return find("learners", name, f"{where}.architecture").load()


def resolve_classifier(classifier: dict[str, Any], image_size: int, where: str) -> dict[str, Any]:
    """Return a classifier's options with those of its learner where it gives none.

    ``where`` is its configuration key, such as ``classifiers.custom_cnn``; the UserError for an unknown architecture,
    weights that it has not, or an input too small for it begins with it.
    """
    learner = learner_class(classifier["architecture"], where)
    usual = {
        "weights": learner.initial_weights()[0],
        "epochs": learner.epochs,
        "learning_rate": learner.learning_rate,
        "input_size": learner.input_size or image_size,
    }
    resolved = usual | classifier
    learner.check(resolved, where)
    return resolved


def check_task(classifier: dict[str, Any], task: Task, where: str) -> None:
    """Raise UserError, beginning with the key ``where``, if a classifier's learner cannot learn a task."""
    losses = learner_class(classifier["architecture"], where).losses
    if task.loss not in losses:
        raise UserError(
            f"{where}.architecture: {classifier['architecture']} learns by {' or '.join(losses)}, "
            f"expected {task.loss}, which task: {task.name} needs"
        )


def weights_file(classifier: dict[str, Any]) -> str | None:
    """Return the file of resources/weights.yaml that a resolved classifier starts from, None if it needs none."""
    return learner_class(classifier["architecture"]).weights_file if classifier["weights"] == "imagenet" else None
