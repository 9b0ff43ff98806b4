"""The classifiers' architectures by name. Imports no Keras: the workflow reads it while it plans."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from radsynth.common.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """Where a network is defined, as module:function, and the initial weights it uses (``none``: drawn at random)."""

    path: str
    weights: str

    def network(self) -> Any:
        """Import the function that maps (image tensor, number of labels, dropout) to probabilities."""
        module, function = self.path.split(":")
        return getattr(import_module(module), function)


ARCHITECTURES = {
    "custom_cnn": Architecture("radsynth.classifiers.architectures:custom_cnn", weights="none"),
}


def find_architecture(name: str) -> Architecture:
    """Return a registered architecture; UserError if there is none of this name."""
    if name not in ARCHITECTURES:
        raise UserError(f"classifiers: architecture {name}, expected one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
