"""Does a pool show what was asked of it? Every condition beside what real images allow, and beside chance.

What reads an attribute is learnt from the cohort's real training images. On held-out real images of the pool's labels
it shows how well it can be told at all, the control; on the pool, whether the images show what was asked. Lesions are
looked for in gray levels, inside against around the places that were asked for, and the control are the training images
with their own. Without an effect in the control there is no power, and so no verdict.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.features import FeatureSet, read_features
from radsynth.common.schema import read_schema, validated
from radsynth.common.seeds import derive_seed
from radsynth.common.tables import read_table
from radsynth.fidelity.agreement import DRAWS
from radsynth.fidelity.asked_attributes import Side, attribute_row
from radsynth.fidelity.asked_lesions import lesion_rows, placed
from radsynth.fidelity.condition_verdicts import ATTRIBUTE, LESION, Row
from radsynth.quality.feature_sets import check_comparable, groups_of, reference_sets

log = logging.getLogger(__name__)

LABEL = "label"


def condition_fidelity(
    real: str | Path,
    pool: Sequence[str | Path],
    data_manifest: str | Path,
    train: str | Path,
    pool_manifests: Sequence[str | Path],
    *,
    seed: int,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Return what is known of every condition of a pool, as in fidelity.schema.yaml.

    ``real`` and ``pool`` are features files of one extractor, ``pool`` and ``pool_manifests`` one per label in the same
    order; ``train`` is the cohort that the pool's makers learned from. Images lie beside their manifests. UserError for
    files that do not go together.
    """
    real_set, pool_sets = read_features(real, np.float64), [read_features(path, np.float64) for path in pool]
    for pool_set in pool_sets:
        check_comparable(real_set, pool_set)
    manifest, training = read_table(data_manifest), read_table(train)
    made = pd.concat([_asked(path) for path in pool_manifests], ignore_index=True)
    rows = list(_attribute_rows(real_set, pool_sets, manifest, training, made, seed, draws))
    rows += _lesions(data_manifest, training, made, derive_seed(seed, LESION), draws)
    for found in rows:
        log.info("%s: %s", found["asked"], found["verdict"] or found["reason"])
    report = {
        "extractor": real_set.extractor["name"],
        "guidance": ", ".join(dict.fromkeys(made["guidance"])),
        "n_synthetic": len(made),
        "conditions": rows,
    }
    return validated(report, read_schema("fidelity"), "fidelity")


def _asked(manifest: str | Path) -> pd.DataFrame:
    """Return a pool's manifest with what was asked of its images: ``label``, ``attributes`` and ``boxes`` (or None)."""
    table = read_table(manifest, ["file", "sha256", LABEL, "condition"])
    try:
        conditions = [json.loads(cell or "{}") for cell in table["condition"]]
        attributes = [
            {name: str(value) for name, value in (asked.get("attributes") or {}).items() if value not in ("", None)}
            for asked in conditions
        ]
    except (ValueError, AttributeError):
        raise UserError(f"{manifest}: column condition holds something else than JSON mappings") from None
    boxes = pd.Series([asked.get("boxes") for asked in conditions], dtype=object)
    return _beside(table.assign(attributes=attributes, boxes=boxes, guidance=table.get("guidance", "")), manifest)


def _attribute_rows(
    real_set: FeatureSet,
    pool_sets: Sequence[FeatureSet],
    manifest: pd.DataFrame,
    training: pd.DataFrame,
    made: pd.DataFrame,
    seed: int,
    draws: int,
) -> Iterator[Row]:
    """Yield the rows of the label, where there are several, and of all attributes that were asked."""
    # Of all labels at once: what shares a patient with a training image of another label is not held out either.
    held_out = manifest.loc[reference_sets(manifest.assign(label=""), training.assign(label=""), "")["held_out"].index]
    held_out = held_out[held_out[LABEL].isin(made[LABEL])]
    features = [
        real_set.of(list(training["image_id"])),
        real_set.of(list(held_out["image_id"])),
        np.concatenate([pool_set.features for pool_set in pool_sets]),
    ]
    if len(features[2]) != len(made):
        raise UserError(f"{pool_sets[0].path}: features of {len(features[2])} images, expected {len(made)}")
    groups = [groups_of(training), groups_of(held_out), np.arange(len(made))]
    labels = [table[LABEL].to_numpy(str) for table in (training, held_out, made)]
    names = dict.fromkeys(name for asked in made["attributes"] for name in asked)
    for name in [*([LABEL] if made[LABEL].nunique() > 1 else []), *names]:
        asked = made[LABEL] if name == LABEL else made["attributes"].map(lambda asked, name=name: asked.get(name, ""))
        values = [table[name] if name in table else pd.Series("", table.index) for table in (training, held_out)]
        sides = [
            Side(found, value.to_numpy(str), np.zeros(len(value), int) if name == LABEL else label, group)
            for found, value, label, group in zip(features, [*values, asked], labels, groups, strict=True)
        ]
        yield attribute_row(name, *sides, derive_seed(seed, ATTRIBUTE, name), draws)


def _lesions(data_manifest: str | Path, training: pd.DataFrame, made: pd.DataFrame, seed: int, draws: int) -> list[Row]:
    """Return the rows of lesions, none where neither boxes were asked for nor masks say where lesions should be."""
    boxed = bool(made["boxes"].notna().any())
    if not boxed and not (made["mask_file"] != "").any():
        return []
    cells = training["boxes"] if "boxes" in training else pd.Series("", training.index)
    told = training.assign(boxes=[json.loads(cell) if cell else None for cell in cells])
    real = placed(_beside(told, data_manifest), groups_of(training), boxed, in_pixels=True)
    pool = placed(made, np.arange(len(made)), boxed)
    sizes = [side.images.shape[1:] for side in (pool, real)]
    if len(real.images) and sizes[0] != sizes[1]:
        raise UserError(f"{made['file'].iloc[0]}: image of {sizes[0]} pixels, expected {sizes[1]}")
    return list(lesion_rows(pool, real, seed, draws))


def _beside(table: pd.DataFrame, manifest: str | Path) -> pd.DataFrame:
    """Return rows of a manifest with the paths of images and masks, which lie beside it."""
    masks = table["mask_file"] if "mask_file" in table else pd.Series("", table.index)
    folder = Path(manifest).parent
    return table.assign(
        file=[str(folder / file) for file in table["file"]],
        mask_file=[str(folder / file) if file else "" for file in masks],
    )
