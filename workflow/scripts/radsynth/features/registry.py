"""The feature extractors by name. Imports neither torch nor numpy: the workflow reads it while it plans."""

from dataclasses import dataclass
from importlib import import_module

from radsynth.common.errors import UserError


@dataclass(frozen=True)
class ExtractorEntry:
    """Where an extractor lives and what it needs.

    ``module`` and ``attribute`` name its class; ``needs_weights`` is a file of resources/weights.yaml or None;
    a ``fitted`` extractor learns its basis from the real images, and pools are seen through that same basis.
    """

    module: str
    attribute: str
    needs_weights: str | None = None
    fitted: bool = False

    def load(self) -> type:
        """Import the extractor's class."""
        return getattr(import_module(self.module), self.attribute)


EXTRACTORS = {
    "pixels": ExtractorEntry("radsynth.features.pixels", "Pixels", fitted=True),
    "resnet18_imagenet": ExtractorEntry("radsynth.features.resnet18", "ResNet18ImageNet", "resnet18-f37072fd.pth"),
    "inception_v3_fid": ExtractorEntry(
        "radsynth.features.inception", "InceptionV3Fid", "pt_inception-2015-12-05-6726825d.pth"
    ),
    "inception_v3_torch_fidelity": ExtractorEntry(
        "radsynth.features.inception", "InceptionV3TorchFidelity", "pt_inception-2015-12-05-6726825d.pth"
    ),
}


def extractor_entry(name: str) -> ExtractorEntry:
    """Return the entry of an extractor; UserError if there is none of that name."""
    if name not in EXTRACTORS:
        raise UserError(f"extractor {name}: unknown, expected one of {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name]
