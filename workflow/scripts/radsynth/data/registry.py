"""The sources by the names that the configuration uses."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.common.schema import read_schema
from radsynth.data.listing import fingerprint
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


def has_login() -> bool:
    """Return whether the environment holds the login of a source that lets files be missing."""
    return bool(os.environ.get("PHYSIONET_USERNAME") and os.environ.get("PHYSIONET_PASSWORD"))


def load_source(dataset: Mapping[str, Any], labels: Sequence[str]) -> Source:
    """Return the source that ``dataset`` (its entry of the configuration) names; missing options get their defaults."""
    name = dataset["source"]
    if name not in SOURCES:
        raise UserError(f"datasets: unknown source {name!r}, expected one of {', '.join(SOURCES)}")
    properties = read_schema("sources")[name]["properties"]
    defaults = {key: schema["default"] for key, schema in properties.items() if "default" in schema}
    return SOURCES[name].load()({**defaults, **dataset}, labels)


def download(dataset: Mapping[str, Any], labels: Sequence[str] = (), looked_for: str = "") -> dict[str, Any]:
    """Make sure that the raw files of a dataset are in its path; return a record of what was done.

    ``looked_for`` is what the function of that name has returned. ``missing`` counts the files that are left out.
    """
    origin, missing = load_source(dataset, labels).download()
    return {
        "source": dataset["source"],
        "downloaded_from": origin,
        "missing": missing,
        "login": has_login(),
        "raw": fingerprint(dataset.get("path") or "", dataset.get("masks")),
        "looked_for": looked_for,
    }


def looked_for(dataset: Mapping[str, Any], record: str | Path, prepared: bool) -> str:
    """Return a text that becomes another when raw files have to be looked for again, and not by the download itself.

    That is when they have changed since the download that ``record`` (its file) tells of, or when files were missing
    and there is a login now. Once the images are ``prepared`` nobody looks for raw files of which none is left.
    """
    now, last = fingerprint(dataset["path"], dataset.get("masks")), {}
    with suppress(UserError):  # not there, or cut: it is made anew
        last = read_json(record)
    gone = prepared and not now
    known = isinstance(last, dict) and {"raw", "missing", "login", "looked_for"} <= last.keys()
    if known and (gone or now == last["raw"]) and not (last["missing"] and has_login() and not last["login"]):
        return last["looked_for"]
    return f"{now} with login" if has_login() else now
