"""Sets of images, what is asked of a pool, and what is drawn for it: the language that rooms share. Free of torch."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.hashing import sha256_json, sha256_pixels
from radsynth.common.images import gray_of, read_gray_stack, read_image_stack
from radsynth.common.tables import read_table

GRAY = ("gray",)
#: Lesions in label maps; 1 is the organ.
LESION = 2
#: Channels of an image, at most: more cannot be told apart in a PNG.
MOST_CHANNELS = 4

# Columns of a manifest that say where an image is, not what it shows.
_BOOKKEEPING = [
    *("image_id", "file", "mask_file", "mask_sha256", "patient_id", "source", "sha256", "near_duplicate_group", "rank"),
    "channels",
]
# Those that tie images to each other (see ``cohorts.groups.image_groups``).
_TIES = ["image_id", "patient_id", "sha256", "near_duplicate_group"]


@dataclass(frozen=True)
class ImageSet:
    """Images with all that is known of them.

    ``images``: uint8 (n, height, width, c). ``rows``: for each image its ``label`` and the source's own columns (view,
    subtype ...). ``channels``: the c names, 1 to 4. ``masks``: uint8 label maps (n, height, width) (0 background), or
    None if no image has one; where ``has_mask`` (n,) is False the mask is all zeros. ``ties``: what a manifest says of
    images that belong together (image_id, patient_id, sha256, near_duplicate_group), or None if nothing is known.
    """

    images: np.ndarray
    rows: list[dict[str, str]]
    channels: tuple[str, ...] = GRAY
    masks: np.ndarray | None = None
    has_mask: np.ndarray | None = None
    ties: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        expect_channels(self.images, self.channels)
        if self.has_mask is None:
            object.__setattr__(self, "has_mask", np.full(len(self.images), self.masks is not None))

    @classmethod
    def from_manifest(
        cls, table: str | Path, root: str | Path, labels: Sequence[str], withheld: Collection[str] = ()
    ) -> "ImageSet":
        """Read the images of ``labels`` that a table (a cohort's train.csv) lists, but not the ids ``withheld``.

        Its files are relative to ``root``. UserError if a label has no image, or a file is not what the table says.
        """
        rows = read_table(table)
        rows = rows[rows["label"].isin(labels)]
        if len(withheld):  # the images of a pool have no ids
            rows = rows[~rows["image_id"].isin(withheld)]
        if missing := [label for label in labels if label not in set(rows["label"])]:
            raise UserError(f"{table}: no training image of {', '.join(missing)}")
        return cls.from_rows(rows, root, table)

    @classmethod
    def from_rows(cls, rows: pd.DataFrame, root: str | Path, table: str | Path) -> "ImageSet":
        """Read the images of some rows of ``table``, whose name stands in messages; otherwise as ``from_manifest``."""
        named = set(rows["channels"]) if "channels" in rows else {" ".join(GRAY)}
        if len(named) > 1:
            raise UserError(f"{table}: images with the channels {' and '.join(sorted(named))}, expected one kind")
        channels = tuple(named.pop().split())
        images = read_image_stack(root, rows)
        if images.shape[3] != len(channels):
            first = Path(root) / rows["file"].iloc[0]
            raise UserError(f"{first}: {images.shape[3]} channels, expected {len(channels)} ({' '.join(channels)})")
        has_mask, masks = (rows["mask_file"] != "").to_numpy(), None
        if has_mask.any():
            there = rows[has_mask]
            masks = np.zeros(images.shape[:3], np.uint8)
            masks[has_mask] = read_gray_stack(root, there.assign(file=there["mask_file"], sha256=there["mask_sha256"]))
        about = rows.drop(columns=_BOOKKEEPING, errors="ignore").to_dict("records")
        ties = rows[_TIES].reset_index(drop=True) if set(_TIES) <= set(rows) else None
        return cls(images, about, channels, masks, has_mask, ties)

    def __len__(self) -> int:
        return len(self.images)

    def gray(self) -> np.ndarray:
        """Return the images as uint8 (n, height, width): the one channel, or the rounded mean of several."""
        return gray_of(self.images)

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of each image."""
        return np.array([row["label"] for row in self.rows])

    @cached_property
    def label_counts(self) -> dict[str, int]:
        """The number of images of each label, in order of first appearance."""
        return dict(Counter(self.labels.tolist()))

    @cached_property
    def sha256(self) -> str:
        """Hash of images, channels, masks and rows, in order."""
        masks = "" if self.masks is None else [sha256_pixels(self.masks), self.has_mask.tolist()]
        return sha256_json([list(self.images.shape), self.channels, sha256_pixels(self.images), masks, self.rows])


@dataclass(frozen=True)
class Conditions:
    """What is asked of a pool: one row per image, with some of these keys.

    ``label``; ``attributes``: a dict of the source's own columns; ``boxes``: a list of (x0, y0, x1, y1) in [0, 1] of
    width and height, and ``outlines``: a list of polygons [[x, y], ...] in [0, 1], of which those against the clock are
    holes: lesions, of which none is asked for by an empty list; ``source_file``: an image to translate. Generators make
    do without a key that a row lacks.
    """

    rows: Sequence[Mapping[str, Any]]

    @classmethod
    def of_label(cls, label: str, count: int) -> "Conditions":
        """Return ``count`` rows that ask for a label alone."""
        return cls([{"label": label}] * count)

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, positions: Sequence[int]) -> "Conditions":
        """Return the rows at some positions."""
        return Conditions([self.rows[position] for position in positions])


@dataclass(frozen=True)
class Batch:
    """Images of a pool: ``indices`` in it, ``images`` uint8 (k, height, width, c) and the c names ``channels``.

    ``masks``: uint8 label maps (k, height, width) from generators that make them.
    """

    indices: Sequence[int]
    images: np.ndarray
    masks: np.ndarray | None = None
    channels: tuple[str, ...] = GRAY

    def __post_init__(self) -> None:
        expect_channels(self.images, self.channels)


def expect_channels(images: np.ndarray, channels: Sequence[str]) -> None:
    """Raise ValueError unless images are uint8 (n, height, width, c) with a name for each of 1 to 4 channels."""
    if images.ndim != 4 or images.dtype != np.uint8 or not images.shape[3] == len(channels) <= MOST_CHANNELS:
        raise ValueError(
            f"images of shape {images.shape}, {images.dtype}, with the channels {', '.join(channels)}: expected uint8 "
            f"(n, height, width, channels) with a name for each of 1 to {MOST_CHANNELS} channels"
        )
