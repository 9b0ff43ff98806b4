"""The three tables of VinDr-Mammo, joined and checked: one annotated image per row of the breast-level annotations."""

import ast
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from radsynth.common.errors import UserError
from radsynth.data.source import Box

BREAST, FINDINGS, METADATA = "breast-level_annotations.csv", "finding_annotations.csv", "metadata.csv"
NO_FINDING = "No Finding"
CATEGORIES = (
    *("Mass", "Suspicious Calcification", "Asymmetry", "Focal Asymmetry", "Global Asymmetry"),
    *("Architectural Distortion", "Skin Thickening", "Skin Retraction", "Nipple Retraction", "Suspicious Lymph Node"),
)
#: What the groups of ``classes`` may hold.
GROUPED = {"birads": (1, 2, 3, 4, 5), "density": tuple("ABCD"), "finding": (*CATEGORIES, NO_FINDING)}
#: What a field of the breast-level annotations may hold.
VALUES = {
    "study_id": r"[0-9A-Za-z]+",
    "image_id": r"[0-9A-Za-z]+",
    "laterality": r"[LR]",
    "view_position": r"CC|MLO",
    "height": r"[1-9]\d{0,4}",
    "width": r"[1-9]\d{0,4}",
    "breast_birads": r"BI-RADS [1-5]",
    "breast_density": r"DENSITY [A-D]",
    "split": r"training|test",
}
METADATA_COLUMNS = ("SOP Instance UID", "View Position", "Image Laterality", "Rows", "Columns")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
#: What the tables are checked for, and what is done about it.
CHECKS = {
    "unknown_value": "left out (a value that VinDr-Mammo does not define)",
    "duplicate_image": "left out, unless the rows are the same, which count once",
    "split_disagrees": "left out, with the whole study",
    "finding_without_image": "finding ignored",
    "annotations_differ": "kept; the breast-level annotations are used",
    "breast_birads_differs": "kept; every image with its own BI-RADS category",
    "metadata_differs": "kept; the annotations are used",
    "box_invalid": "finding kept, box ignored",
    "box_outside": "box clipped to the image",
}


def check_classes(classes: Mapping[str, Any], labels: Sequence[str], where: str) -> None:
    """Raise UserError, beginning with the key ``where``, unless ``classes`` gives every label values of its own."""
    groups, allowed = classes["groups"], GROUPED[classes["by"]]
    if sorted(groups) != sorted(labels):
        raise UserError(f"{where}.groups: names {', '.join(groups)}, expected every one of {', '.join(labels)}")
    values = [value for group in groups.values() for value in group]
    for value in values:
        if value not in allowed:
            expected = ", ".join(map(str, allowed))
            raise UserError(f"{where}.groups: unknown {value!r}, expected, by {classes['by']}, some of {expected}")
        if values.count(value) > 1:
            raise UserError(f"{where}.groups: {value!r} occurs twice, expected every value in one group")


@dataclass(frozen=True)
class Mammogram:
    """One image as it is annotated; ``findings`` are categories, sorted, none for an image without a finding."""

    study: str
    image: str
    laterality: str
    view: str
    height: int
    width: int
    birads: int
    density: str
    split: str
    findings: tuple[str, ...]
    boxes: tuple[Box, ...]
    #: In years, as metadata.csv tells it; empty if it does not.
    age: str = ""

    @property
    def source(self) -> str:
        """The image's file, relative to the dataset's path."""
        return file_of(self.study, self.image)


def file_of(study: str, image: str) -> str:
    """Return the path of an image below the dataset's folder."""
    return f"images/{study}/{image}.dicom"


@dataclass(frozen=True)
class Tables:
    """All usable images in the order of the breast-level annotations, ``found``: by check the files that it has
    caught, and ``named``: the files of all rows, usable or not.
    """

    mammograms: list[Mammogram]
    found: dict[str, list[str]]
    named: set[str]


def read_tables(folder: Path) -> Tables:
    """Read, join and check the three tables in the dataset's folder.

    UserError for a table that is missing, is no CSV or lacks a column.
    """
    found: dict[str, list[str]] = defaultdict(list)
    breasts = _read(folder / BREAST, tuple(VALUES))
    rows = _read(folder / FINDINGS, (*VALUES, "finding_categories", *CORNERS))
    metadata = {row["SOP Instance UID"]: row for row in _read(folder / METADATA, METADATA_COLUMNS, ("Patient's Age",))}
    named = {file_of(row["study_id"], row["image_id"]) for row in breasts}
    breasts = _usable_rows(breasts, found)
    findings: dict[str, list[dict[str, str]]] = {image: [] for image in breasts}
    for row in rows:
        if row["image_id"] in findings:
            findings[row["image_id"]].append(row)
        elif file_of(row["study_id"], row["image_id"]) not in named:
            found["finding_without_image"].append(file_of(row["study_id"], row["image_id"]))
    split_twice = _studies_split_twice(breasts, findings)
    mammograms = []
    for image, row in breasts.items():
        name = file_of(row["study_id"], image)
        compared = [column for column in VALUES if column != "split"]
        if any(finding[column] != row[column] for finding in findings[image] for column in compared):
            found["annotations_differ"].append(name)
        mammogram = _annotated(row, findings[image], found)
        if row["study_id"] in split_twice:
            found["split_disagrees"].append(name)
        elif mammogram:
            mammograms.append(mammogram)
    _compare_views(mammograms, found)
    _compare_metadata(mammograms, metadata, found)
    ages = [years(metadata.get(mammogram.image, {}).get("Patient's Age", "")) for mammogram in mammograms]
    mammograms = [replace(mammogram, age=age) for mammogram, age in zip(mammograms, ages, strict=True)]
    return Tables(mammograms, dict(found), named)


