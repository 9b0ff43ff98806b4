"""The engine of learners in Keras, and the classifiers of Khazrak et al. 2025; Keras is imported when it computes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from radsynth.common.images import gray_of
from radsynth.tasks.learner import Course, Examples, Learner

if TYPE_CHECKING:
    import keras


class KerasLearner(Learner):
    """A network of ``keras_networks``, named after the function there, on TensorFlow or torch.

    It starts anew after an interruption. A network with a ``weights_file`` has a frozen base with these weights, and
    only its head is trained; without one, all weights are drawn at random and trained.
    """

    network: str
    channels = "gray repeated to RGB"
    weights_name = "model.keras"
    environment = {"tensorflow": "tensorflow", "torch": "keras_torch"}
    model: "keras.Model"

    @classmethod
    def prepare(cls, threads: int, keras_backend: str) -> dict[str, str]:
        from radsynth.tasks.keras_backend import prepare

        return prepare(threads, keras_backend)

    def fit(self, train: Examples, validation: Examples, run_dir: Path, course: Course) -> pd.DataFrame:
        from radsynth.tasks import keras_training

        self.model, history = keras_training.train(
            self.options,
            train.gray,
            train.targets,
            (validation.gray, validation.targets),
            self.outputs,
            course.seed,
            loss=self.loss,
            strata=train.strata,
            weights=course.weights,
            augment=course.augment,
            epoch_counts=course.epoch_counts,
            steps_per_epoch=course.steps,
        )
        return history

    def predict(self, images: np.ndarray) -> np.ndarray:
        from radsynth.tasks import keras_training

        return keras_training.predict(self.model, gray_of(images))

    def features(self, images: np.ndarray) -> np.ndarray:
        from radsynth.tasks import keras_networks, keras_training

        return keras_training.predict(keras_networks.last_hidden_layer(self.model), gray_of(images))

    def write(self, folder: Path) -> None:
        self.model.save(folder / self.weights_name)

    def read(self, folder: Path) -> None:
        import keras

        self.model = keras.saving.load_model(folder / self.weights_name)

    def describe(self) -> dict[str, Any]:
        from radsynth.tasks.keras_networks import count_parameters

        return count_parameters(self.model)


class CustomCNN(KerasLearner):
    """The small network of the paper. Epochs here and below as in its section 3.4; it gives no learning rates."""

    network = "custom_cnn"
    scaling = "x / 255"
    epochs, learning_rate = 20, 1e-3


class _ImageNet(KerasLearner):
    scaling = "x - mean of ImageNet, per channel, BGR"
    learning_rate = 1e-4
    input_size, smallest_input = 224, 32


class VGG16Untrained(_ImageNet):
    """VGG16, all of it trained from random weights."""

    network = "vgg16"
    epochs = 10


class VGG16Pretrained(_ImageNet):
    """The paper's head on the frozen base of VGG16."""

    network = "vgg16"
    epochs = 5
    weights_file = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


class ResNet50Pretrained(_ImageNet):
    """The paper's head on the frozen base of ResNet50."""

    network = "resnet50"
    epochs = 5
    weights_file = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
