"""Every metric of one pool, each beside its control."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.arrays import read_arrays
from radsynth.common.errors import UserError
from radsynth.common.features import FeatureSet, read_features
from radsynth.common.files import read_json
from radsynth.common.schema import validated
from radsynth.common.seeds import derive_seed
from radsynth.common.tables import read_table
from radsynth.common.tails import LowerTail
from radsynth.quality import catalogue
from radsynth.quality.controls import kept_of, sample_of
from radsynth.quality.copies import Among
from radsynth.quality.feature_sets import check_comparable, halves, read_images, read_references
from radsynth.quality.image_copies import Images
from radsynth.quality.likeness import pair_rows
from radsynth.quality.metric import (
    NONE,
    TRAIN,
    Known,
    Metric,
    OfCopies,
    OfImages,
    OfLogits,
    OfSets,
    UndefinedError,
    measured,
    row,
)
from radsynth.quality.neighbourhoods import Points
from radsynth.quality.samples import Meeting, Sample, meet

log = logging.getLogger(__name__)

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

    def thresholds(self, kind: type[Metric], extractor: str | None = None) -> dict[str, float | None]:
        """Return the thresholds against the training images of the metrics of one kind."""
        names = [metric.name for metric in catalogue.of_kind(kind, TRAIN) if metric.threshold]
        return {name: self.entries[name, extractor, TRAIN]["threshold"] for name in names}

    def rows(self, known: Known, reference: str, n_reference: int | None, **common: Any) -> list[Row]:
        """Return the full rows of what was measured of the pool, beside what was measured of the control."""
        rows = []
        for name, found in known.items():
            entry = dict(self.entries.get((name, common.get("extractor"), reference), {}))
            note = "; ".join(filter(None, [found.get("note"), entry.pop("note", "")]))
            sizes = {"reference": reference, "n_reference": n_reference, "n_synthetic": self.n_synthetic}
            named = {"family": catalogue.metric(name).family, "metric": name, "note": note}
            rows.append(row(**{**common, **entry, **sizes, **found, **named}))
        return rows


def _of_features(
    real: FeatureSet,
    pool: FeatureSet,
    references: dict[str, pd.DataFrame],
    controls: Controls,
    kept: Mapping[str, np.ndarray],
    seed: int,
    score: bool,
) -> tuple[list[Row], Among | None]:
    """Return the rows of one extractor, and how the pool lies among the training images; None where undefined."""
    check_comparable(real, pool)
    name = real.extractor["name"]
    common = {
        "extractor": name,
        "preprocessing": real.extractor["preprocessing"],
        "weights_sha256": (real.extractor["weights"] or {}).get("sha256"),
    }
    candidate, rows, among = Sample(pool.features, seed), [], None
    for reference, images in references.items():
        sample = sample_of(real, reference, images, derive_seed(controls.content["seed"], name))
        sample.restore(kept_of(real, reference, kept))
        meeting = cache(lambda sample=sample: meet(sample, candidate))
        known = measured(catalogue.of_kind(OfSets, reference), meeting)
        if reference == TRAIN:
            held_out = Points(real.of(halves(references["held_out"])[0]["image_id"]))
            copied, among = _of_copies(meeting, held_out, controls.thresholds(OfCopies, name), seed)
            known |= copied
        rows += controls.rows(known, reference, len(sample), **common)
    if score and pool.logits is not None:
        known = measured(catalogue.of_kind(OfLogits), lambda: pool.logits)
        rows += controls.rows(known, NONE, None, **common)
    return rows, among


def _of_copies(
    meeting: Callable[[], Meeting], held_out: Points, thresholds: dict[str, float | None], seed: int
) -> tuple[Known, Among | None]:
    """Return what is known of a pool that meets the training images, and how it lies among them; None if undefined."""
    copied = cache(lambda: Among(meeting(), held_out, thresholds, seed))
    known = measured(catalogue.of_kind(OfCopies), copied)
    try:
        return known, copied()
    except UndefinedError:
        return known, None


def _of_images(images: Images, controls: Controls) -> list[Row]:
    """Return the rows of what is measured on the images themselves."""
    rows = []
    for reference, n in ((TRAIN, len(images.training)), (NONE, None)):
        known = measured(catalogue.of_kind(OfImages, reference), lambda: images)
        rows += controls.rows(known, reference, n)
    return rows


def _of_pairs(pairs: str | Path, controls: Controls) -> list[Row]:
    rows = []
    for found in pair_rows(pairs):
        metric = found.pop("metric")
        del found["n_pairs"]
        rows += controls.rows({metric: found}, NONE, None)
    return rows


def _nearest(files: Sequence[str], ids: np.ndarray, among: Among | None, images: Images) -> pd.DataFrame:
    """Return, per image of the pool, its nearest training image and how close it is; empty where undefined.

    ``ids`` are those of the training images; ``among`` is in the features of the first extractor.
    """
    table = pd.DataFrame({"file": files})
    columns = ("nearest_image_id", "distance", "relative_distance", "view_nearest_image_id", "view_relative_distance")
    table[list(columns)] = ""
    if among is not None:
        table["nearest_image_id"] = ids[among.meeting.nearest]
        table["distance"], table["relative_distance"] = among.distance, among.relative
    if len(images.near["view"]):
        table["view_nearest_image_id"] = ids[images.near["view_nearest"]]
        table["view_relative_distance"] = images.near["view"]
    return table


def _suspects(
    files: Sequence[str], ids: np.ndarray, amongs: dict[str, Among | None], images: Images, controls: Controls
) -> list[Row]:
    """Return what is nearer than held-out images are, too near for chance in a pool of this size; least likely first.

    ``ids`` are those of the training images; ``amongs`` by extractor how the pool lies among them.
    """
    searches = [
        (metric, name, among)
        for name, among in amongs.items()
        for metric in catalogue.of_kind(OfCopies)
        if among is not None and metric.search
    ]
    searches += [(metric, None, images) for metric in catalogue.of_kind(OfImages) if metric.search]
    suspects = []
    for metric, extractor, given in searches:
        distances, nearest = metric.search(given)
        tail = controls.tail(metric.name, extractor) if len(distances) else None
        chances = np.ones(len(distances)) if tail is None else tail.chances(distances)
        suspects += [
            {
                "file": files[index],
                "metric": metric.name,
                "extractor": extractor,
                "nearest_image_id": ids[nearest[index]],
                "distance": float(distances[index]),
                "chance": float(chances[index]),
            }
            for index in np.flatnonzero(chances * len(files) < SUSPECT)
        ]
    return sorted(suspects, key=lambda suspect: suspect["chance"])


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
    rows, amongs = [], {}
    for real_path, pool_path in zip(real, pool, strict=True):
        real_set, pool_set = (read_features(path, np.float64) for path in (real_path, pool_path))
        name = real_set.extractor["name"]
        own_seed = derive_seed(seed, name)
        found, amongs[name] = _of_features(real_set, pool_set, references, beside, kept, own_seed, score)
        rows += found
        log.info("%s: done", name)
    made, training = read_images(pool_manifest, pool_table), read_images(data_manifest, references["train"])
    if len(training) and len(made) and made.shape[1:] != training.shape[1:]:
        raise UserError(f"{pool_manifest}: images of {made.shape[1:]} pixels, expected {training.shape[1:]}")
    images = Images(made, training, beside.thresholds(OfImages))
    rows += _of_images(images, beside) + (_of_pairs(pairs, beside) if pairs else [])
    ids = np.asarray(references["train"]["image_id"])
    nearest = _nearest(files, ids, next(iter(amongs.values()), None), images)
    suspects = _suspects(files, ids, amongs, images, beside)
    least = pd.Series({suspect["file"]: suspect["chance"] for suspect in reversed(suspects)}, dtype=float)
    nearest["chance"] = nearest["file"].map(least)
    report = {"n_synthetic": len(files), "metrics": rows, "suspects": suspects}
    return validated(report, catalogue.quality_schema(), "quality"), nearest
