"""What every metric reads where there is nothing to find: once per cohort and label, for all of its pools.

Distances and manifolds: random parts of the originals without a patient in common, of the comparison's sizes.
Memorisation and similarity: one half of the held-out originals in place of the pool, while the other half sets the
thresholds; the nearest copy is calibrated on both, and altered copies of training images show what it could find.
Diversity: pairs of training images.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsynth.common.features import FeatureSet, read_features
from radsynth.common.seeds import derive_seed
from radsynth.quality import catalogue
from radsynth.quality.copies import Among, near_tail
from radsynth.quality.feature_sets import groups_of, halves, read_images, read_references
from radsynth.quality.image_copies import Images
from radsynth.quality.likeness import pair_rows
from radsynth.quality.metric import (
    NONE,
    TRAIN,
    Known,
    Metric,
    OfCopies,
    OfImages,
    OfSets,
    UndefinedError,
    measured,
    thresholds_of,
)
from radsynth.quality.neighbourhoods import Points, encounter
from radsynth.quality.samples import Sample, draw_parts, meetings_of_parts, part_sizes

Entry = dict[str, Any]


def _entry(metric: Metric, extractor: str | None, reference: str, **known: Any) -> Entry:
    empty = dict.fromkeys(("control", "control_sd", "n_control_a", "n_control_b", "threshold")) | {"note": ""}
    empty |= dict.fromkeys(("tail_n", "tail_k", "tail_limit", "tail_excess", "planted"))
    names = {"metric": metric.name, "extractor": extractor, "reference": reference, "control_is": metric.control}
    return names | empty | known


def _held_out(
    known: Known,
    reference: str,
    sizes: tuple[int, int | None],
    thresholds: dict[str, float | None],
    extractor: str | None,
    **calibration: Any,
) -> Iterator[Entry]:
    """Yield the entries of what was measured of held-out images in place of a pool."""
    for name, found in known.items():
        known = {
            "control": found.get("value"),
            "control_sd": found.get("sd"),
            "n_control_a": sizes[0],
            "n_control_b": sizes[1],
            "threshold": thresholds.get(name),
            "note": f"no control: {found['reason']}" if "reason" in found else "",
        }
        yield _entry(catalogue.metric(name), extractor, reference, **known | calibration)


def tail_of(distances: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Return what an entry of the controls says of the tail of held-out distances (n,), or why there is none.

    ``groups`` (n,) are the numbers of their patients or the like.
    """
    try:
        tail = near_tail(distances, groups)
    except UndefinedError as error:
        return {"note": f"not calibrated: {error}"}
    return {f"tail_{key}": value for key, value in tail.described().items()}


def real_real(
    real: FeatureSet, references: dict[str, pd.DataFrame], n_synthetic: int, draws: int, seed: int
) -> Iterator[Entry]:
    """Yield mean and SD of distances and manifold metrics between random parts of the originals, patients apart."""
    originals, groups = real.of(references["all"]["image_id"]), groups_of(references["all"])
    drawn: dict[str, tuple[tuple[int | None, int | None], list, str]] = {}
    for reference, table in references.items():
        try:
            sizes = part_sizes(groups, len(table), n_synthetic)
            parts = draw_parts(groups, sizes, draws, derive_seed(seed, "real_real", reference))
            drawn[reference] = sizes, list(parts), ""
        except UndefinedError as error:
            drawn[reference] = (None, None), [], str(error)
    # All together: one pass over the distances of the originals serves all references and draws.
    pairs = [pair for _, parts, _ in drawn.values() for pair in parts]
    metrics = catalogue.of_kind(OfSets)
    meetings = meetings_of_parts(originals, groups, pairs, derive_seed(seed, "real_real"))
    known = iter([measured(metrics, lambda meeting=meeting: meeting) for meeting in meetings])
    for reference, (sizes, parts, reason) in drawn.items():
        of_reference = [next(known) for _ in parts]
        for metric in metrics:
            found = [of_pair[metric.name] for of_pair in of_reference]
            missing = [reason] * (not found) + [of_pair["reason"] for of_pair in found if "reason" in of_pair]
            values = {"n_control_a": sizes[0], "n_control_b": sizes[1]}
            if missing:
                values["note"] = f"no control: {missing[-1]}"
            else:
                numbers = [of_pair["value"] for of_pair in found]
                values |= {"control": float(np.mean(numbers)), "control_sd": float(np.std(numbers, ddof=1))}
            yield _entry(metric, real.extractor["name"], reference, **values)


def sample_of(real: FeatureSet, reference: str, images: pd.DataFrame, seed: int) -> Sample:
    """Return a reference set as a sample, with the draws that all pools of the cohort share."""
    return Sample(real.of(images["image_id"]), derive_seed(seed, "draws", reference), groups_of(images))


def keep(real: FeatureSet, reference: str, sample: Sample, n_synthetic: int) -> dict[str, np.ndarray]:
    """Return what concerns a reference set alone, for all pools of that many images, under names of its own."""
    return {f"{_place(real, reference)}{key}": array for key, array in sample.kept(n_synthetic).items()}


