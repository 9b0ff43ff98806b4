"""What a DICOM header tells of a patient reaches no file that preparing and describing write, and no log."""

import logging

import pydicom
import pytest
from PIL import Image
from radsynth.common.files import write_text
from radsynth.common.tables import read_table
from radsynth.data.describe import counts_markdown, write_samples
from radsynth.data.prepare import prepare
from radsynth.data.source import load_source
from radsynth.data.vindr_standin import write_standin

SECRETS = {
    "PatientName": "DOE^JANE",
    "PatientID": "PAT-4711",
    "PatientBirthDate": "19400203",
    "StudyDate": "20190817",
    "InstitutionName": "Doe Hospital",
    "StationName": "ROOM-XYZ",
    "OperatorsName": "ROE^RICHARD",
    "ImageComments": "sister of PAT-4712",
    "PatientAge": "079Y",
}
LABELS = ["BENIGN", "OTHER"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # read and written by pydicom itself
def test_no_header_value_is_in_an_output_or_a_log(tmp_path, caplog):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_standin(raw, studies=3, height=128)
    files = sorted(raw.glob("images/*/*.dicom"))
    for number, path in enumerate(files):
        header = pydicom.dcmread(path)
        for keyword, value in SECRETS.items():
            setattr(header, keyword, value)
        if number == 0:
            header.ViewPosition = SECRETS["PatientName"]  # in an element that is read
        header.save_as(path)
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[: whole.index(b"DOE^JANE") + 40])
    assert all(value.encode() in files[2].read_bytes() for value in SECRETS.values())

    caplog.clear()  # of what pydicom says while such files are written
    classes = {"by": "birads", "groups": {"BENIGN": [1, 2], "OTHER": [3, 4, 5]}, "several": "refuse"}
    dataset = {"source": "vindr_mammo", "path": str(raw), "fit": "pad", "classes": classes, "skip_unreadable": True}
    dataset["standin"] = {"studies": 3}
    tables = {"manifest": out / "manifest.csv", "integrity": out / "integrity.json", "table": out / "integrity.md"}
    with caplog.at_level(logging.DEBUG):
        report = prepare("set", dataset, LABELS, 64, 1, images=out / "images", masks=out / "masks", **tables, threads=2)
        manifest, source = read_table(tables["manifest"]), load_source(dataset, LABELS)
        write_text(out / "counts.md", counts_markdown("set", manifest, LABELS))
        write_samples(out / "samples.png", manifest, out / "images", source.records(64, 1), source.options, LABELS)
    found = {check["check"]: check["count"] for check in report["checks"] if check["count"]}
    assert found["unreadable"] == 1 and len(manifest) == 11
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) == 11 + 5
    for value in SECRETS.values():
        assert value not in caplog.text
        assert not [path for path in written if value.encode() in path.read_bytes()], value
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
                assert not image.info, "a PNG may carry text"
