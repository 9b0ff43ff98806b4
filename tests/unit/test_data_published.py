"""The published sets: Kaggle's folder layouts and MedMNIST files, from disk and from a server of our own."""

import hashlib
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kagglehub
import numpy as np
import pandas as pd
import pytest
from kagglehub import http_resolver
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.common.registry import KINDS
from radsynth.common.schema import read_schema
from radsynth.data import medmnist
from radsynth.data.downloads import download
from radsynth.data.prepare import prepare
from radsynth.data.source import load_source

LABELS = ["NORMAL", "PNEUMONIA"]


def run(out, dataset, labels=LABELS, size=32):
    prepare(
        "set",
        {"fit": "pad", **dataset},
        labels,
        size,
        1,
        images=out / "images",
        masks=out / "masks",
        manifest=out / "manifest.csv",
        integrity=out / "integrity.json",
        table=out / "integrity.md",
        threads=2,
    )
    table = pd.read_csv(out / "manifest.csv", dtype=str, keep_default_na=False)
    return table, read_json(out / "integrity.json")


def save(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)).save(path)


def test_every_source_has_a_schema_and_loads():
    assert set(read_schema("sources")) == set(KINDS["sources"])
    for source in KINDS["sources"]:
        assert load_source({"source": source, "path": "x", "name": "breastmnist", "images": {}}, []).records
    with pytest.raises(UserError, match="unknown source 'nowhere'"):
        load_source({"source": "nowhere"}, LABELS)


@pytest.mark.parametrize("nested", ["", "Covid Pneumonia Normal"])
def test_kaggle_cxr_layout_and_counts(tmp_path, nested):
    raw = tmp_path / "raw" / nested
    for number, label in enumerate([*LABELS, "COVID"]):
        for index in range(2):
            save(raw / label / f"{label} ({index}).png", 10 * number + index)
    table, report = run(tmp_path / "out", {"source": "kaggle_cxr", "path": str(tmp_path / "raw")})
    assert sorted(table.label) == ["NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA"]
    assert report["expected"] == {"NORMAL": 1802, "PNEUMONIA": 1800}
    differs = {check["label"]: check["count"] for check in report["checks"] if check["check"] == "count_differs"}
    assert differs == {"NORMAL": 1800, "PNEUMONIA": 1798}


def test_kaggle_download_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "raw" / "cxr"

    def fetch(slug, output_dir):
        assert slug == "sachinkumar413/covid-pneumonia-normal-chest-xray-images"
        save(tmp_path / output_dir / "NORMAL" / "a.png", 1)
        if not path.parent.joinpath("allowed").exists():
            raise ConnectionError("403\nno credentials")

    monkeypatch.setattr(kagglehub, "dataset_download", fetch)
    dataset = {"source": "kaggle_cxr", "path": str(path)}
    with pytest.raises(UserError, match="cxr: Kaggle's sachinkumar413.*403 no credentials.*KAGGLE_API_TOKEN") as caught:
        download(dataset, LABELS)
    assert "\n" not in str(caught.value) and not list(path.parent.iterdir())
    path.parent.joinpath("allowed").touch()
    record = download(dataset, LABELS)
    assert record["downloaded_from"].endswith("chest-xray-images") and (path / "NORMAL" / "a.png").is_file()
    assert download(dataset, LABELS)["downloaded_from"] is None


def write_zip(path, members, link=None):
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, "outside")
        if link:
            entry = zipfile.ZipInfo("NORMAL/link.png")
            entry.create_system, entry.external_attr = 3, 0o120777 << 16
            archive.writestr(entry, link)


def write_tar(path, members, link=None):
    with tarfile.open(path, "w:gz") as archive:
        for name in members:
            archive.addfile(tarfile.TarInfo(name))
        if link:
            entry = tarfile.TarInfo("NORMAL/link.png")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)