def years(age: str) -> str:
    """Return an age as DICOM writes it (``053Y``) in years (``53``); empty for other units and anything else."""
    found = re.fullmatch(r"([0-9]{3})Y", age)
    return found[1].lstrip("0") if found else ""


def _read(path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Return the rows of a table as text; of columns that have the same name, the first one.

    ``optional`` columns are there if the table has them.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; place VinDr-Mammo there, or run the rule download") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable CSV file ({' '.join(str(error).split())})") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise UserError(f"{path}: no column {missing[0]!r}, found {', '.join(table.columns)}")
    columns = (*columns, *(column for column in optional if column in table))
    return table[list(columns)].apply(lambda column: column.str.strip()).to_dict("records")


def _usable_rows(rows: list[dict[str, str]], found: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Return the breast-level rows by image, without those that are unusable or contradict each other."""
    by_image: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_image[row["image_id"]].append(row)
    usable = {}
    for image, same in by_image.items():
        name = file_of(same[0]["study_id"], image)
        if len(same) > 1:
            found["duplicate_image"].append(name)
        if any(row != same[0] for row in same):
            continue
        if all(re.fullmatch(pattern, same[0][column]) for column, pattern in VALUES.items()):
            usable[image] = same[0]
        else:
            found["unknown_value"].append(name)
    return usable


def _studies_split_twice(breasts: dict[str, dict[str, str]], findings: dict[str, list[dict[str, str]]]) -> set[str]:
    """Return the studies whose rows, in either table, name more than one split."""
    splits: dict[str, set[str]] = defaultdict(set)
    for image, row in breasts.items():
        splits[row["study_id"]].update([row["split"], *(finding["split"] for finding in findings[image])])
    return {study for study, named in splits.items() if len(named) > 1}


def _annotated(row: dict[str, str], findings: list[dict[str, str]], found: dict[str, list[str]]) -> Mammogram | None:
    """Return an image with its findings, or None if a category is unknown."""
    name, width, height = file_of(row["study_id"], row["image_id"]), int(row["width"]), int(row["height"])
    categories: set[str] = set()
    boxes = []
    for finding in findings:
        named = _categories(finding["finding_categories"])
        if named is None:
            found["unknown_value"].append(name)
            return None
        categories.update(named)
        text = [finding[corner] for corner in CORNERS]
        if not any(text):
            continue
        box = _clipped(text, width, height) if named else None
        if box is None:
            found["box_invalid"].append(name)
            continue
        if box != tuple(map(float, text)):
            found["box_outside"].append(name)
        boxes.append(Box(*box, named))
    return Mammogram(
        study=row["study_id"],
        image=row["image_id"],
        laterality=row["laterality"],
        view=row["view_position"],
        height=height,
        width=width,
        birads=int(row["breast_birads"][-1]),
        density=row["breast_density"][-1],
        split=row["split"],
        findings=tuple(sorted(categories)),
        boxes=tuple(boxes),
    )


def _categories(text: str) -> tuple[str, ...] | None:
    """Return the categories of a Python list literal, none for "No Finding", or None if it is anything else."""
    try:
        named = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(named, list) or not named or not all(name in (*CATEGORIES, NO_FINDING) for name in named):
        return None
    return tuple(name for name in named if name != NO_FINDING)


def _clipped(text: list[str], width: int, height: int) -> tuple[float, ...] | None:
    """Return the corners of a box inside the image, or None if they are no numbers or enclose nothing there."""
    try:
        xmin, ymin, xmax, ymax = map(float, text)
    except ValueError:
        return None
    if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))):
        return None
    box = (max(xmin, 0.0), max(ymin, 0.0), min(xmax, float(width)), min(ymax, float(height)))
    return box if box[0] < box[2] and box[1] < box[3] else None


def _compare_views(mammograms: list[Mammogram], found: dict[str, list[str]]) -> None:
    """Note breasts whose views have different BI-RADS categories."""
    breasts: dict[tuple[str, str], list[Mammogram]] = defaultdict(list)
    for mammogram in mammograms:
        breasts[mammogram.study, mammogram.laterality].append(mammogram)
    for views in breasts.values():
        if len({view.birads for view in views}) > 1:
            found["breast_birads_differs"] += [view.source for view in views]


def _compare_metadata(
    mammograms: list[Mammogram], metadata: dict[str, dict[str, str]], found: dict[str, list[str]]
) -> None:
    """Note images of which metadata.csv names, where it names one, another view, side or size."""
    for mammogram in mammograms:
        row = metadata.get(mammogram.image, {})
        annotated = {
            "View Position": mammogram.view,
            "Image Laterality": mammogram.laterality,
            "Rows": str(mammogram.height),
            "Columns": str(mammogram.width),
        }
        if any(row.get(column) and row[column] != value for column, value in annotated.items()):
            found["metadata_differs"].append(mammogram.source)
