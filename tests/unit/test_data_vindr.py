"""The source `vindr_mammo` on a small stand-in: tables, labels, boxes, and every inconsistency on purpose."""

import json
import logging
import re
import shutil

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.common.images import read_gray
from radsynth.common.tables import read_table
from radsynth.data.convert import Geometry
from radsynth.data.describe import FRAME, counts_markdown, write_samples
from radsynth.data.downloads import download
from radsynth.data.prepare import prepare
from radsynth.data.source import Box, load_source
from radsynth.data.vindr_standin import MARKER, TABLES, write_standin
from radsynth.data.vindr_tables import file_of, read_tables
from radsynth.study.config import Study

LABELS = ["BENIGN", "SUSPICIOUS"]
BIRADS = {"by": "birads", "groups": {"BENIGN": [1, 2], "SUSPICIOUS": [3, 4, 5]}, "several": "refuse"}
STANDIN = {"studies": 5, "seed": 3, "height": 192}  # no box of these reaches out of its image
BREAST, FINDINGS, METADATA = TABLES


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A stand-in of five studies, the last of which is the split test."""
    folder = tmp_path_factory.mktemp("vindr") / "raw"
    write_standin(folder, **STANDIN)
    return folder


@pytest.fixture
def raw(drawn, tmp_path):
    """A copy of it that a test may spoil."""
    return shutil.copytree(drawn, tmp_path / "raw")


def dataset(path, **options):
    defaults = {"source": "vindr_mammo", "path": str(path), "fit": "pad", "classes": BIRADS, "standin": STANDIN}
    return defaults | options


def run(out, data, labels=LABELS, size=64):
    """Prepare the data; return the manifest and the counts of its integrity checks."""
    files = {name: out / name for name in ("images", "masks")}
    files |= {"manifest": out / "manifest.csv", "integrity": out / "integrity.json", "table": out / "integrity.md"}
    prepare("set", data, labels, size, 1, **files, threads=2)
    checks = {}
    for check in read_json(out / "integrity.json")["checks"]:
        checks[check["check"]] = checks.get(check["check"], 0) + check["count"]
    return read_table(out / "manifest.csv"), checks


def change(raw, table, row, **values):
    """Change fields of a row (its number, or all rows of an image) of a table."""
    path = raw / table
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows = frame.index == row if isinstance(row, int) else frame["image_id"] == row
    for column, value in values.items():
        frame.loc[rows, column] = value
    frame.to_csv(path, index=False)
    return frame[rows].iloc[0]


def test_prepared_images_columns_and_patients(drawn, tmp_path):
    table, checks = run(tmp_path, dataset(drawn, flip_to="left"))
    assert len(table) == 20 and table["patient_id"].nunique() == 5
    expected = ["view", "laterality", "density", "birads", "age", "split", "findings", "boxes", "origin"]
    assert list(table.columns[-9:]) == expected and set(table["origin"]) == {"procedural stand-in"}
    assert (table.groupby("patient_id")["split"].nunique() == 1).all() and (table["split"] == "test").sum() == 4
    assert set(table["label"][table["birads"].isin(["4", "5"])]) == {"SUSPICIOUS"}
    boxed = [json.loads(boxes) for boxes in table["boxes"]]
    assert all(bool(boxes) == bool(findings) for boxes, findings in zip(boxed, table["findings"], strict=True))
    assert any(boxed) and all(0 <= corner <= 64 for boxes in boxed for box in boxes for corner in box[:4])
    assert checks.pop("procedural") == 20
    ignored = {"patient_in_two_classes", "box_outside", "box_cropped"}
    assert not {check for check, count in checks.items() if count} - ignored
    for row in table.itertuples():  # the chest wall is on the left, whatever the side
        columns = read_gray(tmp_path / row.file).astype(float).sum(axis=0)
        tissue = np.flatnonzero(columns > columns.max() / 10)
        assert columns[tissue[:5]].mean() > columns[tissue[-5:]].mean(), row.source


def test_labels_by_density_and_finding_and_views_and_splits(raw):
    annotated = pd.read_csv(raw / FINDINGS, dtype=str).dropna(subset="xmin")["image_id"].iloc[0]
    change(raw, FINDINGS, annotated, finding_categories="['Suspicious Calcification', 'Mass']")
    rows = {row.source: row for row in read_tables(raw).mammograms}

    def labels(by, groups, several="refuse", **options):
        classes = {"by": by, "groups": groups, "several": several}
        source = load_source(dataset(raw, classes=classes, **options), list(groups))
        records = source.records(64, 1)
        return {record.source: record.label for record in records}, {c: len(f) for c, _, f in source.findings()}

    found, checks = labels("density", {"FAT": ["A", "B"], "DENSE": ["C", "D"]})
    assert all((rows[name].density in "CD") == (label == "DENSE") for name, label in found.items())
    assert len(found) == 20 and checks["in_no_group"] == 0

    found, checks = labels("finding", {"MASS": ["Mass"], "NORMAL": ["No Finding"]})
    assert all(("Mass" in rows[name].findings) == (label == "MASS") for name, label in found.items())
    assert all(bool(rows[name].findings) == (label == "MASS") for name, label in found.items())
    assert checks["in_no_group"] == 20 - len(found) > 0

    both = [name for name, row in rows.items() if {"Mass", "Suspicious Calcification"} <= set(row.findings)]
    groups = {"MASS": ["Mass"], "CALC": ["Suspicious Calcification"]}
    assert both[0].endswith(f"{annotated}.dicom")
    with pytest.raises(UserError, match="in several groups of classes.*MASS, CALC.*classes.several"):
        labels("finding", groups)
    assert labels("finding", groups, "first")[0][both[0]] == "MASS"
    found, checks = labels("finding", groups, "leave_out")
    assert both[0] not in found and checks["in_several_groups"] == len(both)

    found, _ = labels("birads", BIRADS["groups"], views=["MLO"], splits=["test"])
    assert len(found) == 2 and all(rows[name].view == "MLO" and rows[name].split == "test" for name in found)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"by": "birads", "groups": {"BENIGN": [1]}}, "datasets.v.classes.groups: names BENIGN, expected every one of"),
        ({"by": "birads", "groups": {"BENIGN": [1], "SUSPICIOUS": [6]}}, "unknown 6, expected, by birads, some of 1,"),
        ({"by": "density", "groups": {"BENIGN": ["A"], "SUSPICIOUS": ["A"]}}, "'A' occurs twice"),
        ({"by": "colour", "groups": {}}, "datasets.v.classes.by: "),
    ],
)
def test_wrong_classes_end_the_plan_in_one_line(classes, message):
    config = {"study": "s", "labels": LABELS, "scenarios": {"a": {"train": {"BENIGN": 1, "SUSPICIOUS": 1}}}}
    with pytest.raises(UserError) as caught:
        Study(config | {"datasets": {"v": {"source": "vindr_mammo", "classes": classes}}})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_every_inconsistency_is_counted_and_named(raw, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    images = pd.read_csv(raw / BREAST, dtype=str)["image_id"].tolist()
    annotated = pd.read_csv(raw / FINDINGS, dtype=str).dropna(subset="xmin")["image_id"]
    free = [image for image in images[:16] if image not in set(annotated)]
    a, b, c, d, e, f = free[:6]
    change(raw, BREAST, a, breast_birads="BI-RADS 0")
    change(raw, BREAST, b, breast_density="DENSITY D ")
    boxed = {"xmin": "10", "ymin": "10", "xmax": "20", "ymax": "20"}  # without a finding
    change(raw, FINDINGS, b, breast_density="DENSITY A", **boxed)
    change(raw, FINDINGS, c, finding_categories="['Cyst']")
    change(raw, FINDINGS, d, finding_categories="__import__('os').abort()")
    metadata = pd.read_csv(raw / METADATA, dtype=str, keep_default_na=False)
    metadata.loc[metadata["SOP Instance UID"] == e, ["View Position", "Image Laterality"]] = ["", "X"]
    metadata.to_csv(raw / METADATA, index=False)
    table = pd.read_csv(raw / BREAST, dtype=str)
    same, other = table[table["image_id"] == e], table[table["image_id"] == f].assign(breast_birads="BI-RADS 5")
    pd.concat([table, same, other]).to_csv(raw / BREAST, index=False)
    gone, outside, invalid = annotated.drop_duplicates(keep=False)[:3]
    first = change(raw, FINDINGS, gone)
    (raw / file_of(first["study_id"], gone)).unlink()
    width = float(change(raw, FINDINGS, outside, xmin="-4.5", xmax="30", ymin="10", ymax="9000")["width"])
    change(raw, FINDINGS, invalid, xmin="50", xmax="50")
    extra = raw / "images" / "unknown" / "x.dicom"
    extra.parent.mkdir()
    extra.touch()
    study = pd.read_csv(raw / BREAST, dtype=str)["study_id"].iloc[16]
    breasts = pd.read_csv(raw / FINDINGS, dtype=str)
    row = int(breasts.index[breasts["study_id"] == study][0])
    change(raw, FINDINGS, row, split="training")
    loose = breasts.tail(1).assign(image_id="00ff")
    pd.concat([pd.read_csv(raw / FINDINGS, dtype=str), loose]).to_csv(raw / FINDINGS, index=False)

    table, checks = run(tmp_path / "out", dataset(raw))
    assert checks["unknown_value"] == 3 and checks["duplicate_image"] == 2 and checks["annotations_differ"] == 1
    assert checks["metadata_differs"] == 1 and checks["file_missing"] == 1 and checks["row_missing"] == 1
    assert checks["box_outside"] == checks["finding_without_image"] == 1 and checks["box_invalid"] == 2
    assert checks["split_disagrees"] == 4
    used = {source.split("/")[-1].removesuffix(".dicom") for source in table["source"]}
    assert not used & {a, c, d, f, gone} and {b, e, outside, invalid} <= used
    assert study not in set(table["patient_id"])
    report = (tmp_path / "out" / "integrity.md").read_text()
    assert "| row missing |  | 1 |" in report and ".dicom" not in report
    assert f": {file_of(first['study_id'], gone)}\n" in caplog.text
    assert "row missing: images/unknown/x.dicom" in caplog.text
    clipped = next(row for row in read_tables(raw).mammograms if row.image == outside)
    assert clipped.boxes[0].xmin == 0 and clipped.boxes[0].ymax == STANDIN["height"] and width == clipped.width


def test_ages_are_those_of_the_metadata_in_years(raw, tmp_path):
    metadata = pd.read_csv(raw / METADATA, dtype=str, keep_default_na=False)
    written = ["053Y", "101Y", "007Y", "000Y", "018M", "53", "053y", "53Y", " 064Y ", "", "0053Y", "٠٥٣Y", "05\n3Y"]
    metadata.loc[: len(written) - 1, "Patient's Age"] = written
    metadata.drop(index=len(written)).to_csv(raw / METADATA, index=False)
    ages = {row.image: row.age for row in read_tables(raw).mammograms}
    told = [ages[image] for image in metadata["SOP Instance UID"]]
    assert told[: len(written) + 1] == ["53", "101", "7", "", "", "", "", "", "64", "", "", "", "", ""]
    table, _ = run(tmp_path / "out", dataset(raw))
    by_source = dict(zip(table["source"], table["age"], strict=True))
    assert {row.source: row.age for row in read_tables(raw).mammograms} == by_source
    pd.read_csv(raw / METADATA, dtype=str).drop(columns="Patient's Age").to_csv(raw / METADATA, index=False)
    assert {row.age for row in read_tables(raw).mammograms} == {""}, "a table without ages"


@pytest.mark.parametrize("column", ["study_id", "image_id"])
@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a/../../b", "..", "a\\b", "x\0y"])
def test_ids_that_leave_the_folder_are_never_opened(raw, monkeypatch, column, name):
    table = pd.read_csv(raw / BREAST, dtype=str)
    image, findings = table["image_id"].iloc[0], pd.read_csv(raw / FINDINGS, dtype=str)
    for file, rows in ((BREAST, table), (FINDINGS, findings)):
        rows.loc[rows["image_id"] == image, column] = name
        rows.to_csv(raw / file, index=False)
    asked = []
    monkeypatch.setattr("radsynth.data.physionet.Site.fetch", lambda self, files, **_: asked.extend(files) or 0)
    source = load_source(dataset(raw), LABELS)
    records = source.records(64, 1)
    assert len(records) == len(table) - 1
    assert {check: files for check, _, files in source.findings()}["unknown_value"]
    (raw / MARKER).unlink()
    download(dataset(raw, standin=None))
    files = asked + [record.source for record in records]
    assert len(files) >= 2 * len(records) and all(re.fullmatch(r"images/\w+/\w+\.dicom|[\w-]+\.csv", f) for f in files)


def test_views_of_a_breast_may_differ_and_headers_too(raw, tmp_path):
    table = pd.read_csv(raw / BREAST, dtype=str)
    rows = table[(table["laterality"] == "L") & (table["breast_birads"] == "BI-RADS 1")]
    breast = table[(table["study_id"] == rows["study_id"].iloc[0]) & (table["laterality"] == "L")]
    change(raw, BREAST, breast["image_id"].iloc[0], breast_birads="BI-RADS 2")
    path = raw / file_of(breast["study_id"].iloc[0], breast["image_id"].iloc[1])
    header = pydicom.dcmread(path)
    header.ImageLaterality = "R"
    header.save_as(path)
    for name in (BREAST, FINDINGS):
        change(raw, name, breast["image_id"].iloc[1], height="200")
    turned = sorted((raw / "images").glob("*/*.dicom"))[-1]
    header = pydicom.dcmread(turned)
    header.PixelData = header.pixel_array[:, ::-1].tobytes()
    header.save_as(turned)
    table, checks = run(tmp_path / "out", dataset(raw))
    assert len(table) == 20 and checks["breast_birads_differs"] == 2
    assert checks["header_differs"] == checks["size_differs"] == checks["metadata_differs"] == 1
    assert checks["side_unexpected"] == 1


def test_tables_that_cannot_be_read_end_in_one_line(raw):
    source = load_source(dataset(raw), LABELS)
    frame = pd.read_csv(raw / FINDINGS, dtype=str)
    frame.drop(columns="xmin").to_csv(raw / FINDINGS, index=False)
    with pytest.raises(UserError, match="finding_annotations.csv: no column 'xmin'"):
        source.records(64, 1)
    (raw / FINDINGS).write_bytes(b'"\xff\xfe')
    with pytest.raises(UserError, match="finding_annotations.csv: not a readable CSV"):
        source.records(64, 1)
    (raw / FINDINGS).unlink()
    with pytest.raises(UserError, match="finding_annotations.csv: no such file; place VinDr-Mammo there"):
        source.records(64, 1)


def test_a_broken_file_is_named_or_left_out(raw, tmp_path):
    victim = sorted(raw.glob("images/*/*.dicom"))[0]
    victim.write_bytes(victim.read_bytes()[:400])
    with pytest.raises(UserError, match="skip_unreadable leaves such images out$") as caught:
        run(tmp_path / "a", dataset(raw))
    assert str(caught.value).count(victim.name) == 1 and "\n" not in str(caught.value)
    table, checks = run(tmp_path / "b", dataset(raw, skip_unreadable=True))
    assert len(table) == 19 and checks["unreadable"] == 1


@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("crop", [None, (30, 10, 170, 290), (0, 40, 200, 130)])
def test_boxes_go_where_the_pixels_go(fit, mirror, crop):
    for box in (Box(60, 50, 100, 90), Box(120, 100, 160, 125)):
        pixels = np.zeros((300, 200), dtype=np.uint8)
        pixels[box.ymin : box.ymax, box.xmin : box.xmax] = 255
        geometry = Geometry(200, 300, 100, fit, crop, mirror)
        square = np.asarray(geometry.of_image(Image.fromarray(pixels), Image.Resampling.BOX)) > 127
        corners, whole = geometry.visible(box)
        if corners is None:
            assert square.mean() < 0.01
            continue
        rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
        shown = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert np.abs(np.array(corners) - shown).max() <= 0.75
        left, upper, right, lower = crop or (0, 0, 200, 300)
        if fit != "crop":
            assert whole == (left <= box.xmin < box.xmax <= right and upper <= box.ymin < box.ymax <= lower)


def test_box_in_closed_form():
    # 200 x 400 px, the right half cut out and mirrored: 100 x 400 px, padded to 100 px at a quarter of the size.
    geometry = Geometry(200, 400, 100, "pad", (100, 0, 200, 400), True)
    assert geometry.visible(Box(120, 40, 140, 80)) == ([38 + 15, 10, 38 + 20, 20], True)
    assert geometry.visible(Box(80, 40, 140, 80)) == ([53, 10, 63, 20], False), "cut, not shown in the padding"
    squashed = Geometry(200, 400, 100, "squash", (100, 0, 200, 400))
    assert squashed.visible(Box(80, 40, 120, 80)) == ([0, 10, 20, 20], False)
    assert squashed.visible(Box(0, 0, 101, 40)) == (None, False)


def test_counts_and_samples(drawn, tmp_path):
    data = dataset(drawn, flip_to="right")
    table, _ = run(tmp_path, data)
    text = counts_markdown("set", table, LABELS)
    assert "20 images, 5 patients" in text and "| boxes |" not in text
    for column, value in (("view", "CC"), ("laterality", "R"), ("split", "test")):
        of_value = table[table[column] == value]
        cells = [(of_value["label"] == label).sum() for label in LABELS]
        assert f"| {value} | {cells[0]} | {cells[1]} | {sum(cells)} |" in text
    source = load_source(data, LABELS)
    write_samples(tmp_path / "s.png", table, tmp_path / "images", source.records(64, 1), source.options, LABELS)
    with Image.open(tmp_path / "s.png") as sheet:
        framed = (np.asarray(sheet) == FRAME).all(axis=2)
    assert framed[:, :256].any() and framed[:, 262:518].any(), "before and after"


def test_the_standin_is_drawn_once_and_never_over_other_files(tmp_path):
    path = tmp_path / "raw"
    small = {"studies": 1, "seed": 1, "height": 128}
    assert "not VinDr-Mammo" in download(dataset(path, standin=small))["downloaded_from"]
    first = {file: file.read_bytes() for file in path.rglob("*.*")}
    assert download(dataset(path, standin=small))["downloaded_from"] is None
    download(dataset(path, standin=small | {"studies": 2}))
    assert len(list(path.glob("images/*/*.dicom"))) == 8
    assert all(file.read_bytes() == content for file, content in first.items() if file.suffix == ".dicom")
    with pytest.raises(UserError, match="holds the procedural stand-in .* but standin is not configured"):
        load_source(dataset(path, standin=None), LABELS).records(64, 1)
    (path / "STANDIN.json").unlink()
    with pytest.raises(UserError, match="holds files that are no stand-in's"):
        download(dataset(path, standin=small))
    assert len(list(path.glob("images/*/*.dicom"))) == 8
