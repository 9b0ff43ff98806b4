"""Every metric of one pool, each beside its control."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.arrays import read_arrays
from radsynth.common.errors import UserError
from radsynth.common.features import FeatureSet, read_features
from radsynth.common.files import read_json
from radsynth.common.schema import read_schema, validated
from radsynth.common.seeds import derive_seed
from radsynth.common.tables import read_table
from radsynth.common.tails import LowerTail
from radsynth.quality import measure
from radsynth.quality.arrays import UndefinedError
from radsynth.quality.controls import kept_of, sample_of
from radsynth.quality.diversity import pair_rows
from radsynth.quality.feature_sets import check_comparable, halves, read_images, read_references
from radsynth.quality.inception_score import inception_score
from radsynth.quality.neighbours import Encounter, Points
from radsynth.quality.rows import estimated, row
from radsynth.quality.sample import Sample

log = logging.getLogger(__name__)

FAMILIES = dict.fromkeys(measure.DISTANCE, "distance") | dict.fromkeys(measure.MANIFOLD, "manifold")
FAMILIES |= dict.fromkeys(measure.SIMILARITY, "similarity")
Row = dict[str, Any]
SUSPECT = 0.05  # chance that a pool of held-out images holds one as near, above which it is not listed


class Controls:
    """The controls of a cohort and label (see controls.py), and rows that carry them."""

    def __init__(self, path: str | Path, n_synthetic: int):
        self.content = read_json(path)
        if self.content["n_synthetic"] != n_synthetic:
            raise UserError(
                f"{path}: controls of pools with {self.content['n_synthetic']} images, this one has {n_synthetic}"
            )
        self.n_synthetic = n_synthetic
        self.entries = {
            (entry["metric"], entry["extractor"], entry["reference"]): entry for entry in self.content["controls"]
        }

    def tail(self, metric: str, extractor: str | None) -> LowerTail | None:
        """Return what the nearest copy is judged by; None where it is not calibrated."""
        entry = self.entries[metric, extractor, "train"]
        return LowerTail(*(entry[f"tail_{key}"] for key in ("n", "k", "limit", "excess"))) if entry["tail_n"] else None

    def thresholds(self, metrics: Sequence[str], extractor: str | None = None) -> dict[str, float | None]:
        """Return the thresholds of metrics against the training images."""
        return {metric: self.entries[metric, extractor, "train"]["threshold"] for metric in metrics}

    def rows(self, known: measure.Known, reference: str, n_reference: int | None, **common: Any) -> list[Row]:
        """Return the full rows of what was measured of the pool, beside what was measured of the control."""
        rows = []
        for metric, found in known.items():
            entry = dict(self.entries.get((metric, common.get("extractor"), reference), {}))
            note = "; ".join(filter(None, [found.get("note"), entry.pop("note", "")]))
            family = FAMILIES.get(metric, "memorisation")
            sizes = {"reference": reference, "n_reference": n_reference, "n_synthetic": self.n_synthetic}
            rows.append(row(**{"family": family, **common, **entry, **sizes, **found, "metric": metric, "note": note}))
        return rows


def _of_features(
    real: FeatureSet,
    pool: FeatureSet,
    references: dict[str, pd.DataFrame],
    controls: Controls,
    kept: Mapping[str, np.ndarray],
    seed: int,
    score: bool,
) -> tuple[list[Row], Encounter | None]:
    """Return the rows of one extractor, and how the pool lies among the training images."""
    check_comparable(real, pool)
    name = real.extractor["name"]
    common = {
        "extractor": name,
        "preprocessing": real.extractor["preprocessing"],
        "weights_sha256": (real.extractor["weights"] or {}).get("sha256"),
    }
    candidate, rows, among_training = Sample(pool.features, seed), [], None
    for reference, images in references.items():
        sample = sample_of(real, reference, images, derive_seed(controls.content["seed"], name))
        sample.restore(kept_of(real, reference, kept))
        copied = reference == "train"
        try:
            meeting = measure.meet(sample, candidate)
        except UndefinedError as error:
            metrics = (*measure.DISTANCE, *measure.MANIFOLD, *(measure.COPIES if copied else ()))
            known = measure.undefined(metrics, error)
        else:
            known = measure.between(meeting)
            if copied:
                among_training = meeting
                held_out = Points(real.of(halves(references["held_out"])[0]["image_id"]))
                thresholds = controls.thresholds(("dcr_tail", "copy_rate"), name)
                known |= measure.copies(meeting, held_out, thresholds, seed)
        rows += controls.rows(known, reference, len(sample), **common)
    if score and pool.logits is not None:
        known = {"inception_score": estimated(inception_score, pool.logits)}
        rows += controls.rows(known, "", None, family="diversity", **common)
    return rows, among_training


def _of_images(images: np.ndarray, training: np.ndarray, controls: Controls) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Return the rows of what is measured on uint8 images (n, height, width), and ``measure.near_distances``."""
    near = measure.near_distances(images, training)
    repeated = measure.repeated(images, training)
    with_training = measure.similarities(images, training)
    with_training |= measure.near_copies(near, controls.thresholds(("view_copy_rate", "hash_copy_rate")))
    with_training |= {"exact_copy_rate": repeated.pop("exact_copy_rate")}
    rows = controls.rows(with_training, "train", len(training)) + controls.rows(repeated, "", None)
    return rows, near


