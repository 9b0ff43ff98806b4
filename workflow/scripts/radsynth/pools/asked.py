"""Conditions that the user has written down: a CSV with a row per image."""

import json
from pathlib import Path
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.images import read_gray
from radsynth.common.sets import LESION, Conditions
from radsynth.common.tables import read_table
from radsynth.conditions.lesions import outlines_of


def read_conditions(path: str | Path, label: str, size: int) -> Conditions:
    """Return the first ``size`` conditions of a label in a CSV.

    Columns: ``label``; ``boxes`` (JSON, [[x0, y0, x1, y1], ...] in [0, 1] of width and height) or ``mask_file``
    (a label map, relative to the CSV, lesions 2), empty where lesions are not known; all others are attributes, empty
    where they are not. UserError for a file that is not so, or has too few rows.
    """
    path = Path(path)
    table = read_table(path, ["label"])
    table = table[table["label"] == label]
    if len(table) < size:
        raise UserError(f"{path}: {len(table)} rows of {label}, expected at least the {size} images of the pool")
    return Conditions([_condition(row, path) for row in table.head(size).to_dict("records")])


def _condition(row: dict[str, str], path: Path) -> dict[str, Any]:
    condition: dict[str, Any] = {"label": row.pop("label")}
    boxes, mask = row.pop("boxes", ""), row.pop("mask_file", "")
    if attributes := {name: value for name, value in row.items() if value}:
        condition["attributes"] = attributes
    if boxes:
        condition["boxes"] = _read_boxes(boxes, path)
    elif mask:
        pixels = read_gray(path.parent / mask)
        if pixels.any() and not (pixels == LESION).any():
            raise UserError(f"{path.parent / mask}: a mask without lesion (value {LESION}) that is not empty either")
        condition["outlines"] = outlines_of(pixels == LESION)
    return condition


def _read_boxes(text: str, path: Path) -> list[list[float]]:
    try:
        boxes = json.loads(text)
        if all(len(box) == 4 for box in boxes):
            return [[float(edge) for edge in box] for box in boxes]
    except (ValueError, TypeError):
        pass
    raise UserError(f"{path}: boxes {text[:60]!r}, expected [[x0, y0, x1, y1], ...] in [0, 1]")