@pytest.mark.parametrize("write", [write_zip, write_tar])
@pytest.mark.parametrize(
    ("members", "link"), [(["../../out.png"], None), (["/tmp/radsynth_out.png"], None), ([], "/etc/passwd")]
)
def test_a_kaggle_archive_writes_nothing_outside_its_folder(tmp_path, monkeypatch, write, members, link):
    """kagglehub unpacks: members either stay below the folder or end the download in one line."""
    archive, path = tmp_path / "in.archive", tmp_path / "a/b/cxr"
    write(archive, ["NORMAL/a.png", *members], link)
    unpack = http_resolver._extract_archive
    monkeypatch.setattr(kagglehub, "dataset_download", lambda slug, output_dir: unpack(str(archive), output_dir))
    try:
        download({"source": "kaggle_cxr", "path": str(path)}, LABELS)
    except UserError as error:
        assert "\n" not in str(error) and not list(path.parent.iterdir())
    else:
        assert (path / "NORMAL/a.png").is_file() and not any(file.is_symlink() for file in path.rglob("*"))
    below = {file.relative_to(tmp_path).parts[:3] for file in tmp_path.rglob("*.png")}
    assert below <= {("a", "b", "cxr")} and not Path("/tmp/radsynth_out.png").exists()


def test_missing_files_say_how_to_get_them(tmp_path):
    for source in ("kaggle_cxr", "kaggle_pneumonia"):
        with pytest.raises(UserError, match="raw: no such folder; download https://www.kaggle.com/datasets/"):
            load_source({"source": source, "path": str(tmp_path / "raw")}, LABELS).records(32, 1)
    with pytest.raises(UserError, match="breastmnist_64.npz: no such file; run the rule download"):
        dataset = {"source": "medmnist", "name": "breastmnist", "size": 64, "path": str(tmp_path)}
        load_source(dataset, ["MALIGNANT"]).records(32, 1)


def test_kaggle_pneumonia_names_and_splits(tmp_path):
    names = {
        "train/PNEUMONIA/person123_bacteria_4.jpeg": ("person123", "bacteria"),
        "test/PNEUMONIA/person7_virus_1.jpeg": ("person7", "virus"),
        "train/NORMAL/IM-0115-0001.jpeg": ("IM-0115", ""),
        "train/NORMAL/NORMAL2-IM-0095-0001-0002.jpeg": ("NORMAL2-IM-0095", ""),
        "test/NORMAL/IM-0001-0001.jpeg": ("IM-0001", ""),
    }
    for seed, name in enumerate(names):
        save(tmp_path / "raw" / "chest_xray" / name, seed)
    dataset = {"source": "kaggle_pneumonia", "path": str(tmp_path / "raw")}
    table, report = run(tmp_path / "out", dataset)
    found = {row.source: (row.patient_id, row.subtype) for row in table.itertuples()}
    assert found == {f"chest_xray/{name}": value for name, value in names.items()}
    assert list(table.columns[-2:]) == ["split", "subtype"] and set(table.split) == {"train", "test"}
    assert report["expected"] == {"NORMAL": 1583, "PNEUMONIA": 4273}
    only_test = load_source({**dataset, "splits": ["test"]}, LABELS)
    assert len(only_test.records(32, 1)) == 2 and only_test.expected_counts() == {"NORMAL": 234, "PNEUMONIA": 390}
    with pytest.raises(UserError, match="no image in a folder val"):
        load_source({**dataset, "splits": ["val"]}, LABELS).records(32, 1)


@pytest.fixture
def kermany(shared_data):
    """The shared images of Kermany et al. and what is known about them."""
    path = shared_data / "kermany_cxr_224"
    if not path.is_dir():
        pytest.skip("needs the shared development images (kermany_cxr_224)")
    return path, pd.read_csv(path / "manifest.csv", dtype=str, keep_default_na=False).set_index("file")


def test_kermany_patients_as_published(kermany):
    path, truth = kermany
    records = load_source({"source": "kaggle_pneumonia", "path": str(path)}, LABELS).records(32, 1)
    assert {record.source for record in records} == set(truth.index)
    for record in records:
        row = truth.loc[record.source]
        found = (record.patient_id, record.label, record.extra["split"], record.extra["subtype"])
        assert found == (row.patient_id, row.label, row.split, row.subtype)


