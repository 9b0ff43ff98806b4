"""Do images show lesions where they were asked for, and none where none was? Beside training images with theirs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from radsynth.common import sets
from radsynth.common.images import read_gray, read_gray_stack
from radsynth.common.seeds import derive_seed
from radsynth.fidelity.agreement import DRAWS
from radsynth.fidelity.condition_verdicts import (
    LESION,
    MINIMUM,
    NO_LESION,
    Row,
    beside,
    compared,
    of_pool,
    of_real,
    row,
)
from radsynth.fidelity.lesion_contrast import (
    Place,
    others_contrast,
    own_contrast,
    pixel_boxes,
    place_of,
    place_of_mask,
)


@dataclass(frozen=True)
class Lesions:
    """Images (n, height, width) with the places of their lesions, None for one without.

    ``strata`` and ``groups`` as of Side.
    """

    images: np.ndarray
    places: Sequence[Place | None]
    strata: np.ndarray
    groups: np.ndarray

    def chosen(self, with_lesion: bool, strata: np.ndarray | None = None) -> "Lesions":
        """Return the images with a lesion, or those without, of some strata or of all."""
        chosen = np.array([(place is not None) == with_lesion for place in self.places], bool)
        chosen &= np.isin(self.strata, self.strata if strata is None else strata)
        places = [place for place, taken in zip(self.places, chosen, strict=True) if taken]
        return Lesions(self.images[chosen], places, self.strata[chosen], self.groups[chosen])

    @property
    def n_groups(self) -> int:
        return len(set(self.groups))


def lesion_rows(pool: Lesions, real: Lesions, seed: int, draws: int = DRAWS) -> Iterator[Row]:
    """Yield what is known of the lesions that were asked of ``pool``, and of its images that should have none.

    ``pool`` are the images of which either was asked, ``real`` the training images of which it is known.
    """
    asked, unasked = pool.chosen(True), pool.chosen(False)
    known, free = real.chosen(True, asked.strata), real.chosen(False, unasked.strata)
    measure = {"asked": LESION, "measure": "contrast"}
    if len(asked.images):
        named = measure | {"kind": LESION, "n": len(asked.images)}
        if min(asked.n_groups, known.n_groups) < MINIMUM:
            yield row(**named, reason=_too_few_lesions(known, asked, "with a lesion"))
        else:
            own = [
                own_contrast(side.images, side.places, side.strata, side.groups, derive_seed(seed, purpose), draws)
                for side, purpose in ((asked, "pool"), (known, "real"))
            ]
            yield row(**named | beside(*own, signed=True))
    if len(unasked.images):
        named = measure | {"asked": NO_LESION, "kind": NO_LESION, "n": len(unasked.images)}
        places = (asked if len(asked.images) else real.chosen(True)).places
        if not places:
            yield row(**named, reason="no place of a lesion is known, in the pool or in training images")
        elif min(unasked.n_groups, free.n_groups) < MINIMUM:
            yield row(**named, reason=_too_few_lesions(free, unasked, "without a lesion"))
        else:
            found, control = (
                others_contrast(side.images, places, side.groups, derive_seed(seed, purpose), draws)
                for side, purpose in ((unasked, "pool without"), (free, "real without"))
            )
            yield row(**named | of_pool(found) | of_real(control) | compared(found, control, 1))


def _too_few_lesions(real: Lesions, pool: Lesions, what: str) -> str:
    counts = f"{real.n_groups} training patients and {len(pool.images)} images of the pool"
    return f"{counts} {what}: expected {MINIMUM} of each"


def placed(table: pd.DataFrame, groups: np.ndarray, boxed: bool, in_pixels: bool = False) -> Lesions:
    """Return those images whose lesions are known: by their boxes, if these are told, and else by their masks.

    Masks come first unless ``boxed``; then the boxes around their lesions are taken. ``boxes`` of the table are lists
    with edges in [0, 1] or, ``in_pixels``, in pixels, or None. A lesion that fills its image is left out.
    """
    by_boxes = table["boxes"].notna() & (boxed | (table["mask_file"] == ""))
    told = (by_boxes | (table["mask_file"] != "")).to_numpy()
    table, groups, by_boxes = table[told], groups[told], by_boxes[told]
    if table.empty:
        return Lesions(np.empty((0, 1, 1), np.uint8), [], np.empty(0, str), groups)
    images = read_gray_stack("", table)
    height, width = images.shape[1:]
    scale = (width, height, width, height) if in_pixels else (1, 1, 1, 1)
    places, kept = [], []
    for position, (_, image) in enumerate(table.iterrows()):
        if by_boxes.iloc[position]:
            boxes = [[edge / length for edge, length in zip(box[:4], scale, strict=True)] for box in image["boxes"]]
            there, place = bool(boxes), place_of(pixel_boxes(boxes, height, width), height, width)
        else:
            mask = read_gray(image["mask_file"], image["mask_sha256"])
            there, place = bool((mask == sets.LESION).any()), place_of_mask(mask, boxed)
        if place is not None or not there:
            places.append(place)
            kept.append(position)
    return Lesions(images[kept], places, table["label"].to_numpy(str)[kept], groups[kept])
