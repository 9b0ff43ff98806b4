"""What a conditional model is told of an image, in numbers: its label, attributes and lesions. Free of torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from radsynth.common.errors import UserError
from radsynth.common.sets import LESION, ImageSet
from radsynth.conditions.lesions import bounds, cover, outlines_of

#: A condition: see ``common.sets.Conditions``.
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Conditioner:
    """The conditions that a model has learnt, and those of its training images.

    ``labels``: those it tells apart, none if it knows one alone. ``categories``: the values of each categorical
    attribute, in order. ``scales``: mean and standard deviation of each continuous one. ``lesions``: none, boxes or
    masks. ``training``: the conditions of the training images, each with the number of its ``group``, of images that
    share a patient or are near duplicates.
    """

    labels: tuple[str, ...] = ()
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scales: Mapping[str, Sequence[float]] = field(default_factory=dict)
    lesions: str = "none"
    training: Sequence[Row] = ()

    @classmethod
    def learn(cls, data: ImageSet, options: Mapping[str, Any]) -> "Conditioner":
        """Return what the images tell of what the ``options`` ask for; UserError, with an option, if they do not."""
        named = {name: _told(data, name, "attributes") for name in options["attributes"]}
        numbers = {name: _numbers(_told(data, name, "continuous")) for name in options["continuous"]}
        labels = tuple(sorted(data.label_counts)) if len(data.label_counts) > 1 else ()
        rows = [
            {"label": row["label"], "attributes": {name: row[name] for name in (*named, *numbers) if row[name]}}
            for row in data.rows
        ]
        for row, group in zip(rows, groups_of(data).tolist(), strict=True):
            row["group"] = group
        if options["lesions"] != "none":
            read = {"boxes": _boxes, "masks": _outlines}[options["lesions"]]
            for row, found in zip(rows, read(data), strict=True):
                row.update(found)
        return cls(
            labels,
            {name: sorted(set(values) - {""}) for name, values in named.items()},
            {name: [float(np.mean(known)), float(np.std(known)) or 1.0] for name, known in numbers.items()},
            options["lesions"],
            rows,
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Conditioner":
        """Return what ``to_json`` told."""
        return cls(**{**found, "labels": tuple(found["labels"])})

    @property
    def lesion_key(self) -> str:
        """The key of a condition's lesions."""
        return "outlines" if self.lesions == "masks" else "boxes"

    @property
    def parts(self) -> list[int]:
        """The number of columns of ``encode`` for each thing that a model is told: these are dropped together."""
        told = [len(self.labels)] if self.labels else []
        told += [len(values) for values in self.categories.values()] + [2] * len(self.scales)
        return [*told, 1] if self.lesions != "none" else told

    def tells_as(self, other: "Conditioner") -> bool:
        """Return whether ``encode`` of another one means the same, column by column, but for the scale of numbers."""
        return (self.labels, self.categories, self.scales.keys()) == (
            other.labels,
            other.categories,
            other.scales.keys(),
        )

    def check(self, rows: Sequence[Row], where: str) -> None:
        """Raise UserError, beginning with ``where``, for a condition that the training images do not hold."""
        for row in rows:
            asked = row.get("attributes", {})
            for name, value in [*asked.items(), *([("label", row.get("label", ""))] if self.labels else [])]:
                self._check_value(name, value, where)
            for box in row.get("boxes", ()):
                _check_box(box, where)
            for outline in row.get("outlines", ()):
                _check_box(bounds(outline), where)
            for key in {"boxes", "outlines"} & set(row):
                if self.lesions == "none" or (key == "outlines" and self.lesions == "boxes"):
                    raise UserError(f"{where}: {key}, but the model has learnt of no lesions' {key}")

    def _check_value(self, name: str, value: str, where: str) -> None:
        known = {"label": self.labels, **self.categories}
        if value == "":
            return
        if name in self.scales:
            try:
                finite = np.isfinite(float(value))
            except ValueError:
                finite = False
            if not finite:
                raise UserError(f"{where}: {name} {value!r} is no number")
        elif name not in known:
            told = ", ".join([*self.categories, *self.scales]) or "none"
            raise UserError(f"{where}: {name}: the model has not learnt of it, expected some of {told}")
        elif value not in known[name]:
            expected = ", ".join(known[name])
            raise UserError(f"{where}: {name} {value!r}: no training image has it, expected one of {expected}")

    def encode(self, rows: Sequence[Row]) -> np.ndarray:
        """Return conditions as numbers, float32 (n, sum of ``parts``).

        One column for each label and each value of a category, all 0 if it is not known; of a number its distance
        from the mean in standard deviations, and 1, or 0 and 0; 1 if it is known which lesions there are, none maybe.
        """
        return np.array([self._encode(row) for row in rows], np.float32).reshape(len(rows), sum(self.parts))

    def _encode(self, row: Row) -> list[float]:
        told, attributes = [], row.get("attributes", {})
        for value, known in [
            (row.get("label", ""), self.labels),
            *((attributes.get(name, ""), values) for name, values in self.categories.items()),
        ]:
            told += [float(value == one) for one in known]
        for name, (mean, deviation) in self.scales.items():
            value = attributes.get(name, "")
            told += [0.0, 0.0] if value == "" else [(float(value) - mean) / deviation, 1.0]
        return [*told, float(knows_lesions(row))] if self.lesions != "none" else told

    def covered(self, rows: Sequence[Row], height: int, width: int) -> np.ndarray:
        """Return the shares of pixels that lesions cover, float32 (n, height, width); 0 where it is not known."""
        return np.array([cover(row, height, width) for row in rows], np.float32).reshape(len(rows), height, width)


