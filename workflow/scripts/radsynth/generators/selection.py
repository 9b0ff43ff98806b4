"""Which of the models of one training is taken: the one with the lowest KID among those that do not copy.

A model's images are compared with training images that were withheld from it (KID) and with those it has learnt from
(copy rate). One half of the withheld images sets the threshold of a copy, the other half, of other patients, is the
control.
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.errors import UserError
from radsynth.common.files import atomic_folder, read_json, write_json
from radsynth.common.images import gray_of, read_gray_stack
from radsynth.common.registry import find
from radsynth.common.sets import ImageSet
from radsynth.common.shares import excess_p_value
from radsynth.common.tables import read_table
from radsynth.features.interface import describe
from radsynth.features.stored import create_extractor
from radsynth.learning.candidates import CHECKPOINTS, WITHHELD, read_candidates
from radsynth.quality import kernel
from radsynth.quality.copies import copy_rate, copy_threshold
from radsynth.quality.feature_sets import groups_of, halves

log = logging.getLogger(__name__)

SIGNIFICANT = 0.05


def select_by_kid(
    family: str,
    model_dir: str | Path,
    train_csv: str | Path,
    root: str | Path,
    label: str,
    *,
    settings: Mapping[str, Any],
    sampler: Mapping[str, Any],
    seed: int,
    weights: str | Path | None = None,
    gpu: bool = False,
    threads: int = 1,
) -> dict[str, Any]:
    """Return which model of a training is taken, and why: what selection.json holds.

    ``settings`` (of the configuration) has ``images`` and ``extractor``, ``weights`` is the file that this needs. An
    extractor that is fitted is fitted to the training images of the label; no other image is read.
    """
    (learnt, calibration, control), groups = read_images(model_dir, train_csv, root, label)
    images, drawn_on = draw(family, model_dir, label, settings["images"], seed, sampler)
    device = "cpu"
    if find("extractors", settings["extractor"], "extractor").needs_weights:
        from radsynth.features.network import choose_device

        # After drawing, since it takes TF32 away.
        device = choose_device(gpu, threads)
    fitted_to = np.concatenate([learnt, calibration, control])
    extractor = create_extractor(settings["extractor"], fitted_to, weights=weights, device=device)
    features = {step: extractor.extract(drawn) for step, drawn in images.items()}
    parts = [extractor.extract(images) for images in (learnt, calibration, control)]
    result = judge(features, *parts, *groups)
    facts = {"extractor": describe(extractor), "images": settings["images"], "device": drawn_on}
    return {"method": "kid", **result, **facts}


def read_images(
    model_dir: str | Path, train_csv: str | Path, root: str | Path, label: str
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return the images that a model learnt from and two halves of those withheld from it, uint8 (n, height, width).

    And the group numbers (patients and the like) of the former, and of both halves together. The halves have no
    patient, near duplicates or pixels in common. UserError if the images are not what the model says it learnt from, or
    if those withheld cannot be halved so.
    """
    rows = read_table(train_csv)
    withheld = rows[rows["image_id"].isin(read_table(Path(model_dir) / WITHHELD)["image_id"])]
    learnt = ImageSet.from_manifest(train_csv, root, [label], withheld["image_id"])
    if read_json(Path(model_dir) / "generator.json")["facts"]["data"]["sha256"] != learnt.sha256:
        raise UserError(f"{model_dir}: has learnt from other images than {train_csv} says; train it again")
    parts = halves(withheld)
    if min(map(len, parts)) < 2:
        raise UserError(
            f"{model_dir}: {len(withheld)} images were withheld, which fall into {len(parts[0])} and {len(parts[1])} "
            "by patients and near duplicates, expected at least 2 in either half; raise selection.withhold"
        )
    images = learnt.gray(), *(read_gray_stack(root, part) for part in parts)
    seen = rows[(rows["label"] == label) & ~rows["image_id"].isin(withheld["image_id"])]
    return images, (groups_of(seen), groups_of(pd.concat(parts)))


