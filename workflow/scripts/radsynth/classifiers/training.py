"""Training of one classifier, the same bits for the same seed."""

import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd

from radsynth.classifiers.architectures import build_model
from radsynth.classifiers.backend import SEED_LIMIT
from radsynth.common.errors import UserError
from radsynth.common.progress import Progress

log = logging.getLogger(__name__)


def batches(
    images: np.ndarray, targets: np.ndarray, batch_size: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches without end; each epoch visits every image once, in a new order, and ends with what is left."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield images[chosen], targets[chosen]


class _History(keras.callbacks.Callback):
    """Collects one row per epoch and reports progress in the log."""

    def __init__(self, epochs: int, steps: int):
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._epochs = epochs
        self._progress = Progress("training", epochs * steps)
        self._note = ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._progress.update(note=self._note)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = {name: float(logs[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
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
    n_labels: int,
    seed: int,
) -> tuple[keras.Model, pd.DataFrame]:
    """Return the trained model, with the weights of the last epoch as in the paper, and its history per epoch.

    ``images`` are uint8 (n, size, size), ``targets`` label indices (n,); ``validation`` likewise, only looked at.
    ``classifier`` gives architecture, input_size, epochs, batch_size, learning_rate and dropout. Adam, categorical
    cross-entropy. ``seed`` settles initialisation, dropout and order. UserError if the loss is not finite.
    """
    keras.utils.set_random_seed(seed % SEED_LIMIT)
    model = build_model(
        classifier["architecture"], images.shape[1], classifier["input_size"], n_labels, classifier["dropout"]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(classifier["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    batch_size, epochs = classifier["batch_size"], classifier["epochs"]
    steps = math.ceil(len(images) / batch_size)
    history = _History(epochs, steps)
    model.fit(
        batches(images[..., None], targets, batch_size, seed),
        shuffle=False,  # done by `batches`
        steps_per_epoch=steps,
        epochs=epochs,
        validation_data=(validation[0][..., None], validation[1]),
        validation_batch_size=batch_size,
        callbacks=[history],
        verbose=0,
    )
    return model, pd.DataFrame(history.rows)


def predict(model: keras.Model, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Return the probabilities, float32 (n, n_labels), of prepared images, uint8 (n, size, size)."""
    return np.asarray(model.predict(images[..., None], batch_size=batch_size, verbose=0))
