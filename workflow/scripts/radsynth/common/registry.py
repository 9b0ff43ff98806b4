"""All that the configuration chooses by name: one table, kind by kind, which imports nothing of what it names.

A new entry is one line here. What an entry says beside its path is what the workflow must know while it plans and
cannot ask the thing itself, since that imports a framework. It reaches jobs as their inputs and parameters alone: the
hash of a rule's code leaves the table out, and each rule hashes the modules that it loads (see ``code``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from radsynth.common.errors import UserError

LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"  # of resources/weights.yaml, for the similarities of pairs


@dataclass(frozen=True)
class Entry:
    """Where something lives: ``path`` is module:object."""

    path: str

    @property
    def module(self) -> str:
        """The dotted name of the module."""
        return self.path.split(":")[0]

    def load(self) -> Any:
        """Import the module and return the object."""
        return getattr(import_module(self.module), self.path.split(":")[1])


@dataclass(frozen=True)
class SourceEntry(Entry):
    """A ``downloadable`` source can fetch its images, given the credentials that their publisher asks for."""

    downloadable: bool = False


@dataclass(frozen=True)
class ExtractorEntry(Entry):
    """``needs_weights`` is a file of resources/weights.yaml or None.

    A ``fitted`` extractor learns its basis from the real images, and pools are seen through that same basis. An
    extractor ``per_cohort`` is a classifier trained on a cohort, whose room writes the features, once per cohort; its
    path is the function that describes it.
    """

    needs_weights: str | None = None
    fitted: bool = False
    per_cohort: bool = False


_INCEPTION_WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"

KINDS: dict[str, dict[str, Entry]] = {
    "sources": {
        "folder": SourceEntry("radsynth.data.folder:Folder"),
        "kaggle_cxr": SourceEntry("radsynth.data.kaggle:KaggleCxr", downloadable=True),
        "kaggle_pneumonia": SourceEntry("radsynth.data.kaggle:KagglePneumonia", downloadable=True),
        "medmnist": SourceEntry("radsynth.data.medmnist:MedMnist", downloadable=True),
        "phantom": SourceEntry("radsynth.data.phantom:Phantom"),
        "vindr_mammo": SourceEntry("radsynth.data.vindr:VindrMammo", downloadable=True),
    },
    "extractors": {
        "pixels": ExtractorEntry("radsynth.features.pixels:Pixels", fitted=True),
        "resnet18_imagenet": ExtractorEntry("radsynth.features.resnet18:ResNet18ImageNet", "resnet18-f37072fd.pth"),
        "inception_v3_fid": ExtractorEntry("radsynth.features.inception:InceptionV3Fid", _INCEPTION_WEIGHTS),
        "inception_v3_torch_fidelity": ExtractorEntry(
            "radsynth.features.inception:InceptionV3TorchFidelity", _INCEPTION_WEIGHTS
        ),
        "domain": ExtractorEntry("radsynth.tasks.domain:describe", per_cohort=True),
    },
    "families": {
        "ddpm": Entry("radsynth.generators.ddpm:DDPM"),
        "latent_diffusion": Entry("radsynth.generators.latent_diffusion:LatentDiffusion"),
        "pggan": Entry("radsynth.generators.pggan:PGGAN"),
    },
    "pools": {
        "sampled": Entry("radsynth.pools.sampled:Sampled"),
    },
    "learners": {
        "custom_cnn": Entry("radsynth.tasks.keras_learner:CustomCNN"),
        "vgg16_untrained": Entry("radsynth.tasks.keras_learner:VGG16Untrained"),
        "vgg16_pretrained": Entry("radsynth.tasks.keras_learner:VGG16Pretrained"),
        "resnet50_pretrained": Entry("radsynth.tasks.keras_learner:ResNet50Pretrained"),
    },
    # In the order in which tables and sections of the report stand.
    "chapters": {
        "utility": Entry("radsynth.report.utility:CHAPTER"),
        "realism": Entry("radsynth.report.realism:CHAPTER"),
        "fidelity": Entry("radsynth.report.fidelity:CHAPTER"),
        "copying": Entry("radsynth.report.copying:CHAPTER"),
        "privacy": Entry("radsynth.report.privacy:CHAPTER"),
        "basis": Entry("radsynth.report.basis:CHAPTER"),
        "costs": Entry("radsynth.report.costs:CHAPTER"),
    },
    "tasks": {
        "classification": Entry("radsynth.tasks.classification:Classification"),
    },
    "attacks": {},
}

# What error messages call an entry; ``name`` where it is not said here.
NOUNS: Mapping[str, str] = {
    "sources": "source",
    "extractors": "extractor",
    "families": "family",
    "pools": "kind",
    "attacks": "kind",
}


def find(kind: str, name: str, where: str) -> Entry:
    """Return an entry; UserError, beginning with the configuration key ``where``, if there is none of this name."""
    known = KINDS[kind]
    if name not in known:
        noun = NOUNS.get(kind, "name")
        raise UserError(f"{where}: unknown {noun} {name!r}, expected one of {', '.join(known) or '(none defined)'}")
    return known[name]