def draw(
    family: str, model_dir: str | Path, label: str, count: int, seed: int, sampler: Mapping[str, Any]
) -> tuple[dict[int, np.ndarray], str]:
    """Return ``count`` images of each model of a training, uint8 (count, height, width), by step, and the device.

    All models get the same noise.
    """
    images = {}
    for step, folder in read_candidates(model_dir).items():
        generator = find("families", family, "family").load().load(folder)
        batches = generator.sample(range(count), seed, generator.conditions(label, count, seed), sampler)
        images[step] = gray_of(np.concatenate([batch.images for batch in batches]))
        log.info("%d images of the model after step %d", count, step)
    return images, generator.device


def judge(
    candidates: Mapping[int, np.ndarray],
    learnt: np.ndarray,
    calibration: np.ndarray,
    control: np.ndarray,
    learnt_groups: np.ndarray | None = None,
    withheld_groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return KID and copy rate of every model, and which one is taken; all arguments are features (n, d).

    ``calibration`` and ``control`` are the two halves of the withheld images, ``withheld_groups`` and ``learnt_groups``
    the patients or the like, from 0 on: KID is that to both halves. The lowest KID is taken among the models whose copy
    rate is not significantly (Fisher's exact test, one-sided, 5 %) above that of the control. If there is none, it is
    the lowest copy rate, and ``warning`` says so.
    """
    threshold = copy_threshold(calibration, learnt)
    control_rate = copy_rate(control, learnt, threshold)
    reference = kernel.statistics(np.concatenate([calibration, control]), withheld_groups)
    rows = []
    for step, features in candidates.items():
        rate = copy_rate(features, learnt, threshold)
        p_value = excess_p_value(rate, len(features), control_rate, len(control))
        distance = kernel.value(kernel.statistics(features), reference)
        row = {"step": step, "kid": distance, "copy_rate": rate, "p_value": p_value, "passed": p_value >= SIGNIFICANT}
        rows.append(row)
        log.info("step %(step)d: KID %(kid).4g, copy rate %(copy_rate).3f (p = %(p_value).2g)", row)
    passed = [row for row in rows if row["passed"]]
    warning = ""
    if passed:
        chosen = min(passed, key=lambda row: row["kid"])
        reason = f"the lowest KID of the {len(passed)} of {len(rows)} models that copy no more than withheld images do"
    else:
        chosen = min(rows, key=lambda row: (row["copy_rate"], row["kid"]))
        reason = "the lowest copy rate"
        warning = (
            f"every model copies significantly more ({chosen['copy_rate']:.3f} of the images or more) than withheld "
            f"images do ({control_rate:.3f}): the model after step {chosen['step']} copies least"
        )
        log.warning("%s", warning)
    return {
        "step": chosen["step"],
        "reason": reason,
        "warning": warning,
        "candidates": rows,
        "threshold": threshold,
        "control": control_rate,
        "n_control": len(control),
        "n_withheld": len(calibration) + len(control),
        "n_trained": len(learnt),
        "kid_of_training_images": kernel.value(kernel.statistics(learnt, learnt_groups), reference),
    }


def write_selected(family: str, model_dir: str | Path, selected_dir: str | Path, selection: Mapping[str, Any]) -> None:
    """Write the model after ``selection["step"]`` as a directory like that of the last step, and selection.json."""
    model_dir, step = Path(model_dir), selection["step"]
    candidates = read_candidates(model_dir)
    if step not in candidates:
        raise UserError(f"{model_dir / CHECKPOINTS}: no model of step {step}, expected one; train it again")
    # Where and how it was trained, and how far this model had come.
    description = (
        read_json(model_dir / "describe.json") | find("families", family, "family").load().load(candidates[step]).facts
    )
    with atomic_folder(selected_dir) as partial:
        shutil.copytree(candidates[step], partial, dirs_exist_ok=True)
        for file in model_dir.iterdir():
            if file.name in ("metrics.jsonl", WITHHELD):
                shutil.copyfile(file, partial / file.name)
        write_json(partial / "describe.json", description | {"step": step})
        write_json(partial / "selection.json", selection)
    log.info("the model after step %d is taken: %s", step, selection["reason"])
