"""The sources by the names that the configuration uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.schema import read_schema
from radsynth.data.source import Source


@dataclass(frozen=True)
class SourceEntry:
    """Where a source lives: ``path`` is module:Class.

    A ``downloadable`` source can fetch its images, given the credentials that their publisher asks for.
    """

    path: str
    downloadable: bool = False

    @property
    def module(self) -> str:
        """The dotted name of the source's module."""
        return self.path.split(":")[0]

    def load(self) -> type[Source]:
        """Import the source's class."""
        return getattr(import_module(self.module), self.path.split(":")[1])


SOURCES = {
    "folder": SourceEntry("radsynth.data.folder:Folder"),
    "kaggle_cxr": SourceEntry("radsynth.data.kaggle:KaggleCxr", downloadable=True),
    "kaggle_pneumonia": SourceEntry("radsynth.data.kaggle:KagglePneumonia", downloadable=True),
    "medmnist": SourceEntry("radsynth.data.medmnist:MedMnist", downloadable=True),
    "phantom": SourceEntry("radsynth.data.phantom:Phantom"),
    "vindr_mammo": SourceEntry("radsynth.data.vindr:VindrMammo", downloadable=True),
}


def load_source(dataset: Mapping[str, Any], labels: Sequence[str]) -> Source:
    """Return the source that ``dataset`` (its entry of the configuration) names; missing options get their defaults."""
    name = dataset["source"]
    if name not in SOURCES:
        raise UserError(f"datasets: unknown source {name!r}, expected one of {', '.join(SOURCES)}")
    properties = read_schema("sources")[name]["properties"]
    defaults = {key: schema["default"] for key, schema in properties.items() if "default" in schema}
    return SOURCES[name].load()({**defaults, **dataset}, labels)


def download(dataset: Mapping[str, Any], labels: Sequence[str] = ()) -> dict[str, Any]:
    """Make sure that the raw files of a dataset are in its path; return a record of what was done."""
    origin = load_source(dataset, labels).download()
    return {"source": dataset["source"], "path": dataset.get("path"), "downloaded_from": origin}
