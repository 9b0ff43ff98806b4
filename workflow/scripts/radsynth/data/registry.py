"""The sources by the names that the configuration uses."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from radsynth.common.errors import UserError
from radsynth.data.source import Source

SOURCES = {
    "folder": "radsynth.data.folder:Folder",
    "kaggle_cxr": "radsynth.data.kaggle:KaggleCxr",
    "kaggle_pneumonia": "radsynth.data.kaggle:KagglePneumonia",
    "medmnist": "radsynth.data.medmnist:MedMnist",
    "phantom": "radsynth.data.phantom:Phantom",
}
SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "sources.schema.yaml"


@cache
def option_schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each source's own options: {source: {properties, required}}."""
    return yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))


def load_source(dataset: Mapping[str, Any], labels: Sequence[str]) -> Source:
    """Return the source that ``dataset`` (its entry of the configuration) names; missing options get their defaults."""
    name = dataset["source"]
    if name not in SOURCES:
        raise UserError(f"datasets: unknown source {name!r}, expected one of {', '.join(SOURCES)}")
    properties = option_schemas()[name]["properties"]
    defaults = {key: schema["default"] for key, schema in properties.items() if "default" in schema}
    module, _, attribute = SOURCES[name].partition(":")
    return getattr(import_module(module), attribute)({**defaults, **dataset}, labels)


def download(dataset: Mapping[str, Any], labels: Sequence[str] = ()) -> dict[str, Any]:
    """Make sure that the raw files of a dataset are in its path; return a record of what was done."""
    origin = load_source(dataset, labels).download()
    return {"source": dataset["source"], "path": dataset.get("path"), "downloaded_from": origin}