def kept_of(real: FeatureSet, reference: str, kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what ``keep`` returned for a reference set, from all that was kept."""
    place = _place(real, reference)
    return {key.removeprefix(place): array for key, array in kept.items() if key.startswith(place)}


def _place(real: FeatureSet, reference: str) -> str:
    return f"{real.extractor['name']}/{reference}/"


def of_features(
    real: FeatureSet, references: dict[str, pd.DataFrame], n_synthetic: int, draws: int, seed: int
) -> tuple[list[Entry], float | None, dict[str, np.ndarray]]:
    """Return the entries of one extractor, the median distance between nearest training images, and what is kept."""
    entries = list(real_real(real, references, n_synthetic, draws, seed))
    kept = keep(real, "all", sample_of(real, "all", references["all"], seed), n_synthetic)
    training, held_out = (sample_of(real, name, references[name], seed) for name in ("train", "held_out"))
    kept |= keep(real, "train", training, n_synthetic) | keep(real, "held_out", held_out, n_synthetic)
    entries += _of_copies(real.extractor["name"], training, held_out, references["held_out"], seed)
    return entries, float(np.median(training.within[:, 0])) if len(training) > 1 else None, kept


def _of_copies(extractor: str, training: Sample, held_out: Sample, images: pd.DataFrame, seed: int) -> Iterator[Entry]:
    """Yield the entries of how held-out ``images`` lie among the training images in the features of an extractor."""
    second = images["image_id"].isin(halves(images)[1]["image_id"]).to_numpy()
    calibration, control = (Points(held_out.features[half]) for half in (~second, second))

    def among(candidates: Points, thresholds: dict[str, float | None]) -> Among:
        return Among(encounter(training, candidates), calibration, thresholds, seed)

    metrics = catalogue.of_kind(OfCopies)
    thresholds = thresholds_of(metrics, lambda: among(calibration, {}))
    known = measured(metrics, lambda: among(control, thresholds))
    searched = [metric for metric in metrics if metric.search]
    # No threshold is set there that an image would have to be kept from: all held-out images are the control.
    nearest, tails = {metric.name: known.pop(metric.name) for metric in searched}, {}
    if len(training) and len(control):
        everything = among(held_out, thresholds)
        for metric in searched:
            nearest[metric.name] = metric.measured(everything)
            tails[metric.name] = tail_of(metric.search(everything)[0], groups_of(images))
    yield from _held_out(known, TRAIN, (len(control), len(calibration)), thresholds, extractor)
    for name, found in nearest.items():
        yield from _held_out({name: found}, TRAIN, (len(held_out), None), {}, extractor, **tails.get(name, {}))


def of_images(
    training: np.ndarray, held_out: np.ndarray, groups: np.ndarray, first: np.ndarray, seed: int
) -> list[Entry]:
    """Return the entries of what is measured on uint8 images (n, height, width).

    ``groups`` (n,) are the patients or the like of the held-out images; ``first`` (bool, n) says which of these set the
    thresholds, the others are the control.
    """
    everything, metrics = Images(held_out, training), catalogue.of_kind(OfImages)
    thresholds = thresholds_of(metrics, lambda: everything.part(first))
    control = everything.part(~first, thresholds)
    sizes, entries = (int((~first).sum()), int(first.sum())), []
    for reference in (TRAIN, NONE):
        plain = [metric for metric in catalogue.of_kind(OfImages, reference) if not metric.search]
        entries += _held_out(measured(plain, lambda: control), reference, sizes, thresholds, None)
    for metric in (metric for metric in metrics if metric.search):
        known = {metric.name: metric.measured(everything)}
        distances = metric.search(everything)[0]
        tail = tail_of(distances, groups) if len(distances) else {}
        if metric.planted and len(training) > 1:
            tail |= {"planted": metric.planted(training, seed)}
        entries += _held_out(known, TRAIN, (len(held_out), None), {}, None, **tail)
    return entries


def of_pairs(pairs: str | Path) -> list[Entry]:
    """Return the entries of diversity, from the pair similarities of the training images."""
    return [
        _entry(
            catalogue.metric(row["metric"]),
            None,
            NONE,
            control=row["value"],
            control_sd=row["sd"],
            n_control_a=row["n_pairs"],
            note=f"no control: {row['reason']}" if row["reason"] else "",
        )
        for row in pair_rows(pairs)
    ]


def quality_controls(
    real: Sequence[str | Path],
    data_manifest: str | Path,
    train: str | Path,
    pairs: str | Path | None = None,
    withheld: str | Path | None = None,
    *,
    label: str,
    pool_size: int,
    baseline_draws: int,
    seed: int,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the controls of all pools of ``pool_size`` images whose generators saw the same, and arrays for these.

    The first is JSON-serialisable; the arrays are what concerns the reference sets alone (see ``keep``).

    ``controls``: by metric, extractor and reference what a row of the quality JSON says of control and threshold.
    ``typical_distance``: by extractor the median distance of training images to their nearest other training image.
    ``seed``: that of the draws of the reference sets.
    ``real`` are features files, ``train`` is the cohort, ``pairs`` the pair similarities of its training images,
    ``withheld`` a table of those that the generator has not seen.
    """
    references = read_references(data_manifest, train, label, withheld)
    entries, typical, kept = [], {}, {}
    for path in real:
        features = read_features(path, np.float64)
        name = features.extractor["name"]
        own_seed = derive_seed(seed, name)
        found, typical[name], arrays = of_features(features, references, pool_size, baseline_draws, own_seed)
        entries += found
        kept |= arrays
    images = (read_images(data_manifest, references[name]) for name in ("train", "held_out"))
    held_out = references["held_out"]
    first = held_out["image_id"].isin(halves(held_out)[0]["image_id"]).to_numpy()
    entries += of_images(*images, groups_of(held_out), first, derive_seed(seed, "planted"))
    entries += of_pairs(pairs) if pairs else []
    return {"n_synthetic": pool_size, "typical_distance": typical, "seed": seed, "controls": entries}, kept
