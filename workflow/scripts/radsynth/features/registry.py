"""The feature extractors by name. Imports neither torch nor numpy: the workflow reads it while it plans."""

from dataclasses import dataclass
from importlib import import_module

from radsynth.common.errors import UserError

LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"  # of resources/weights.yaml


@dataclass(frozen=True)
class ExtractorEntry:
    """Where an extractor lives and what it needs.

    ``module`` and ``attribute`` name its class; ``needs_weights`` is a file of resources/weights.yaml or None;
    a ``fitted`` extractor learns its basis from the real images, and pools are seen through that same basis.
    An extractor ``per_cohort`` has no class here: it is a classifier trained on a cohort, whose own room writes the
    features (radsynth/tasks/domain.py), once per cohort.
    """

    module: str | None = None
    attribute: str | None = None
    needs_weights: str | None = None
    fitted: bool = False
    per_cohort: bool = False

    def load(self) -> type:
        """Import the extractor's class; there is none ``per_cohort``."""
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
    "domain": ExtractorEntry(per_cohort=True),
}


def extractor_entry(name: str) -> ExtractorEntry:
    """Return the entry of an extractor; UserError if there is none of that name."""
    if name not in EXTRACTORS:
        raise UserError(f"extractor {name}: unknown, expected one of {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name]
