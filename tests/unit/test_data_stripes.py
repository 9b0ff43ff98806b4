"""A source is one file, one line and its part of the schema of sources: it is planned and prepared like the others."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.common.registry import KINDS, SourceEntry
from radsynth.common.schema import read_schema
from radsynth.data.datasets_section import check_datasets, fill_datasets
from radsynth.data.prepare import prepare

LABELS = ["NORMAL", "PNEUMONIA"]
OWN = {"properties": {"images": {"description": "Images of each label.", "type": "integer", "default": 4}}}


@pytest.fixture(autouse=True)
def stripes(monkeypatch):
    """Do what somebody does who adds a source: its line, and its options."""
    monkeypatch.setitem(KINDS["sources"], "stripes", SourceEntry("stripes_source:Stripes"))
    monkeypatch.setitem(read_schema("sources"), "stripes", OWN)


def planned(**options):
    config = {"labels": LABELS, "scenarios": {}, "datasets": {"mine": {"source": "stripes", **options}}}
    fill_datasets(config)
    check_datasets(config)
    return config["datasets"]["mine"]


def test_its_options_are_filled_in_and_checked():
    assert planned()["images"] == 4 and planned(images=6)["images"] == 6
    with pytest.raises(UserError, match=r"^datasets\.mine\.images: 'many'"):
        planned(images="many")


def test_its_images_are_prepared(tmp_path):
    names = {"images": "images", "masks": "masks", "manifest": "manifest.csv"}
    names |= {"integrity": "integrity.json", "table": "integrity.md"}
    prepare("mine", planned(), LABELS, 32, 5, **{key: tmp_path / name for key, name in names.items()})
    manifest = pd.read_csv(tmp_path / "manifest.csv", dtype=str)
    assert manifest["label"].value_counts().to_dict() == {"NORMAL": 4, "PNEUMONIA": 4}
    assert manifest["patient_id"].nunique() == 4 and manifest["phase"].astype(float).between(0, 6).all()
    with Image.open(tmp_path / manifest["file"][0]) as image:
        assert image.size == (32, 32) and np.ptp(np.asarray(image)) > 200
    assert read_json(tmp_path / "integrity.json")["counts"] == {"NORMAL": 4, "PNEUMONIA": 4}
