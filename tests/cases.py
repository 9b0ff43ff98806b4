"""Prepare every kind of input folder that users have, and print what comes out: python tests/cases.py FOLDER.

FOLDER holds the cases, one folder each, as their script has drawn them. Nothing is written into it but by the case
`rewritten` and `linked_class`, whose images change between two looks.
"""

import json
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from radsynth.common.errors import UserError
from radsynth.common.files import read_json
from radsynth.common.tables import read_table
from radsynth.data.listing import fingerprint
from radsynth.data.prepare import prepare
from radsynth.study.config import Study

TWO = ["healthy", "ill"]
#: Folder below the case, labels and options of each.
CASES: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "split_folders": ("", TWO, {}),
    "masks_beside": ("", ["benign", "malignant", "normal"], {}),
    "masks_in_class": ("", ["COVID", "VIRAL"], {"classes": {"VIRAL": "Viral Pneumonia"}}),
    "links": ("raw", TWO, {}),
    "linked_class": ("raw", TWO, {}),
    "twelve_bit": ("", TWO, {"sixteen_bit": "scale"}),
    "rewritten": ("", TWO, {}),
    "patient_folders": ("", TWO, {"patient_pattern": r"^(patient_\d+)/"}),
    "other_suffixes": ("", TWO, {}),
    "odd_names": ("", TWO, {}),
    "one_image": ("", TWO, {}),
    "hidden": ("", TWO, {}),
    "smooth": ("", TWO, {}),
    "colour_table": ("", ["NEV", "MEL", "BCC"], {}),
}


def run_case(folder: Path, name: str) -> dict[str, Any]:
    """Return what becomes of a case: ``error``, or numbers of images, masks and patients, splits and findings."""
    below, labels, options = CASES[name]
    path = folder / name / below
    dataset = {"source": "folder", "path": str(path), "fit": "pad", **options}
    if name == "one_image":
        scenario = {"train": {"healthy": 8, "ill": 1}}
        study = {"study": "one", "labels": labels, "datasets": {"own": dataset}, "scenarios": {"small": scenario}}
        try:
            Study(study)
        except UserError as error:
            return {"error": str(error)}
    with tempfile.TemporaryDirectory() as out:
        names = {"images": "images", "masks": "masks", "manifest": "manifest.csv"}
        files = {key: Path(out) / file for key, file in names.items()}
        files |= {"integrity": Path(out) / "integrity.json", "table": Path(out) / "integrity.md"}
        try:
            prepare(name, dataset, labels, 64, 1, **files)
        except UserError as error:
            return {"error": str(error)}
        table, report = read_table(files["manifest"]), read_json(files["integrity"])
    found: dict[str, int] = {}
    for row in report["checks"]:
        found[row["check"]] = found.get(row["check"], 0) + row["count"]
    return {
        "images": len(table),
        "masks": int((table["mask_file"] != "").sum()),
        "patients": len(set(table["patient_id"]) - {""}),
        "splits": dict(Counter(table["split"])) if "split" in table else {},
        "window": report["window"],
        "found": {check: count for check, count in found.items() if count and check != "patient_unknown"},
    }


def changed(folder: Path, name: str) -> bool:
    """Change the images of a case whose results grow stale as its description says; return whether that is noticed."""
    path = folder / name / CASES[name][0]
    before = fingerprint(path)
    if name == "rewritten":
        for file in sorted(path.rglob("*.png")):
            with Image.open(file) as image:
                image.transpose(Image.Transpose.ROTATE_180).save(file)
    else:
        noise = np.random.default_rng(0).integers(0, 256, (48, 40), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name / "store/healthy/added.png")
    return fingerprint(path) != before


def main() -> None:
    """Print a line per case."""
    folder = Path(sys.argv[1])
    logging.disable(logging.CRITICAL)
    for name in CASES:
        result = run_case(folder, name)
        if name in ("rewritten", "linked_class"):
            result["a change is noticed"] = changed(folder, name)
        shown = result.get("error") or json.dumps({key: value for key, value in result.items() if value})
        print(f"| {name} | {shown} |")


if __name__ == "__main__":
    main()