def knows_lesions(row: Row) -> bool:
    """Return whether a condition says which lesions there are; an empty list says that there is none."""
    return "boxes" in row or "outlines" in row


def _told(data: ImageSet, name: str, option: str) -> list[str]:
    """Return what the images say of an attribute, each a text, empty if it is not known."""
    known = [key for key in data.rows[0] if key not in ("label", "boxes")]
    if name not in known:
        expected = f"expected some of {', '.join(known)}" if known else "they have none"
        raise UserError(f"options.{option}: {name!r} is no attribute of the training images, {expected}")
    values = [row[name] for row in data.rows]
    if not any(values):
        raise UserError(f"options.{option}: {name!r} is empty for all training images")
    return values


def _numbers(values: Sequence[str]) -> np.ndarray:
    try:
        numbers = np.array([float(value) for value in values if value])
    except ValueError as error:
        raise UserError(f"options.continuous: {error}, expected numbers; name it in options.attributes") from None
    if not np.isfinite(numbers).all():
        raise UserError("options.continuous: a value is no finite number, expected numbers")
    return numbers


def groups_of(data: ImageSet) -> np.ndarray:
    """Return the group number (n,) of each image, the same of those that share a patient or are near duplicates."""
    if data.ties is None:
        return np.arange(len(data))
    from radsynth.cohorts.groups import GATED_COLUMNS, image_groups

    return image_groups(data.ties, dict.fromkeys(GATED_COLUMNS, True)).to_numpy()


def _boxes(data: ImageSet) -> list[dict[str, Any]]:
    """Return the boxes of each image; nothing for one of which none are told."""
    if "boxes" not in data.rows[0]:
        raise UserError("options.lesions: boxes, but the training images come without, expected masks or none")
    height, width = data.images.shape[1:3]
    scale = (width, height, width, height)
    found: list[dict[str, Any]] = []
    for row in data.rows:
        boxes = [np.divide(box[:4], scale) for box in json.loads(row["boxes"] or "[]")]
        # A box may end at the border; rounding takes it no further.
        found.append({"boxes": [np.clip(box, 0, 1).round(5).tolist() for box in boxes]} if row["boxes"] else {})
    if not any(one.get("boxes") for one in found):
        raise UserError("options.lesions: boxes, but no training image has one, expected masks or none")
    return found


def _outlines(data: ImageSet) -> list[dict[str, Any]]:
    """Return the outlines of the lesions in each image's mask; nothing for an image without mask."""
    if data.masks is None:
        raise UserError("options.lesions: masks, but the training images come without, expected boxes or none")
    lesions = data.masks == LESION
    if not lesions.any():
        found = ", ".join(map(str, np.unique(data.masks))) if data.masks.any() else "nothing"
        raise UserError(
            f"options.lesions: the masks hold no lesion (value {LESION}), found {found}; mask_value of the dataset "
            "says what masks of one object stand for"
        )
    return [
        {"outlines": outlines_of(mask)} if there else {} for mask, there in zip(lesions, data.has_mask, strict=True)
    ]


def _check_box(box: Sequence[float], where: str) -> None:
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        shown = ", ".join(f"{edge:g}" for edge in box)
        raise UserError(f"{where}: lesion at {shown}, expected 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 of the image")
