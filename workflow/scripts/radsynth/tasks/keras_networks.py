"""The classifiers' networks, in backend-neutral Keras."""

import math
from collections.abc import Callable
from pathlib import Path

import keras
from keras import layers

from radsynth.tasks.registry import find_architecture

#: Keras' default of 0.99 forgets its initial statistics too slowly for the core study's baseline of 200 steps. With
#: 400 chest X-rays of 64 px its test AUC was .50 (training loss .07) against .84 with 0.9, while the mixes take
#: thousands of steps: synthetic images would have seemed to help for that reason alone.
BATCH_NORM_MOMENTUM = 0.9

BASE, FEATURES = "base", "features"  # layers of the ImageNet networks: the network without top, and its flat output


def custom_cnn(image: keras.KerasTensor, n_labels: int, dropout: float) -> keras.KerasTensor:
    """The small network of Khazrak et al. 2025 (section 3.4): 17,183,234 parameters for 128 x 128 px and two labels.

    Maps gray images (n, size, size, 1) in [0, 255] to probabilities (n, n_labels). The paper does not give the
    momentum of batch normalisation.
    """
    x = image * (1 / 255)  # not layers.Rescaling, which needs TensorFlow whatever the backend
    x = layers.Concatenate(name="rgb")([x, x, x])
    for filters in (64, 128, 256):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for units in (256, 128):
        x = layers.Dense(units, activation="relu")(x)
        x = layers.Dropout(dropout)(x)
    return layers.Dense(n_labels, activation="softmax")(x)


def vgg16(image: keras.KerasTensor, n_labels: int, dropout: float) -> keras.KerasTensor:
    """VGG16 (Simonyan and Zisserman 2015) with the paper's head: 27,561,282 parameters for 224 px and two labels."""
    network = keras.applications.vgg16
    return _on_base(network.VGG16, network.preprocess_input, image, n_labels, dropout)


def resnet50(image: keras.KerasTensor, n_labels: int, dropout: float) -> keras.KerasTensor:
    """ResNet50 (He et al. 2016) with the paper's head: 74,969,474 parameters for 224 px and two labels."""
    network = keras.applications.resnet50
    return _on_base(network.ResNet50, network.preprocess_input, image, n_labels, dropout)


def _on_base(
    network: Callable[..., keras.Model],
    preprocess: Callable[[keras.KerasTensor], keras.KerasTensor],
    image: keras.KerasTensor,
    n_labels: int,
    dropout: float,
) -> keras.KerasTensor:
    """Put the head of Khazrak et al. 2025 on an ImageNet network: gray images in [0, 255] to probabilities."""
    x = preprocess(layers.Concatenate(name="rgb")([image, image, image]))
    x = network(include_top=False, weights=None, input_shape=x.shape[1:], name=BASE)(x)
    x = layers.Flatten(name=FEATURES)(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return layers.Dense(n_labels, activation="softmax")(x)


def build_model(
    architecture: str,
    image_size: int,
    input_size: int,
    n_labels: int,
    dropout: float,
    weights: str | Path | None = None,
) -> keras.Model:
    """Return an untrained model from prepared images, uint8 (n, image_size, image_size, 1), to probabilities.

    Resizing to the network's ``input_size`` px (bilinear, antialiased) and its scaling are part of the model, so that
    a saved one needs nothing else. The base of a pretrained architecture is frozen, its batch normalisation with it;
    it reads its weights from the file ``weights``, or is left at random if none is given.
    """
    entry = find_architecture(architecture)
    image = keras.Input((image_size, image_size, 1), dtype="uint8", name="image")
    x = keras.ops.cast(image, "float32")
    if input_size != image_size:
        # Not layers.Resizing: its default `training=True` reaches the layers behind it when the model is called.
        x = keras.ops.image.resize(x, (input_size, input_size), antialias=True, data_format="channels_last")
    model = keras.Model(image, entry.network()(x, n_labels, dropout), name=architecture)
    if entry.frozen:
        base = model.get_layer(BASE)
        base.trainable = False
        if weights:
            base.load_weights(weights)
    return model


def count_parameters(model: keras.Model) -> dict[str, int]:
    """Return the number of parameters and of those that training changes."""
    return {
        "parameters": sum(math.prod(weight.shape) for weight in model.weights),
        "trainable_parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
    }
