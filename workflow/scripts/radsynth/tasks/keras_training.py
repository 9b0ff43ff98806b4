"""Training of one classifier, the same bits for the same seed."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.progress import Progress
from radsynth.tasks.frozen import compute_features
from radsynth.tasks.jitter import AUGMENTATIONS
from radsynth.tasks.keras_backend import SEED_LIMIT
from radsynth.tasks.keras_networks import FEATURES, build_model
from radsynth.tasks.learner import learner_class

log = logging.getLogger(__name__)

# Keras' names of what is made small, and of what is told beside it.
LOSSES = {
    "cross_entropy": ("sparse_categorical_crossentropy", ["accuracy"]),
    "squared_error": ("mean_squared_error", []),
}


def batches(
    images: np.ndarray,
    targets: np.ndarray,
    batch_size: int,
    seed: int,
    augment: str | None = None,
    epoch_counts: Sequence[int] | None = None,
    strata: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches without end; each epoch visits every image once, in a new order, and ends with what is left.

    ``images`` are anything with one row per image; uint8 (n, size, size, 1) if ``augment`` names one of AUGMENTATIONS,
    which changes every image anew in each epoch. The order is the same with and without. ``epoch_counts`` (labels,)
    says how many images of each label an epoch has instead: all of a label are used before one is used again.
    ``strata`` are the indices of the labels (n,), ``targets`` themselves if None.
    """
    strata = targets if strata is None else strata
    rng, changes = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    draws = [_drawn(np.flatnonzero(strata == label), rng) for label in range(len(epoch_counts or ()))]
    while True:
        if epoch_counts:
            chosen = [next(draw) for draw, count in zip(draws, epoch_counts, strict=True) for _ in range(count)]
            order = rng.permutation(np.array(chosen, dtype=int))
        else:
            order = rng.permutation(len(images))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = images[chosen]
            if augment:
                batch = AUGMENTATIONS[augment](batch[..., 0], changes)[..., None]
            yield batch, targets[chosen]


def _drawn(rows: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """Yield rows without end, all of them in a new random order before any comes again."""
    while True:
        yield from rng.permutation(rows)


class _History(keras.callbacks.Callback):
    """Collects one row per epoch and reports progress in the log."""

    def __init__(self, epochs: int, steps: int, measured: Sequence[str]):
        super().__init__()
        self._measured = [*measured, *(f"val_{name}" for name in measured)]
        self.rows: list[dict[str, float]] = []
        self._epochs = epochs
        self._progress = Progress("training", epochs * steps)
        self._note = ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._progress.update(note=self._note)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = {name: float(logs.get(name, math.nan)) for name in self._measured}
        self.rows.append({"epoch": epoch + 1, **values, "seconds": round(time.monotonic() - self._began, 3)})
        self._note = f"epoch {epoch + 1}/{self._epochs} " + " ".join(f"{k} {v:.4f}" for k, v in values.items())
        log.info(self._note)
        if not math.isfinite(values["loss"]):
            raise UserError(
                f"classifiers: the loss became {values['loss']} in epoch {epoch + 1}, expected a number; "
                "a lower learning_rate may help"
            )


def train(
    classifier: dict[str, Any],
    images: np.ndarray,
    targets: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    outputs: int,
    seed: int,
    *,
    loss: str = "cross_entropy",
    strata: np.ndarray | None = None,
    weights: str | Path | None = None,
    augment: str | None = None,
    epoch_counts: Sequence[int] | None = None,
    steps_per_epoch: int | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Return the trained model, with the weights of the last epoch as in the paper, and its history per epoch.

    ``images`` are uint8 (n, size, size), ``targets`` label indices (n,), or numbers (n, outputs) for the ``loss``
    ``squared_error``; ``validation`` likewise, only looked at, and maybe empty.
    ``classifier`` gives architecture, weights, input_size, epochs, batch_size, learning_rate and dropout; ``weights``
    is the file that it needs if its weights are ``imagenet``. ``augment`` changes the training images (see
    AUGMENTATIONS); ``epoch_counts`` says how many images of each label an epoch has (see ``batches``,
    also for ``strata``), and ``steps_per_epoch`` how many steps, if not one pass over them. Adam. ``seed`` settles
    initialisation, dropout, order and augmentation. UserError if the loss is not finite or the weights are missing.

    Unless images change from epoch to epoch, a frozen base sees each of them once and its head is trained on what it
    made of them.
    """
    if classifier["weights"] == "imagenet" and weights is None:
        raise UserError(f"classifiers: {classifier['architecture']} with weights: imagenet, expected their file")
    keras.utils.set_random_seed(seed % SEED_LIMIT)
    batch_size, epochs = classifier["batch_size"], classifier["epochs"]
    size, input_size, dropout = images.shape[1], classifier["input_size"], classifier["dropout"]
    model = build_model(classifier["architecture"], size, input_size, outputs, dropout, weights, loss)
    start, inputs, seen = model.input, images[..., None], validation[0][..., None]
    if learner_class(classifier["architecture"]).weights_file and not augment:
        start = model.get_layer(FEATURES).output
        base = keras.Model(model.input, start)
        inputs, seen = (compute_features(base, part, batch_size) for part in (inputs, seen))
    fitted = keras.Model(start, model.output)  # shares its layers with `model`, but keeps the optimizer to itself
    keras_loss, told = LOSSES[loss]
    fitted.compile(optimizer=keras.optimizers.Adam(classifier["learning_rate"]), loss=keras_loss, metrics=told)
    steps = steps_per_epoch or math.ceil(sum(epoch_counts or [len(images)]) / batch_size)
    history = _History(epochs, steps, ["loss", *told])
    fitted.fit(
        batches(inputs, targets, batch_size, seed, augment, epoch_counts, strata),
        shuffle=False,  # done by `batches`
        steps_per_epoch=steps,
        epochs=epochs,
        validation_data=(seen, validation[1]) if len(seen) else None,
        validation_batch_size=batch_size,
        callbacks=[history],
        verbose=0,
    )
    return model, pd.DataFrame(history.rows)


def predict(model: keras.Model, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Return a model's outputs, float32 (n, n_labels or features), for prepared images, uint8 (n, size, size)."""
    return np.asarray(model.predict(images[..., None], batch_size=batch_size, verbose=0))
