"""The classifiers' networks, in backend-neutral Keras."""

import math

import keras
from keras import layers

from radsynth.classifiers.registry import find_architecture

#: Keras' default of 0.99 forgets its initial statistics too slowly for the core study's baseline of 200 steps. With
#: 400 chest X-rays of 64 px its test AUC was .50 (training loss .07) against .84 with 0.9, while the mixes take
#: thousands of steps: synthetic images would have seemed to help for that reason alone.
BATCH_NORM_MOMENTUM = 0.9


def custom_cnn(image: keras.KerasTensor, n_labels: int, dropout: float) -> keras.KerasTensor:
    """The small network of Khazrak et al. 2025 (section 3.4): 17,183,234 parameters for 128 x 128 px and two labels.

    Maps gray images (n, size, size, 1) in [0, 1] to probabilities (n, n_labels). The paper does not give the
    momentum of batch normalisation.
    """
    x = layers.Concatenate(name="rgb")([image, image, image])
    for filters in (64, 128, 256):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for units in (256, 128):
        x = layers.Dense(units, activation="relu")(x)
        x = layers.Dropout(dropout)(x)
    return layers.Dense(n_labels, activation="softmax")(x)


def build_model(architecture: str, image_size: int, input_size: int, n_labels: int, dropout: float) -> keras.Model:
    """Return an untrained model from prepared images, uint8 (n, image_size, image_size, 1), to probabilities.

    Scaling to [0, 1] and resizing to the network's ``input_size`` px (bilinear, antialiased) are part of the model,
    so that a saved one needs nothing else.
    """
    image = keras.Input((image_size, image_size, 1), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255)(image)
    if input_size != image_size:
        # Not layers.Resizing: its default `training=True` reaches the layers behind it when the model is called.
        x = keras.ops.image.resize(x, (input_size, input_size), antialias=True, data_format="channels_last")
    probabilities = find_architecture(architecture).network()(x, n_labels, dropout)
    return keras.Model(image, probabilities, name=architecture)


def count_parameters(model: keras.Model) -> dict[str, int]:
    """Return the number of parameters and of those that training changes."""
    return {
        "parameters": sum(math.prod(weight.shape) for weight in model.weights),
        "trainable_parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
    }