def _of_pairs(pairs: str | Path, controls: Controls) -> list[Row]:
    rows = []
    for found in pair_rows(pairs):
        metric = found.pop("metric")
        del found["n_pairs"]
        rows += controls.rows({metric: found}, "", None, family="diversity")
    return rows


def _nearest(
    files: Sequence[str],
    training_ids: Sequence[str],
    meetings: dict[str, Encounter | None],
    near: dict[str, np.ndarray],
    controls: Controls,
) -> tuple[pd.DataFrame, list[Row]]:
    """Return, per image of the pool, its nearest training image and how close it is; empty where undefined.

    And the suspects: what is nearer than held-out images are, too near for chance in a pool of this size.
    """
    table, ids = pd.DataFrame({"file": files}), np.asarray(training_ids)
    columns = ("nearest_image_id", "distance", "relative_distance", "view_nearest_image_id", "view_relative_distance")
    table[list(columns)] = ""
    found: list[tuple[str, str | None, np.ndarray, np.ndarray]] = []
    for index, (name, meeting) in enumerate(meetings.items()):
        if meeting is not None:
            found.append(("nearest_copy", name, meeting.nearest, meeting.relative))
            if index == 0:
                table["nearest_image_id"] = ids[meeting.nearest]
                table["distance"], table["relative_distance"] = meeting.distance, meeting.relative
    if len(near["view"]):
        found.append(("view_nearest_copy", None, near["view_nearest"], near["view"]))
        table["view_nearest_image_id"], table["view_relative_distance"] = ids[near["view_nearest"]], near["view"]
    suspects = []
    for metric, extractor, nearest, distances in found:
        tail = controls.tail(metric, extractor)
        chances = np.ones(len(files)) if tail is None else tail.chances(distances)
        suspects += [
            {
                "file": files[index],
                "metric": metric,
                "extractor": extractor,
                "nearest_image_id": ids[nearest[index]],
                "distance": float(distances[index]),
                "chance": float(chances[index]),
            }
            for index in np.flatnonzero(chances * len(files) < SUSPECT)
        ]
    suspects.sort(key=lambda suspect: suspect["chance"])
    least = pd.Series({suspect["file"]: suspect["chance"] for suspect in reversed(suspects)}, dtype=float)
    table["chance"] = table["file"].map(least)
    return table, suspects


def evaluate_pool(
    real: Sequence[str | Path],
    pool: Sequence[str | Path],
    data_manifest: str | Path,
    train: str | Path,
    pool_manifest: str | Path,
    controls: str | Path,
    reals: str | Path,
    pairs: str | Path | None = None,
    withheld: str | Path | None = None,
    *,
    label: str,
    seed: int,
    score: bool = False,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return all metrics of one pool as in quality.schema.yaml, and a table of the nearest training images.

    ``real`` and ``pool`` are features files, one per extractor in the same order; ``train`` is the cohort that the
    generator learned from, ``withheld`` a table of those images of it that it has not seen; ``controls`` (JSON) and
    ``reals`` (npz) are what ``quality_controls`` gave for the same; ``pairs`` are the pool's pair similarities. Images
    lie beside their manifests. ``score`` asks for the Inception score. The table has a row per image of the pool:
    ``file``, ``nearest_image_id``, ``distance`` and ``relative_distance`` in the features of the first extractor,
    ``view_nearest_image_id``, ``view_relative_distance``, and for suspects ``chance``.
    """
    pool_table = read_table(pool_manifest)
    files = list(pool_table["file"])
    references = read_references(data_manifest, train, label, withheld)
    beside = Controls(controls, len(files))
    kept = read_arrays(reals)
    rows, meetings = [], {}
    for real_path, pool_path in zip(real, pool, strict=True):
        real_set, pool_set = (read_features(path, np.float64) for path in (real_path, pool_path))
        name = real_set.extractor["name"]
        found, meeting = _of_features(real_set, pool_set, references, beside, kept, derive_seed(seed, name), score)
        rows += found
        meetings[name] = meeting
        log.info("%s: done", name)
    images = read_images(pool_manifest, pool_table)
    training = read_images(data_manifest, references["train"])
    if len(training) and len(images) and images.shape[1:] != training.shape[1:]:
        raise UserError(f"{pool_manifest}: images of {images.shape[1:]} pixels, expected {training.shape[1:]}")
    found, near = _of_images(images, training, beside)
    rows += found + (_of_pairs(pairs, beside) if pairs else [])
    nearest, suspects = _nearest(files, references["train"]["image_id"], meetings, near, beside)
    report = {"n_synthetic": len(files), "metrics": rows, "suspects": suspects}
    return validated(report, read_schema("quality"), "quality"), nearest
