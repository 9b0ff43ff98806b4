"""Raw files that are added, removed or fetched later, of sources that can fetch theirs themselves."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from radsynth.common.files import write_json
from radsynth.data.downloads import download, looked_for
from radsynth.data.vindr_standin import MARKER, write_standin
from radsynth.study.config import Study

LABELS = ["NORMAL", "PNEUMONIA"]
STUDY = {
    "study": "repaired",
    "image_size": 32,
    "labels": LABELS,
    "samplings": {"random": {"method": "random"}},
    "scenarios": {"small": {"train": dict.fromkeys(LABELS, 4)}},
    "generators": {},
    "mixes": {"baseline": {"real": True}},
    "classifiers": {"custom_cnn": {"architecture": "custom_cnn"}},
    "runs": 1,
}
MAMMOGRAMS = {
    "source": "vindr_mammo",
    "classes": {"by": "birads", "groups": {"NORMAL": [1, 2], "PNEUMONIA": [3, 4, 5]}},
    "skip_missing": True,
}
FETCHED = {"Fetching the raw images of mine", "Preparing the images of mine", "Describing the images of mine"}


@pytest.fixture(autouse=True)
def no_login(monkeypatch):
    for name in ("PHYSIONET_USERNAME", "PHYSIONET_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def data(checkout, snakemake):
    """Run or plan the preparation of a dataset's entry; return the messages of the jobs."""

    def run(dataset: dict, *options: str) -> set[str]:
        (checkout / "study.yaml").write_text(yaml.safe_dump(STUDY | {"datasets": {"mine": dataset}}))
        result = snakemake(checkout, "--configfile", "study.yaml", "--cores", "2", *options, "--", "data")
        assert result.returncode == 0, result.stdout[-3000:]
        return set(re.findall(r"^(?:local)?[Jj]ob \d+: (.*)$", result.stdout, re.MULTILINE)) - {""}

    return run


def mammograms(raw: Path, studies: int) -> Path:
    """Write files as the publisher names them."""
    write_standin(raw, studies, height=100)
    (raw / MARKER).unlink()
    return raw


def rows(checkout: Path) -> int:
    return len((checkout / "results/repaired/data/mine/manifest.csv").read_text().splitlines()) - 1


@pytest.mark.slow
def test_files_that_were_missing_and_skipped_are_prepared_once_they_are_there(checkout, data, tmp_path, monkeypatch):
    raw = mammograms(tmp_path / "raw", studies=10)
    dataset = MAMMOGRAMS | {"path": str(raw)}
    missing = sorted(raw.glob("images/*/*.dicom"))[::3]
    for file in missing:
        shutil.move(file, tmp_path / file.name)
    assert data(dataset) >= FETCHED
    few = rows(checkout)
    assert data(dataset, "--dry-run") == set()
    # Whoever gets a login for them later wants them to be fetched.
    monkeypatch.setenv("PHYSIONET_USERNAME", "reader")
    monkeypatch.setenv("PHYSIONET_PASSWORD", "s3cret-pass")
    assert data(dataset, "--dry-run") >= FETCHED
    monkeypatch.undo()
    for file in missing:
        shutil.move(tmp_path / file.name, file)
    assert data(dataset) >= FETCHED
    assert rows(checkout) == few + len(missing)
    assert data(dataset, "--dry-run") == set()
    shutil.rmtree(raw)
    assert data(dataset, "--dry-run") == set(), "prepared images need no raw ones"


@pytest.mark.slow
def test_a_kaggle_set_placed_by_hand_is_prepared_anew_when_its_files_change(checkout, data, tmp_path):
    raw, rng = tmp_path / "raw", np.random.default_rng(0)
    for label in LABELS:
        (raw / label).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(raw / label / f"{i}.png")
    dataset = {"source": "kaggle_cxr", "path": str(raw)}
    assert data(dataset) >= FETCHED and rows(checkout) == 24
    assert data(dataset, "--dry-run") == set()
    for i in range(3):
        (raw / LABELS[0] / f"{i}.png").unlink()
    assert data(dataset) >= FETCHED and rows(checkout) == 21
    assert data(dataset, "--dry-run") == set()


def test_a_download_itself_is_no_reason_to_look_again(tmp_path):
    """Files that the rule fetches change the fingerprint after it was asked."""
    raw = mammograms(tmp_path / "raw", studies=1)
    dataset = Study(STUDY | {"datasets": {"mine": MAMMOGRAMS | {"path": str(raw)}}})["datasets"]["mine"]
    record = tmp_path / "download.json"
    asked = looked_for(dataset | {"path": str(tmp_path / "none")}, record, prepared=False)
    write_json(record, download(dataset, LABELS, asked))
    assert looked_for(dataset, record, prepared=False) == asked == looked_for(dataset, record, prepared=True)
    for content in ("{", "[]", '{"source": "vindr_mammo", "downloaded_from": null}'):
        before = record.read_text()
        record.write_text(content)
        assert looked_for(dataset, record, prepared=True) != asked, "a record that is none is made anew"
        record.write_text(before)
    next(raw.glob("images/*/*.dicom")).unlink()
    assert looked_for(dataset, record, prepared=True) != asked
