"""The classifiers' architectures by name. Imports no Keras: the workflow reads it while it plans."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from radsynth.common.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """Where a network is defined, and the options that a classifier has unless it gives its own.

    ``path`` is module:function. A network with a ``weights_file`` (of resources/weights.yaml) has a frozen base with
    these weights, and only its head is trained; without one, all weights are drawn at random and trained.
    ``input_size`` None: the size of the prepared images. ``scaling`` is what the network does to gray levels x.
    """

    path: str
    scaling: str
    epochs: int
    learning_rate: float
    input_size: int | None = None
    smallest_input: int = 16
    weights_file: str | None = None

    @property
    def frozen(self) -> bool:
        """Whether the network has a frozen base."""
        return self.weights_file is not None

    @property
    def weights(self) -> tuple[str, ...]:
        """The initial weights to choose from, the usual ones first."""
        return ("imagenet", "random") if self.frozen else ("none",)

    def network(self) -> Any:
        """Import the function that maps (image tensor, number of labels, dropout) to probabilities."""
        module, function = self.path.split(":")
        return getattr(import_module(module), function)


_NETWORKS = "radsynth.tasks.keras_networks"
_IMAGENET = {
    "scaling": "x - mean of ImageNet, per channel, BGR",
    "learning_rate": 1e-4,
    "input_size": 224,
    "smallest_input": 32,
}

# Epochs as in Khazrak et al. 2025, section 3.4; the paper does not give the learning rates.
ARCHITECTURES = {
    "custom_cnn": Architecture(f"{_NETWORKS}:custom_cnn", scaling="x / 255", epochs=20, learning_rate=1e-3),
    "vgg16_untrained": Architecture(f"{_NETWORKS}:vgg16", epochs=10, **_IMAGENET),
    "vgg16_pretrained": Architecture(
        f"{_NETWORKS}:vgg16", epochs=5, weights_file="vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", **_IMAGENET
    ),
    "resnet50_pretrained": Architecture(
        f"{_NETWORKS}:resnet50",
        epochs=5,
        weights_file="resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        **_IMAGENET,
    ),
}


def find_architecture(name: str) -> Architecture:
    """Return a registered architecture; UserError if there is none of this name."""
    if name not in ARCHITECTURES:
        raise UserError(f"classifiers: architecture {name}, expected one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def resolve_classifier(classifier: dict[str, Any], image_size: int, where: str) -> dict[str, Any]:
    """Return a classifier's options with those of its architecture where it gives none.

    ``where`` is its configuration key, such as ``classifiers.custom_cnn``; the UserError for an unknown architecture,
    weights that it has not, or an input too small for it begins with it.
    """
    name = classifier["architecture"]
    if name not in ARCHITECTURES:
        raise UserError(f"{where}.architecture: unknown name {name!r}, expected one of {', '.join(ARCHITECTURES)}")
    entry = ARCHITECTURES[name]
    usual = {
        "weights": entry.weights[0],
        "epochs": entry.epochs,
        "learning_rate": entry.learning_rate,
        "input_size": entry.input_size or image_size,
    }
    resolved = usual | classifier
    if resolved["weights"] not in entry.weights:
        raise UserError(f"{where}.weights: {resolved['weights']}, {name} expects {' or '.join(entry.weights)}")
    if resolved["input_size"] < entry.smallest_input:
        raise UserError(
            f"{where}.input_size: {resolved['input_size']}, {name} expects at least {entry.smallest_input} px"
        )
    return resolved


def weights_file(classifier: dict[str, Any]) -> str | None:
    """Return the file of resources/weights.yaml that a resolved classifier starts from, None if it needs none."""
    return find_architecture(classifier["architecture"]).weights_file if classifier["weights"] == "imagenet" else None
