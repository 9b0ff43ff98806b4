"""Conditions that the user has written down: a CSV with a row per image."""

import json
from pathlib import Path
from typing import Any

from radsynth.common.errors import UserError
from radsynth.common.images import read_gray
from radsynth.common.sets import Conditions
from radsynth.common.tables import read_table
from radsynth.generators.lesions import outlines_of


def read_conditions(path: str | Path, label: str, size: int, lesion_value: int | None = None) -> Conditions:
    """Return the first ``size`` conditions of a label in a CSV.

    Columns: ``label``; ``boxes`` (JSON, [[x0, y0, x1, y1], ...] in [0, 1] of width and height) or ``mask_file``
    (relative to the CSV, lesions where it is ``lesion_value``), empty where lesions are not known; all others are
    attributes, empty where they are not. UserError for a file that is not so, or has too few rows.
    """
    path = Path(path)
    table = read_table(path, ["label"])
    table = table[table["label"] == label]
    if len(table) < size:
        raise UserError(f"{path}: {len(table)} rows of {label}, expected at least the {size} images of the pool")
    return Conditions([_condition(row, path, lesion_value) for row in table.head(size).to_dict("records")])


def _condition(row: dict[str, str], path: Path, lesion_value: int | None) -> dict[str, Any]:
    condition: dict[str, Any] = {"label": row.pop("label")}
    boxes, mask = row.pop("boxes", ""), row.pop("mask_file", "")
    if attributes := {name: value for name, value in row.items() if value}:
        condition["attributes"] = attributes
    if boxes:
        condition["boxes"] = _read_boxes(boxes, path)
    elif mask:
        condition["outlines"] = outlines_of(read_gray(path.parent / mask) == lesion_value)
    return condition


def _read_boxes(text: str, path: Path) -> list[list[float]]:
    try:
        boxes = json.loads(text)
        if all(len(box) == 4 for box in boxes):
            return [[float(edge) for edge in box] for box in boxes]
    except (ValueError, TypeError):
        pass
    raise UserError(f"{path}: boxes {text[:60]!r}, expected [[x0, y0, x1, y1], ...] in [0, 1]")
