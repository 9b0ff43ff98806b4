"""The classifiers' networks, in backend-neutral Keras."""

import math
from collections.abc import Callable
from pathlib import Path

import keras
from keras import layers

from radsynth.tasks.learner import learner_class

#: Keras' default of 0.99 forgets its initial statistics too slowly for the core study's baseline of 200 steps. With
#: 400 chest X-rays of 64 px its test AUC was .50 (training loss .07) against .84 with 0.9, while the mixes take
#: thousands of steps: synthetic images would have seemed to help for that reason alone.
BATCH_NORM_MOMENTUM = 0.9

BASE, FEATURES = "base", "features"  # layers of the ImageNet networks: the network without top, and its flat output
# What the last layer makes of its sums, by what the network makes small.
ACTIVATIONS = {"cross_entropy": "softmax", "squared_error": "linear"}


def custom_cnn(image: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """The small network of Khazrak et al. 2025 (section 3.4): 17,183,234 parameters for 128 x 128 px and two labels.

    Maps gray images (n, size, size, 1) in [0, 255] to what the last layer reads (n, 128), as all networks here do. The
    paper does not give the momentum of batch normalisation.
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
    return x


def vgg16(image: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """VGG16 (Simonyan and Zisserman 2015) with the paper's head: 27,561,282 parameters for 224 px and two labels."""
    network = keras.applications.vgg16
    return _on_base(network.VGG16, network.preprocess_input, image, dropout)


def resnet50(image: keras.KerasTensor, dropout: float) -> keras.KerasTensor:
    """ResNet50 (He et al. 2016) with the paper's head: 74,969,474 parameters for 224 px and two labels."""
    network = keras.applications.resnet50
    return _on_base(network.ResNet50, network.preprocess_input, image, dropout)


def _on_base(
    network: Callable[..., keras.Model],
    preprocess: Callable[[keras.KerasTensor], keras.KerasTensor],
    image: keras.KerasTensor,
    dropout: float,
) -> keras.KerasTensor:
    """Put the head of Khazrak et al. 2025, but for its last layer, on an ImageNet network."""
    x = preprocess(layers.Concatenate(name="rgb")([image, image, image]))
    x = network(include_top=False, weights=None, input_shape=x.shape[1:], name=BASE)(x)
    x = layers.Flatten(name=FEATURES)(x)
    x = layers.Dense(512, activation="relu")(x)
    return layers.Dropout(dropout)(x)


NETWORKS = {"custom_cnn": custom_cnn, "vgg16": vgg16, "resnet50": resnet50}


def build_model(
    architecture: str,
    image_size: int,
    input_size: int,
    outputs: int,
    dropout: float,
    weights: str | Path | None = None,
    loss: str = "cross_entropy",
) -> keras.Model:
    """Return an untrained model from prepared images, uint8 (n, image_size, image_size, 1), to its outputs.

    These are probabilities for ``cross_entropy``, and any numbers for ``squared_error``.

    Resizing to the network's ``input_size`` px (bilinear, antialiased) and its scaling are part of the model, so that
    a saved one needs nothing else. The base of a pretrained architecture is frozen, its batch normalisation with it;
    it reads its weights from the file ``weights``, or is left at random if none is given.
    """
    learner = learner_class(architecture)
    image = keras.Input((image_size, image_size, 1), dtype="uint8", name="image")
    x = keras.ops.cast(image, "float32")
    if input_size != image_size:
        # Not layers.Resizing: its default `training=True` reaches the layers behind it when the model is called.
        x = keras.ops.image.resize(x, (input_size, input_size), antialias=True, data_format="channels_last")
    x = NETWORKS[learner.network](x, dropout)
    model = keras.Model(image, layers.Dense(outputs, activation=ACTIVATIONS[loss])(x), name=architecture)
    if learner.weights_file:
        base = model.get_layer(BASE)
        base.trainable = False
        if weights:
            base.load_weights(weights)
    return model


def last_hidden_layer(model: keras.Model) -> keras.Model:
    """Return the model from images, uint8 (n, size, size, 1), to the input of its last layer, float32 (n, dim).

    Used for inference, dropout passes everything. The layers are those of ``model``, not copies.
    """
    return keras.Model(model.input, model.layers[-1].input)


def count_parameters(model: keras.Model) -> dict[str, int]:
    """Return the number of parameters and of those that training changes."""
    return {
        "parameters": sum(math.prod(weight.shape) for weight in model.weights),
        "trainable_parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
    }