@pytest.mark.slow
def test_kermany_pixels_masks_and_duplicates_as_published(kermany, tmp_path):
    path, truth = kermany
    dataset = {"source": "kaggle_pneumonia", "path": str(path), "masks": "lung_masks", "mask_value": 1}
    table, report = run(tmp_path, dataset, size=224)
    table = table.set_index("source")
    truth = truth.loc[table.index]
    # At the published size nothing is resampled: the pixels are the published ones.
    assert (table.sha256 == truth.sha256_pixels).all()
    extra = table.sha256.duplicated().sum()
    found = sum(check["count"] for check in report["checks"] if check["check"] == "exact_duplicates")
    assert found == extra > 0
    assert (table.mask_file == "").sum() == (truth.lung_mask == "").sum()


def test_nih_patients_in_both_classes(shared_data, tmp_path):
    path = shared_data / "nih_cxr_500"
    if not path.is_dir():
        pytest.skip("needs the shared development images (nih_cxr_500)")
    _, report = run(tmp_path, {"source": "folder", "path": str(path), "patient_pattern": r"^(\d+)_"})
    checks = {check["check"]: check["count"] for check in report["checks"]}
    assert checks["patient_in_two_classes"] == 15
    assert checks["exact_duplicates"] == checks["near_duplicates"] == 0


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A tiny BreastMNIST of our own, its MD5 in the place of the published one, on 127.0.0.1."""
    folder = tmp_path / "server"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 8), ("val", 2), ("test", 4)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 2
    np.savez(folder / "breastmnist.npz", **arrays)
    md5 = hashlib.md5((folder / "breastmnist.npz").read_bytes()).hexdigest()
    monkeypatch.setitem(medmnist.CHECKSUMS["breastmnist"], 28, md5)
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    dataset = {"source": "medmnist", "name": "breastmnist", "path": str(tmp_path / "raw")}
    yield folder, {**dataset, "base_url": f"http://127.0.0.1:{httpd.server_port}"}, arrays
    httpd.shutdown()
    httpd.server_close()


def test_medmnist_is_fetched_checked_and_prepared(server, tmp_path):
    _, dataset, arrays = server
    labels = ["MALIGNANT", "BENIGN"]
    assert download(dataset)["downloaded_from"].endswith("/breastmnist.npz")
    assert download(dataset)["downloaded_from"] is None
    table, report = run(tmp_path / "out", dataset, labels, size=28)
    assert report["counts"] == {"MALIGNANT": 7, "BENIGN": 7} and report["expected"] == {"MALIGNANT": 210, "BENIGN": 570}
    row = table[table.source == "breastmnist/test/00003"].iloc[0]
    assert row.split == "test" and row.label == "BENIGN"
    assert row.sha256 == hashlib.sha256(arrays["test_images"][3].tobytes()).hexdigest()


def test_medmnist_corrupt_download_is_refused(server, tmp_path):
    folder, dataset, _ = server
    content = bytearray((folder / "breastmnist.npz").read_bytes())
    content[100] ^= 1
    (folder / "breastmnist.npz").write_bytes(content)
    with pytest.raises(UserError, match="breastmnist.npz could not be downloaded.*hash") as caught:
        download(dataset)
    assert "\n" not in str(caught.value) and not (tmp_path / "raw" / "breastmnist.npz").exists()


def test_medmnist_files_that_are_not_the_published_ones(server, tmp_path):
    _, dataset, arrays = server
    (tmp_path / "raw").mkdir()
    path = tmp_path / "raw" / "breastmnist.npz"
    np.savez(path, **{**arrays, "train_images": arrays["train_images"][:, :20]})
    labels = ["MALIGNANT", "BENIGN"]
    with pytest.raises(UserError, match="breastmnist.npz: MD5 is .*verify: false"):
        load_source(dataset, labels).records(28, 1)
    with pytest.raises(UserError, match="train_images is .8, 20, 28., expected .n, 28, 28."):
        load_source({**dataset, "verify": False}, labels).records(28, 1)
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="not a readable npz file"):
        load_source({**dataset, "verify": False}, labels).records(28, 1)
    with pytest.raises(UserError, match="no class index of breastmnist for label NORMAL"):
        load_source({**dataset, "verify": False}, ["NORMAL"]).records(28, 1)
